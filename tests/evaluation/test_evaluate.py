"""The stream of generated images, and all metrics together: nothing depends on how the work is cut up."""

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from anifacegan.data.synthetic.surface.head import load_head_geometry
from anifacegan.evaluation.config import COMPARED, OFFLINE, EvaluationConfig, ExpressionSource, SampleConfig
from anifacegan.evaluation.evaluate import Evaluation, evaluate
from anifacegan.evaluation.image_sets import EvaluationInputs, ImageSets
from anifacegan.evaluation.judge import Judge, judge_images, load_judge, real_batches, real_items
from anifacegan.evaluation.metric_options import USERS
from anifacegan.evaluation.samples import (
    GeneratedImages,
    appearance_grid_views,
    expression_grid_views,
    expression_ramp_views,
    generated_batches,
    render_view_rgb,
    sample_views,
    yaw_grid_views,
)
from anifacegan.models.latent_sampling import PosedLatents
from anifacegan.rendering.model import Face
from tests.fixtures.judged_model import NETWORK, generator, tiny_dataset, tiny_judge, write_judge
from tests.fixtures.one_line import assert_one_line
from tests.fixtures.tiny_training_set import COUNT, SIZE

SAMPLES = SampleConfig(count=5, size=12, batch=2)
CONFIG = EvaluationConfig(
    samples=SAMPLES,
    bootstrap=3,
    people=2,
    expressions=2,
    appearances=2,
    mesh_faces=2,
    consistency_faces=1,
    ramps=1,
    frames=3,
)
POSES = 0.3 * torch.randn(9, 2, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def judge(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return tiny_judge(tiny, tmp_path_factory.mktemp("judge"))


def images(config: SampleConfig) -> list[GeneratedImages]:
    made = generator()
    return list(generated_batches(made, sample_views(made, POSES, config), config))


# ------------------------------------------------------------------------------------------------------------ images
def test_the_batch_changes_no_bit_of_an_image() -> None:
    one, four = (images(dataclasses.replace(SAMPLES, batch=batch)) for batch in (1, 4))
    assert [len(batch.rgb) for batch in one] == [1] * 5 and [len(batch.rgb) for batch in four] == [4, 1]
    assert torch.equal(torch.cat([b.rgb for b in one]), torch.cat([b.rgb for b in four]))


def test_more_images_begin_with_the_same_ones_and_another_seed_has_others() -> None:
    few, more, others = (
        torch.cat([batch.rgb for batch in images(dataclasses.replace(SAMPLES, **changed))])
        for changed in ({"count": 2}, {}, {"count": 2, "seed": 2})
    )
    assert torch.equal(few, more[:2]) and not torch.equal(few, others)
    assert more.shape == (5, 3, 12, 12) and 0 <= more.min() < more.max() <= 1
    assert (more[0] - more[1]).abs().max() > 0.01


def test_images_are_seen_from_poses_of_the_data_set() -> None:
    views = sample_views(generator(), POSES, dataclasses.replace(SAMPLES, count=40))
    known = (views.pose[:, None] == POSES[None]).all(dim=-1)
    assert known.any(dim=1).all() and known.any(dim=0).sum() > 5


def test_expressions_of_the_data_set_take_the_place_of_the_priors() -> None:
    """People, cameras and the order stay; a longer stream begins with the shorter one."""
    made, config = generator(), dataclasses.replace(SAMPLES, count=40)
    data_exp = torch.randn(9, 64, generator=torch.Generator().manual_seed(1))
    drawn, given = sample_views(made, POSES, config), sample_views(made, POSES, config, data_exp)
    assert torch.equal(drawn.pose, given.pose) and torch.equal(drawn.latents.z_id, given.latents.z_id)
    assert torch.equal(drawn.latents.z_noise, given.latents.z_noise)
    known = (given.latents.z_exp[:, None] == data_exp[None]).all(dim=-1)
    assert known.any(dim=1).all() and known.any(dim=0).all()
    fewer = sample_views(made, POSES, dataclasses.replace(config, count=9), data_exp)
    assert torch.equal(fewer.latents.z_exp, given.latents.z_exp[:9])
    faces = grid(expression_grid_views(made, 2, 4, seed=5, data_exp=data_exp), 2)[1]
    ramps = grid(expression_ramp_views(made, 3, torch.tensor([0.5, 1.0]), seed=5, data_exp=data_exp), 3)[1]
    assert torch.equal(faces[0], faces[1]) and torch.equal(faces[0, 1:], ramps[:, 1])


def test_an_evaluation_asks_for_expressions_of_its_data_set(tiny: Path, judge: Judge) -> None:
    sources: tuple[tuple[ExpressionSource, bool], ...] = (("prior", False), ("data", True))
    for source, expected in sources:
        config = EvaluationConfig(samples=SAMPLES, people=2, expressions=3, expressions_from=source)
        image_sets = ImageSets(EvaluationInputs(generator(), tiny_dataset(tiny), judge), config)
        requested = torch.cat(
            [image_sets.views(5).latents.z_exp, image_sets.expression_grid[0].latents.z_exp[1:3]]
        )
        assert (requested[:, None] == image_sets.table.exp[None]).all(dim=-1).any(dim=1).tolist() == [
            expected
        ] * 7


@pytest.mark.parametrize("name", OFFLINE)
def test_a_metric_reads_the_options_that_it_is_said_to_use(name: str, tiny: Path, judge: Judge) -> None:
    """And no others, by which a command refuses the options that have no effect."""
    read: set[str] = set()

    def noted(kind: type[Any], **given: Any) -> Any:
        """An object of a class, the reading of whose fields is noted; copies of it are not watched."""

        def get(watched: Any, field: str) -> Any:
            if watched is found:
                read.add(field)
            return object.__getattribute__(watched, field)

        found = None
        found = type(kind.__name__, (kind,), {"__getattribute__": get})(**given)
        return found

    samples = noted(SampleConfig, count=5, size=12, batch=2)
    few = {field.name: getattr(CONFIG, field.name) for field in dataclasses.fields(CONFIG)}
    config = noted(EvaluationConfig, **few | {"samples": samples, "metrics": (name,)})
    head = load_head_geometry(tiny / "face_model.npz")
    inputs = noted(
        EvaluationInputs, generator=generator(), dataset=tiny_dataset(tiny), judge=judge, head=head
    )
    evaluation = Evaluation(inputs, config)
    read.clear()
    evaluation.measure(name)
    assert read & USERS.keys() == {option for option, users in USERS.items() if name in users}


@pytest.mark.parametrize("name", ["expression", "identity", "smoothness", "deformation", "view_consistency"])
def test_where_expressions_come_from_matters_to_every_metric_that_draws_some(
    name: str, tiny: Path, judge: Judge
) -> None:
    head = load_head_geometry(tiny / "face_model.npz")
    inputs = EvaluationInputs(generator(), tiny_dataset(tiny), judge, head)
    reports = [
        Evaluation(inputs, dataclasses.replace(CONFIG, expressions=4, expressions_from=source)).measure(name)
        for source in ("prior", "data")
    ]
    assert reports[0] != reports[1]


def grid(views: PosedLatents, people: int) -> list[torch.Tensor]:
    """Latents and poses, (person, change, ...)."""
    latents = views.latents
    return [c.unflatten(0, (people, -1)) for c in (latents.z_id, latents.z_exp, latents.z_noise, views.pose)]


def test_in_every_grid_the_same_people_change_in_one_code_only() -> None:
    made, yaws, strength = generator(), (0.0, -0.2, 0.4), torch.tensor([0.0, 0.5, 1.0])
    grids = {
        "z_exp": grid(expression_grid_views(made, 2, 3, seed=5), 2),
        "pose": grid(yaw_grid_views(made, 2, yaws, seed=5), 2),
        "z_noise": grid(appearance_grid_views(made, 2, 3, seed=5), 2),
        "ramp": grid(expression_ramp_views(made, 2, strength, seed=5), 2),
    }
    names = ("z_id", "z_exp", "z_noise", "pose")
    first = [entry[:, 0] for entry in grids["z_exp"]]
    for changed, entries in grids.items():
        for name, entry, unchanged in zip(names, entries, first, strict=True):
            assert torch.equal(entry[:, 0], unchanged), (changed, name)
            moves = name == changed or (changed, name) == ("ramp", "z_exp")
            distances = [len(person.unique(dim=0)) for person in entry]
            assert distances == ([3, 3] if moves else [1, 1]), (changed, name)
    assert not first[1].any() and not first[3].any() and not torch.equal(first[0][0], first[0][1])
    assert torch.equal(grids["z_exp"][1][0], grids["z_exp"][1][1])  # everybody has the same expressions
    assert torch.equal(grids["z_noise"][2][0, 1:], grids["z_noise"][2][1, 1:])
    assert grids["pose"][3][1].tolist() == [[0.0, pytest.approx(yaw)] for yaw in yaws]
    ramp = grids["ramp"][1]
    torch.testing.assert_close(ramp[:, 1], ramp[:, 2] / 2)
    torch.testing.assert_close(ramp[0, 2], grids["z_exp"][1][0, 1])  # the first drawn expression
    assert not torch.equal(ramp[0, 2], ramp[1, 2])


# --------------------------------------------------------------------------------------------------------------- judge
def test_a_judge_sees_the_same_in_any_batch(judge: Judge, tiny: Path) -> None:
    dataset = tiny_dataset(tiny)
    items = torch.arange(COUNT)
    seen = [
        judge_images(judge, real_batches(dataset, items, 20, n, torch.device("cpu"))) for n in (1, 3, COUNT)
    ]
    for other in seen[1:]:
        torch.testing.assert_close(other.features, seen[0].features, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(other.face.rows(), seen[0].face.rows(), atol=1e-5, rtol=1e-4)
    assert (seen[0].features[0] - seen[0].features[1]).abs().max() > 1e-3


def test_real_images_come_as_they_are_at_their_own_size(tiny: Path) -> None:
    dataset = tiny_dataset(tiny)
    (rgb,) = real_batches(dataset, torch.tensor([3, 1]), dataset.config.size, 2, torch.device("cpu"))
    torch.testing.assert_close((255 * rgb[1]).round().byte().permute(1, 2, 0), dataset[1].image)


@pytest.mark.parametrize(("count", "available", "expected"), [(3, 8, 3), (8, 8, 8), (9, 8, 8)])
def test_real_items_are_all_different(count: int, available: int, expected: int) -> None:
    items = real_items(count, available, torch.Generator().manual_seed(0))
    assert len(items) == expected == len(items.unique()) and items.max() < available


def test_judges_of_other_faces_or_other_cameras_are_refused(tiny: Path, tmp_path: Path) -> None:
    cpu, face_model = torch.device("cpu"), tiny / "face_model.npz"
    other = write_judge(tmp_path / "other", face_model="bfm09")
    assert_one_line(lambda: load_judge(other, face_model, cpu), "judge:", "bfm09", "anifacegan-open-4")
    config = dataclasses.replace(NETWORK, camera="deep3dfacerecon")
    camera = write_judge(tmp_path / "camera", config=config)
    assert_one_line(lambda: load_judge(camera, face_model, cpu), "judge:", "deep3dfacerecon", "generator")


# --------------------------------------------------------------------------------------------------------- all together
def numbers(report: dict[str, Any]) -> dict[str, float]:
    """Without the list of correlations, which approx does not take, and without names."""
    return {name: value for name, value in report.items() if not isinstance(value, (tuple, str))}


def test_every_metric_is_the_same_alone_and_in_another_batch(judge: Judge, tiny: Path) -> None:
    """Within 1e-5: in a batch of another size the judge's matrix products round differently (float32, 6e-8 a step)."""
    head, dataset, made = load_head_geometry(tiny / "face_model.npz"), tiny_dataset(tiny), generator()
    together = evaluate(made, judge, head, dataset, dataclasses.replace(CONFIG, metrics=OFFLINE))
    assert tuple(together) == OFFLINE
    samples = dataclasses.replace(SAMPLES, batch=3)
    for name in OFFLINE:
        alone = evaluate(
            made, judge, head, dataset, dataclasses.replace(CONFIG, metrics=(name,), samples=samples)
        )
        assert list(alone) == [name]
        assert numbers(alone[name]) == pytest.approx(numbers(together[name]), rel=1e-5, abs=1e-5)
        assert all(math.isfinite(value) for value in together[name].values() if isinstance(value, float)), (
            name
        )
    assert together["frechet"]["floor_count"] == COUNT // 2 and together["expression"]["count"] == 5
    assert together["frechet"] != together["embedding_frechet"]


def test_items_as_they_are_give_the_reports_numbers(judge: Judge, tiny: Path) -> None:
    """What is drawn again for an interval is the very thing that is reported; float32 sums apart."""
    inputs = EvaluationInputs(
        generator(), tiny_dataset(tiny), judge, load_head_geometry(tiny / "face_model.npz")
    )
    evaluation = Evaluation(inputs, CONFIG)
    for name in OFFLINE:
        items = evaluation.items(name)
        report, estimate = items.report(), items.bootstrap_statistics().estimate()
        assert set(estimate) == set(COMPARED[name])
        for key, value in estimate.items():
            reported = abs(report.ratio - 1) if key == "ratio_from_1" else getattr(report, key)
            assert value == pytest.approx(reported, rel=1e-5, abs=1e-9), (name, key)


def test_faces_can_be_those_of_another_models_priors(judge: Judge, tiny: Path) -> None:
    own, other = generator(), generator()
    for prior in (other.identity_prior, other.expression_prior):
        for parameter in prior.parameters():
            parameter.mul_(1.5)

    def seen(inputs: EvaluationInputs) -> list[torch.Tensor]:
        image_sets = Evaluation(inputs, CONFIG).image_sets
        views = (
            image_sets.views(3),
            image_sets.expression_grid[0],
            image_sets.yaw_grid[0],
            image_sets.appearance_grid[0],
        )
        return [tensor for view in views for tensor in (*vars(view.latents).values(), view.pose)]

    dataset = tiny_dataset(tiny)
    borrowed = seen(EvaluationInputs(own, dataset, judge, priors=other))
    assert all(map(torch.equal, borrowed, seen(EvaluationInputs(other, dataset, judge))))
    assert not all(map(torch.equal, borrowed, seen(EvaluationInputs(own, dataset, judge))))


def test_real_images_in_place_of_generated_ones_have_no_distance(
    tiny: Path, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole path of the features: the same images twice."""
    config = dataclasses.replace(CONFIG, samples=dataclasses.replace(SAMPLES, count=COUNT, size=SIZE))
    evaluation = Evaluation(EvaluationInputs(generator(), tiny_dataset(tiny), judge), config)
    real = [(255 * rgb).round().byte() for rgb in evaluation.image_sets.real(COUNT)]
    monkeypatch.setattr(evaluation.image_sets, "generated", lambda count: torch.cat(real))
    for name in ("frechet", "embedding_frechet"):
        report = evaluation.measure(name)
        assert report.distance < (1e-6 if name == "frechet" else 1e-3) * report.floor


def test_a_metric_without_what_it_needs_says_so_before_it_renders(
    tiny: Path, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anifacegan.evaluation.image_sets.render_views", None)
    inputs = EvaluationInputs(generator(), tiny_dataset(tiny))
    for name in set(OFFLINE) - {"deformation", "view_consistency"}:
        assert_one_line(lambda name=name: Evaluation(inputs, CONFIG).measure(name), "--judge FOLDER")
    for name in ("deformation", "view_consistency"):
        assert_one_line(lambda name=name: Evaluation(inputs, CONFIG).measure(name), "mesh")
    no_embedder = EvaluationInputs(generator(), tiny_dataset(tiny), judge, embedder="arcface.onnx")
    for name in ("recognition", "disentanglement", "embedding_frechet"):
        assert_one_line(lambda name=name: Evaluation(no_embedder, CONFIG).measure(name), "arcface.onnx")


def test_unknown_metrics_and_empty_sets_are_refused(judge: Judge, tiny: Path) -> None:
    with pytest.raises(ValueError, match="'fid', expected some of inception, frechet"):
        EvaluationConfig(metrics=("fid",))
    one = dataclasses.replace(CONFIG, metrics=("frechet",), samples=dataclasses.replace(SAMPLES, count=1))
    head = load_head_geometry(tiny / "face_model.npz")
    assert_one_line(
        lambda: evaluate(generator(), judge, head, tiny_dataset(tiny), one), "frechet:", "1 generated"
    )


def test_an_image_is_the_front_doors() -> None:
    made = generator()
    view = sample_views(made, POSES, SAMPLES)[:1]
    pitch, yaw = view.pose[0].tolist()
    assert torch.equal(
        render_view_rgb(made, view, 10, 0.5),
        Face(made.condition(view.latents, 0.5), view.latents).render(
            yaw=yaw, pitch=pitch, size=10, antialias=False
        ),
    )
