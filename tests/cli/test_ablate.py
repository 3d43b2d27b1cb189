"""The ablation on tiny networks: which runs it makes, that it measures the finished models, and that it goes on."""

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from anifacegan.cli.ablate import run as ablation
from anifacegan.cli.ablate.config import FULL, IMITATION_TERMS, NONE, AblationConfig
from anifacegan.cli.ablate.run import AblationResult, ablate, table
from anifacegan.data.dataset import FaceDataset
from anifacegan.data.synthetic.geometry_buffers import FILES
from anifacegan.data.synthetic.surface.head import load_head_geometry
from anifacegan.evaluation.config import SampleConfig
from anifacegan.evaluation.judge import load_judge
from anifacegan.models.config import FaceRegressorConfig
from anifacegan.models.face_regressor import FaceRegressor
from anifacegan.models.regressor_checkpoints import FaceRegressorCard, save_face_regressor
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.output_folders import MARKER
from anifacegan.training.config import TrainConfig
from anifacegan.training.weights import LossWeights
from tests.fixtures.commands import command, one_error_line
from tests.fixtures.resumed_runs import ADVERSARIAL_SIZE, adversarial_config
from tests.fixtures.shared_preparation import shared_preparation
from tests.fixtures.tiny_training_set import write_tiny_set

SAMPLES = SampleConfig(count=3, size=ADVERSARIAL_SIZE)


@pytest.fixture(scope="module", autouse=True)
def _shared_preparation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with shared_preparation(tmp_path_factory.mktemp("surfaces")):
        yield


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny data set, its face model, and a judge that has learnt nothing."""
    folder = tmp_path_factory.mktemp("set")
    write_tiny_set(folder, size=ADVERSARIAL_SIZE)
    network = FaceRegressor(FaceRegressorConfig(backbone="plain", size=16, channels=(8, 16)))
    network.initialize(torch.Generator().manual_seed(0))
    torch.nn.init.normal_(network.backbone.head.weight, generator=torch.Generator().manual_seed(1))
    owner = load_head_geometry(folder / "face_model.npz").name
    save_face_regressor(folder / "judge", network, FaceRegressorCard("judge", owner))
    return folder


def requested(tiny: Path, out: Path, **changes: object) -> AblationConfig:
    whole = adversarial_config(tiny, out)
    values = {field.name: getattr(whole, field.name) for field in dataclasses.fields(TrainConfig)}
    small = {"judge": tiny / "judge", "samples": SAMPLES, "people": 2, "expressions": 2, "mesh_faces": 2}
    return AblationConfig(**values | small | changes)


def test_each_variant_lacks_one_term_and_the_last_lacks_all(tiny: Path) -> None:
    config = requested(tiny, tiny / "unused", weights=LossWeights(mouth_gap=0.0))
    variants = config.variants()
    weighted = ["deformation", "roughness", "minimal", "neutral", "geometry"]
    assert list(variants) == [FULL, *(f"without_{name}" for name in weighted), NONE]
    for name, variant in variants.items():
        assert type(variant) is TrainConfig and variant.out == config.out / name
        off = {key for key, value in vars(variant.weights).items() if value == 0}
        expected = {FULL: set(), NONE: set(weighted)}.get(name, {name.removeprefix("without_")})
        assert variant.name == f"{config.name}_{name}"
        assert off == expected | {"mouth_gap", "landmarks", "plane_variation"}
        alike = {"out": config.out, "name": config.name, "weights": config.weights}
        assert dataclasses.replace(variant, **alike) == config.training()


def test_without_adversarial_training_no_image_term_is_left_out(tiny: Path) -> None:
    config = requested(tiny, tiny / "unused")
    paired = dataclasses.replace(config, schedule=dataclasses.replace(config.schedule, adversarial=0))
    assert "without_geometry" in config.variants() and "without_geometry" not in paired.variants()


def test_it_measures_every_variant_and_goes_on(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = LossWeights(mouth_gap=0.0, roughness=0.0, minimal=0.0, neutral=0.0, geometry=0.0)
    config = requested(tiny, tmp_path / "ablation", weights=only)
    said: list[str] = []
    found = ablate(config, said.append)
    assert said == [FULL, "without_deformation", NONE] == list(found)
    assert found["without_deformation"] == found[NONE] != found[FULL]  # one term is all there is to leave out
    assert all(torch.tensor(list(vars(result).values())).isfinite().all() for result in found.values())
    surfaces = [config.out / name / "surfaces" / "distance.npy" for name in found]
    assert len({path.stat().st_ino for path in surfaces}) == 1  # drawn once
    assert (config.out / "ablation.md").read_text() == table(found)
    assert json.loads((config.out / "ablation.json").read_text())[FULL] == dataclasses.asdict(found[FULL])

    def not_again(*_: object) -> AblationResult:
        pytest.fail("measured again")

    monkeypatch.setattr(ablation, "ablation_result", not_again)
    assert ablate(config, said.append) == found


def test_a_field_that_learns_nothing_is_as_bad_as_none(tiny: Path, tmp_path: Path) -> None:
    """The relative error of a deformation that is zero everywhere is 1."""
    config = requested(tiny, tmp_path / "run", weights=LossWeights(**dict.fromkeys(IMITATION_TERMS, 0.0)))
    model = ablation.run(config.training())
    generator = ablation.load_checkpoint(model).generator
    torch.nn.init.zeros_(generator.deformation.head.weight)
    torch.nn.init.zeros_(generator.deformation.head.bias)
    judge = load_judge(config.judge, config.face_model, torch.device("cpu"))
    head, dataset = load_head_geometry(config.face_model), FaceDataset(config.data)
    result = ablation.ablation_result(generator, judge, head, dataset, config.evaluation())
    assert result.deformation_relative == pytest.approx(1, abs=1e-5)
    assert result.deformation_mm > 0


def test_the_table_names_what_is_left_out() -> None:
    result = AblationResult(0.9, 0.95, 0.1, 1.5, 0.2, 0.3, 0.4)
    lines = table({FULL: result, "without_neutral": result, NONE: result}).splitlines()
    assert lines[2] == "| nothing (the full loss) | 0.900 | 0.950 | 0.100 | 1.500 | 0.200 | 0.300 | 0.400 |"
    assert lines[3].startswith("| `neutral` | 0.900") and lines[4].startswith("| all of them | 0.900")


@pytest.mark.parametrize("change", [{"people": 1}, {"expressions": 1}, {"mesh_faces": 0}])
def test_impossible_counts_are_refused(tiny: Path, change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(change))} is"):
        requested(tiny, tiny / "unused", **change)


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("--plan",), "--plan"),
        (("--view",), "--view"),
        (("--initial_model", "m", "--priors.steps", "3"), "--priors.steps"),
    ],
)
def test_an_option_without_an_effect_is_refused(
    words: tuple[str, ...], option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ("--out", tmp_path / "out", "--data.path", tmp_path / "none")
    assert command("ablate", "--config", "configs/tiny_adversarial.yaml", *places, *words) == 2
    assert f"expected no {option} " in one_error_line(capsys)
    assert not (tmp_path / "out").exists()


def test_shared_surfaces_are_links_to_all_files(tmp_path: Path) -> None:
    source, target = tmp_path / "there", tmp_path / "variant" / "surfaces"
    source.mkdir()
    (source / "distance.npy").write_text("distance")
    ablation.share_surfaces(source, target)
    assert not target.parent.exists()  # the first variant's are not complete
    for name in FILES:
        (source / name).write_text(name)
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "distance.npy").write_text("mine")
    target.parent.mkdir()
    (target.parent / "surfaces.partial").symlink_to(mine)  # what an earlier version filled and renamed
    ablation.share_surfaces(source, target)
    assert all((target / name).samefile(source / name) for name in FILES)
    assert (mine / "distance.npy").read_text() == "mine" and len(list(mine.iterdir())) == 1


@pytest.mark.parametrize("kind", ["a link to nowhere", "file"])
def test_a_variant_without_room_is_refused_before_any_is_trained(
    kind: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ablation, "run", lambda config: pytest.fail("trained"))
    config = requested(tiny, tmp_path / "out")
    config.out.mkdir()
    place = config.out / NONE
    if kind == "file":
        place.write_text("mine")
    else:
        place.symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=rf"{NONE}.*{kind}"):
        ablate(config, print)


def test_other_cameras_are_measured_anew(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data with the same faces, turned otherwise, had the results of the first."""
    config, count = requested(tiny, tmp_path / "out"), []
    result = AblationResult(0.9, 0.95, 0.1, 1.5, 0.2, 0.3, 0.4)
    monkeypatch.setattr(ablation, "ablation_result", lambda *_: count.append(1) or result)
    network = SimpleNamespace(generator=torch.nn.Linear(1, 1))
    monkeypatch.setattr(ablation, "load_checkpoint", lambda _: network)
    monkeypatch.setattr(ablation, "weights_sha256", lambda _: "0")
    judge = load_judge(config.judge, config.face_model, torch.device("cpu"))
    head, dataset = load_head_geometry(config.face_model), FaceDataset(config.data)
    turned = FaceDataset(config.data)
    turned._poses = turned._poses + np.float32(0.1)
    for data, measurements in ((dataset, 1), (dataset, 1), (turned, 2), (turned, 2)):
        ablation.measured(tmp_path / "model", judge, head, data, config.evaluation())
        assert len(count) == measurements


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"mine": 1}', r"ablation\.json: is in the way and was not written by"),
        ("mine", "not a JSON file"),
        ('{"inputs": INPUTS, "result": {"aed": NaN}}', r"result\."),
    ],
)
def test_measurements_of_others_stay_and_damaged_ones_are_refused(
    content: str, message: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = requested(tiny, tmp_path / "out")
    result = AblationResult(0.9, 0.95, 0.1, 1.5, 0.2, 0.3, 0.4)
    monkeypatch.setattr(ablation, "ablation_result", lambda *_: result)
    monkeypatch.setattr(
        ablation, "load_checkpoint", lambda _: SimpleNamespace(generator=torch.nn.Linear(1, 1))
    )
    monkeypatch.setattr(ablation, "weights_sha256", lambda _: "0")
    judge = load_judge(config.judge, config.face_model, torch.device("cpu"))
    head, dataset, path = (
        load_head_geometry(config.face_model),
        FaceDataset(config.data),
        tmp_path / "ablation.json",
    )

    def measured() -> AblationResult:
        return ablation.measured(tmp_path / "model", judge, head, dataset, config.evaluation())

    assert measured() == result and measured() == result
    written = json.loads(path.read_text())
    if "INPUTS" in content:
        content = json.dumps(written | {"result": written["result"] | {"aed": math.nan}})
    else:
        (tmp_path / MARKER).unlink()
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        measured()
    assert path.read_text() == content
