"""The steps: what they draw, what they teach, how they end and how they go on."""

import dataclasses
import io
import math
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from anifacegan.data.synthetic.geometry_buffers import GeometryBuffers
from anifacegan.data.synthetic.head import head_geometry
from anifacegan.geometry.rays import image_rays
from anifacegan.losses.imitation_points import MeshSampler
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.deformation import DeformationConfig
from anifacegan.models.generator import ConditionedFields, Generator
from anifacegan.rendering.compositing import RayColours
from anifacegan.rendering.volume import render_rays
from anifacegan.runtime.errors import InputError
from anifacegan.training import loop as training_loop
from anifacegan.training.image_imitation import ImageWeights
from anifacegan.training.loop import (
    FREE_MARGIN,
    LossWeights,
    Schedule,
    State,
    imitation_losses,
    in_free_space,
    learning_rates,
    near_surface,
    new_state,
    photometric_losses,
    train,
    update,
)
from anifacegan.training.optim import matrix_precision
from anifacegan.training.paired import PairedBatch, PairedData
from tests.fixtures.small_models import small_generator
from tests.fixtures.tiny_head import tiny_model, tiny_parts
from tests.fixtures.tiny_training_set import GENERATOR, SCHEDULE, packed, random_latents

ITEMS, SIZE = 6, 16


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def data() -> PairedData:
    images = torch.randint(0, 256, (ITEMS, SIZE, SIZE, 3), dtype=torch.uint8, generator=rng())
    steps = np.random.default_rng(0).integers(38_000, 42_000, (ITEMS, SIZE, SIZE)).astype(np.uint16)
    steps[:, :, : SIZE // 3] = 0  # a part of every image is background
    return PairedData(
        images,
        random_latents(ITEMS),
        GeometryBuffers(steps, np.zeros((ITEMS, 1), np.uint8)),
        12.0,
        held_out=1,
    )


@pytest.fixture(scope="module")
def mesh() -> MeshSampler:
    model = tiny_model()
    seen = packed(np.ones((ITEMS, len(model.mean)), bool))
    return MeshSampler(head_geometry(model, tiny_parts(model)), seen)


def state(schedule: Schedule = SCHEDULE) -> State:
    return new_state(small_generator(GENERATOR), schedule)


def copied(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def changed(module: torch.nn.Module, before: dict[str, Tensor]) -> bool:
    return any(not torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


# --------------------------------------------------------------------------------------------- near the known surface
def choose(
    t: list[float], hit: list[bool], distance: float, count: int, seed: int = 0
) -> tuple[list[int], list[bool]]:
    """The choice on one ray."""
    index, exists = near_surface(torch.tensor([[distance]]), count, rng(seed))(
        torch.tensor([[t]]), torch.tensor([[hit]])
    )
    return index[0, 0].tolist(), exists[0, 0].tolist()


T = [0.90, 0.93, 0.96, 0.98, 1.00, 1.02, 1.05]


def test_the_manifolds_nearest_to_the_surface_are_chosen() -> None:
    index, exists = choose(T, [True] * 7, 0.985, 3)
    assert set(index[:3]) == {2, 3, 4} and exists[:3] == [True] * 3


def test_one_more_lies_in_free_space_and_every_one_there_has_its_turn() -> None:
    free = set()
    for seed in range(60):
        index, exists = choose(T, [True] * 7, 0.985, 3, seed)
        assert exists[3]
        free.add(index[3])
    assert free == {0, 1}  # 2 is free as well, but chosen already


def test_nothing_within_the_margin_counts_as_free() -> None:
    surface = 0.99
    before = [surface - FREE_MARGIN - 0.001, surface - FREE_MARGIN + 0.001, surface, 1.0]
    for seed in range(20):
        assert choose(before, [True] * 4, surface, 1, seed) == ([2, 0], [True, True])
        assert choose(before[1:], [True] * 3, surface, 1, seed)[1] == [True, False]


def test_missed_manifolds_are_not_shaded() -> None:
    hit = [False, True, False, False, True, True, False]
    for seed in range(20):
        index, exists = choose(T, hit, 0.985, 4, seed)
        assert {i for i, there in zip(index, exists, strict=True) if there} == {1, 4, 5}


def test_no_manifold_is_shaded_twice() -> None:
    t = torch.rand(3, 200, 9, generator=rng()).sort(dim=-1).values * 0.2 + 0.9
    hit = torch.rand(t.shape, generator=rng(1)) < 0.7
    distance = 0.9 + 0.2 * torch.rand(3, 200, generator=rng(2))
    distance[:, ::5] = torch.inf
    index, exists = near_surface(distance, 4, rng(3))(t, hit)
    for b, r in np.ndindex(3, 200):
        there = index[b, r][exists[b, r]].tolist()
        assert len(set(there)) == len(there) and hit[b, r, there].all()
        assert len(there) >= min(4, int(hit[b, r].sum()))


def test_rays_of_the_background_try_all_manifolds_in_turn() -> None:
    tried = [choose(T, [True] * 7, float("inf"), 2, seed)[0] for seed in range(60)]
    assert {index for indices in tried for index in indices} == set(range(7))


def colours(t: Tensor, hit: Tensor) -> RayColours:
    """Rays with the given points, the last of them the background's."""
    ray = torch.zeros(t.shape[:2])
    vectors, points = torch.zeros(*ray.shape, 3), torch.zeros(*t.shape, 3)
    return RayColours(vectors, ray, ray, vectors, torch.ones_like(t), t, hit, t, points, points)


def batch_of(distance: Tensor, inside: Tensor) -> PairedBatch:
    """Random faces and colours; as many rays as a square image has."""
    count, rays = distance.shape
    size = math.isqrt(rays)
    return PairedBatch(
        z_id=torch.randn(count, 80, generator=rng(0)),
        z_exp=torch.randn(count, 64, generator=rng(1)),
        z_noise=torch.randn(count, 80, generator=rng(2)),
        rays=image_rays(yaw=torch.linspace(-0.3, 0.3, count), pitch=torch.zeros(count), size=size),
        rgb=torch.rand(count, rays, 3, generator=rng(3)),
        distance=distance,
        inside=inside,
    )


def test_points_before_a_sure_surface_are_in_free_space() -> None:
    t = torch.tensor(
        [[[0.9, 0.995, 1.1, 1.2], [0.9, 0.0, 0.95, 1.2], [0.9, 0.9, 0.9, 1.2], [0.9, 1.1, 1.0, 1.2]]]
    )
    hit = torch.tensor([[[True] * 4, [True, False, True, True], [True] * 4, [True] * 4]])
    distance = torch.tensor([[1.0, 1.0, 1.0, float("inf")]])
    inside = torch.tensor([[True, True, False, True]])
    free = in_free_space(colours(t, hit), batch_of(distance, inside))
    assert free[0].tolist() == [[True, False, False], [True, False, True], [False] * 3, [True] * 3]


# ---------------------------------------------------------------------------------------------- which field learns what
def gradient_norms(generator: Generator, near: bool) -> dict[str, float]:
    batch = batch_of(0.97 + 0.05 * torch.rand(2, 36, generator=rng(5)), torch.ones(2, 36, dtype=torch.bool))
    losses = photometric_losses(generator, batch, SCHEDULE, near, LossWeights(), rng(6))
    generator.zero_grad()
    losses["colour"].backward()
    return {
        name: sum(float(p.grad.norm()) for p in module.parameters() if p.grad is not None)
        for name, module in generator.named_children()
    }


def test_near_the_surface_colours_teach_only_what_is_read_there() -> None:
    norms = gradient_norms(small_generator(GENERATOR), near=True)
    assert {name for name, norm in norms.items() if norm > 0} == {"template", "alignment"}


def test_in_the_complete_stage_colours_teach_all_fields_and_no_prior() -> None:
    norms = gradient_norms(small_generator(GENERATOR), near=False)
    fields = {"template", "alignment", "deformation", "manifolds"}
    assert {name for name, norm in norms.items() if norm > 0} == fields


@pytest.mark.parametrize(("requested", "samples"), [(0, GENERATOR.ray_sampling.samples), (5, 5)])
def test_the_complete_stage_marches_with_the_samples_that_are_asked_for(
    requested: int, samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def noted(fields: ConditionedFields, *others: object) -> RayColours:
        seen.append(fields.ray_sampling.samples)
        return render_rays(fields, *others)

    monkeypatch.setattr(training_loop, "render_rays", noted)
    batch = batch_of(torch.full((2, 16), 1.0), torch.ones(2, 16, dtype=torch.bool))
    schedule = dataclasses.replace(SCHEDULE, complete_samples=requested)
    photometric_losses(small_generator(GENERATOR), batch, schedule, False, LossWeights(), rng())
    photometric_losses(small_generator(GENERATOR), batch, schedule, True, LossWeights(), rng())
    assert seen == [samples, SCHEDULE.near_samples]


@pytest.mark.parametrize("wrong", [1, -1])
def test_too_few_samples_are_refused(wrong: int) -> None:
    with pytest.raises(ValueError, match=f"complete_samples is {wrong}"):
        dataclasses.replace(SCHEDULE, complete_samples=wrong)


def test_the_warm_up_teaches_deformation_and_alignment_alone(data: PairedData, mesh: MeshSampler) -> None:
    start = state()
    before = {name: copied(module) for name, module in start.generator.named_children()}
    schedule = dataclasses.replace(SCHEDULE, near_surface=0, complete=0)
    train(start, data, mesh, schedule, LossWeights(), lambda *_: None)
    after = dict(start.generator.named_children())
    assert {name for name, module in after.items() if changed(module, before[name])} == {
        "deformation",
        "alignment",
    }


def test_every_term_has_its_weight(data: PairedData, mesh: MeshSampler) -> None:
    generator = small_generator(GENERATOR)
    batch = batch_of(torch.full((2, 16), 1.0), torch.ones(2, 16, dtype=torch.bool))

    def terms(weights: LossWeights) -> dict[str, Tensor]:
        return imitation_losses(generator, data, mesh, SCHEDULE, weights, rng()) | photometric_losses(
            generator, batch, SCHEDULE, True, weights, rng()
        )

    of_images = {field.name for field in dataclasses.fields(ImageWeights)}
    names = [field.name for field in dataclasses.fields(LossWeights) if field.name not in of_images]
    ones = terms(LossWeights(**dict.fromkeys(names, 1.0)))
    assert sorted(ones) == sorted(names)
    assert all(value.item() > 0 for value in ones.values())
    for factor, name in enumerate(names):
        scaled = terms(LossWeights(**dict.fromkeys(names, 1.0) | {name: factor + 2.0}))
        assert scaled[name].item() == pytest.approx((factor + 2) * ones[name].item(), rel=1e-5)


def test_an_imitation_term_without_weight_is_not_computed(
    data: PairedData, mesh: MeshSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor are the others changed by its absence; without any no field is asked."""
    generator = small_generator(GENERATOR)
    whole = imitation_losses(generator, data, mesh, SCHEDULE, LossWeights(), rng())
    for name in whole:
        without = dataclasses.replace(LossWeights(), **{name: 0.0})
        rest = imitation_losses(generator, data, mesh, SCHEDULE, without, rng())
        assert rest.keys() == whole.keys() - {name}
        assert all(torch.equal(value, whole[kept]) for kept, value in rest.items())
    none = LossWeights(**dict.fromkeys(whole, 0.0))
    for field in (generator.deformation, generator.alignment):
        monkeypatch.setattr(type(field), "bind", lambda *_: None)  # what it binds must not be called
    assert imitation_losses(generator, data, mesh, SCHEDULE, none, rng()) == {}


def test_the_deformation_learns_to_follow_the_mesh(data: PairedData, mesh: MeshSampler) -> None:
    """From a field that moves nothing."""
    schedule = Schedule(
        warm_up_deform=150, near_surface=0, complete=0, mesh_faces=4, mesh_points=40, lr_deformation=3e-3
    )
    deformation = DeformationConfig(hidden_dim=32, mapping_dim=32, output_scale=0.05)
    config = dataclasses.replace(GENERATOR, deformation=deformation)
    start, errors = new_state(Generator(config).initialise(rng()), schedule), []
    train(start, data, mesh, schedule, LossWeights(), lambda _, losses: errors.append(losses["deformation"]))
    assert np.mean(errors[-20:]) < 0.5 * np.mean(errors[:3])


# -------------------------------------------------------------------------------------------------------------- a step
def test_a_term_that_is_not_finite_is_named_with_its_step_and_changes_nothing() -> None:
    broken = state()
    broken.step = 41
    before = copied(broken.generator)
    losses = {
        "colour": torch.tensor(0.5),
        "roughness": broken.generator.deformation.head.weight.sum() * torch.inf,
    }
    with pytest.raises(FloatingPointError, match=r"step 41: roughness not finite \(colour 0.5, roughness "):
        update(broken, losses, SCHEDULE)
    assert not changed(broken.generator, before)


def test_a_gradient_that_is_not_finite_is_named_with_its_field_and_changes_nothing() -> None:
    broken = state()
    broken.step = 3
    before = copied(broken.generator)
    losses = {"neutral": (0 * broken.generator.deformation.head.weight).sqrt().sum()}  # 0, with slope 0 / 0
    with pytest.raises(FloatingPointError, match="step 3: a gradient of deformation is not finite"):
        update(broken, losses, SCHEDULE)
    assert not changed(broken.generator, before)


def test_large_gradients_are_cut_to_the_limit_field_by_field() -> None:
    learner = state()
    template = next(learner.generator.template.parameters())
    field = next(learner.generator.manifolds.parameters())
    update(learner, {"colour": 1e6 * template.sum() + 1e-3 * field.sum()}, SCHEDULE)
    assert template.grad is not None and field.grad is not None
    assert template.grad.norm().item() == pytest.approx(SCHEDULE.gradient_limit, rel=1e-4)
    assert field.grad.norm().item() == pytest.approx(1e-3 * field.numel() ** 0.5, rel=1e-4)


@pytest.mark.parametrize("step, decay", [(0, 0.0), (8, 9 / 18), (100_000, 0.999)])
def test_the_average_follows_the_weights(step: int, decay: float) -> None:
    learner = state()
    learner.averaged.n_averaged.fill_(step)
    before = learner.average.deformation.head.weight.clone()
    update(learner, {"neutral": learner.generator.deformation.head.weight.sum()}, SCHEDULE)
    expected = decay * before + (1 - decay) * learner.generator.deformation.head.weight
    assert torch.allclose(learner.average.deformation.head.weight, expected, atol=1e-7)
    assert not learner.average.deformation.head.weight.requires_grad


def test_every_field_is_in_the_optimiser_once_and_no_prior_is() -> None:
    learner = state()
    groups = {group["field"]: group["params"] for group in learner.optimiser.param_groups}
    assert list(groups) == ["template", "deformation", "manifolds", "alignment"]
    for name, parameters in groups.items():
        expected = learner.generator.get_submodule(name).parameters()
        assert [id(p) for p in parameters] == [id(p) for p in expected]


def test_learning_rates_rise_fast_and_fall_to_their_floors() -> None:
    schedule = Schedule(warm_up_deform=1000, near_surface=3000, complete=1000)
    learner = state(schedule)

    def rate(field: str, step: int) -> float:
        learning_rates(learner.optimiser, schedule, step)
        return {group["field"]: group["lr"] for group in learner.optimiser.param_groups}[field]

    for field in ("deformation", "alignment"):
        assert rate(field, 0) == pytest.approx(schedule.lr_deformation, rel=1e-4)
        assert rate(field, 999) == pytest.approx(0.3 * schedule.lr_deformation)
        assert rate(field, 1000) == pytest.approx(0.3 * schedule.lr_deformation, rel=1e-4)  # no jump
        assert rate(field, 4999) == pytest.approx(0.03 * schedule.lr_deformation, rel=1e-3)
    assert rate("template", 1000) == pytest.approx(schedule.lr_template / 200, rel=1e-4)
    assert rate("template", 1200) == pytest.approx(schedule.lr_template, rel=0.01)
    assert rate("template", 4999) == pytest.approx(0.03 * schedule.lr_template, rel=1e-3)
    middle = [rate("template", step) for step in range(1200, 5000, 100)]
    assert all(a > b for a, b in pairwise(middle))
    assert rate("manifolds", 4000) == pytest.approx(
        schedule.lr_manifolds, rel=1e-4
    )  # they learn from here on
    assert rate("manifolds", 4999) == pytest.approx(0.03 * schedule.lr_manifolds, rel=1e-3)


# ------------------------------------------------------------------------------------------------ going on after a stop
class StoppedError(Exception):
    pass


@pytest.mark.parametrize("stop", [1, 3, 6])
def test_stopped_saved_and_resumed_steps_equal_the_unbroken_ones(
    stop: int, data: PairedData, mesh: MeshSampler
) -> None:
    """Bit for bit, in all three stages, whatever the state of PyTorch's global generator."""

    def steps(learner: State, until: int) -> list[dict[str, float]]:
        reported = []

        def report(learner: State, losses: dict[str, float]) -> None:
            reported.append(losses)
            if learner.step == until:
                raise StoppedError

        torch.manual_seed(until)
        try:
            train(learner, data, mesh, SCHEDULE, LossWeights(), report)
        except StoppedError:
            pass
        return reported

    unbroken, first = state(), state()
    expected = steps(unbroken, SCHEDULE.steps)
    seen = steps(first, stop)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = state()
    second.load_state_dict(torch.load(file, weights_only=True))
    seen += steps(second, SCHEDULE.steps)
    assert seen == expected
    assert not changed(second.generator, copied(unbroken.generator))
    assert not changed(second.average, copied(unbroken.average))
    assert second.step == unbroken.step == SCHEDULE.steps
    assert second.learning == unbroken.learning


def test_every_step_draws_anew(data: PairedData, mesh: MeshSampler, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    real = PairedData.draw

    def recorded(data: PairedData, batch: int, rays: int, rng: torch.Generator) -> PairedBatch:
        drawn.append(real(data, batch, rays, rng))
        return drawn[-1]

    monkeypatch.setattr(PairedData, "draw", recorded)
    train(state(), data, mesh, SCHEDULE, LossWeights(), lambda *_: None)
    assert len(drawn) == SCHEDULE.near_surface + SCHEDULE.complete
    assert not any(torch.equal(one.rgb, other.rgb) for one, other in combinations(drawn, 2))


def test_the_seed_decides_what_is_drawn(data: PairedData, mesh: MeshSampler) -> None:
    reported = []
    for seed in (0, 1):
        schedule = dataclasses.replace(SCHEDULE, seed=seed)
        train(state(), data, mesh, schedule, LossWeights(), lambda _, losses: reported.append(losses))
    assert reported[0] != reported[SCHEDULE.steps]


def test_bfloat16_gives_the_float32_losses_up_to_its_rounding(data: PairedData, mesh: MeshSampler) -> None:
    """And moves no ray, no level and no point: distances are equal to the last bit."""
    generator, full = small_generator(GENERATOR), dataclasses.replace(SCHEDULE, mesh_faces=4, mesh_points=40)
    batch = data.draw(3, 20, rng(1))
    losses, seen = {}, {}
    for name in ("float32", "bfloat16"):
        schedule = dataclasses.replace(full, precision=name)
        with matrix_precision(schedule.precision, batch.rgb.device):
            fields = generator.condition(Latents(batch.z_id, batch.z_exp, batch.z_noise))
            still = dataclasses.replace(fields, offset=torch.zeros_like)
            seen[name] = render_rays(still, batch.rays)
            terms = photometric_losses(generator, batch, SCHEDULE, False, LossWeights(), rng(2))
        losses[name] = imitation_losses(generator, data, mesh, schedule, LossWeights(), rng(3)) | terms
    assert torch.equal(seen["float32"].t, seen["bfloat16"].t)
    assert torch.equal(seen["float32"].x_template, seen["bfloat16"].x_template)
    assert 0 < (seen["float32"].rgb - seen["bfloat16"].rgb).abs().max() < 0.05
    for term, value in losses["float32"].items():
        assert losses["bfloat16"][term].item() == pytest.approx(value.item(), rel=0.1, abs=1e-5), term


def test_the_schedule_says_how_far_beside_the_mesh_the_deformation_learns(
    data: PairedData, mesh: MeshSampler
) -> None:
    seen, watched = [], MeshSampler.points
    for far in (0.0, 0.003):
        schedule, drawn = dataclasses.replace(SCHEDULE, mesh_offset=far), []
        generator = small_generator(GENERATOR)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(MeshSampler, "points", lambda *given, to=drawn: to.append(watched(*given)) or to[0])
            losses = imitation_losses(generator, data, mesh, schedule, LossWeights(), rng(3))
        (points,) = drawn
        offset = generator.deformation.bind(
            *(latents[data.draw_items(SCHEDULE.mesh_faces, rng(3))] for latents in (data.z_id, data.z_exp))
        )
        error = (offset(points.x_target) - points.delta).square().sum(-1)
        expected = (points.confidence * error).sum() / points.visible.sum()
        assert losses["deformation"].item() == pytest.approx(3e4 * expected.item(), rel=1e-4)
        seen.append(points)
    distance = (seen[0].x_target - seen[1].x_target).norm(dim=-1)
    assert 0.002 < distance.max() < 0.0031 and (seen[0].visible == 1).all()
    assert torch.allclose(seen[1].visible, 1 - distance**2 / 1e-5, atol=1e-3)


@pytest.mark.parametrize("far", [-0.001, 0.0032])
def test_an_offset_beyond_the_reach_of_the_mesh_is_refused(far: float) -> None:
    with pytest.raises(InputError, match=f"^mesh_offset is {far}, expected at (least 0|most 0.00316)"):
        Schedule(mesh_offset=far)


def test_gradients_in_bfloat16_point_the_same_way(data: PairedData) -> None:
    gradients = []
    for name in ("float32", "bfloat16"):
        generator, batch = small_generator(GENERATOR), data.draw(3, 20, rng(1))
        with matrix_precision(name, batch.rgb.device):
            terms = photometric_losses(generator, batch, SCHEDULE, False, LossWeights(), rng(2))
        sum(terms.values()).backward()
        gradients.append(torch.cat([weight.grad.flatten() for weight in generator.template.parameters()]))
    assert gradients[0].dtype == gradients[1].dtype == torch.float32
    assert not torch.equal(*gradients) and torch.cosine_similarity(*gradients, dim=0) > 0.97


def test_a_moved_state_has_the_same_weights_and_moments(data: PairedData, mesh: MeshSampler) -> None:
    here, there = state(), state()
    weights = LossWeights()
    train(here, data, mesh, SCHEDULE, weights, lambda *_: None)

    def move_halfway(state: State, losses: dict[str, float]) -> None:
        if state.step == 4:
            state.to("cpu")

    train(there, data, mesh, SCHEDULE, weights, move_halfway)
    assert not changed(there.generator, copied(here.generator)) and not changed(
        there.average, copied(here.average)
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize(
    "done", [0, SCHEDULE.warm_up_deform, SCHEDULE.steps - 1], ids=["warm-up", "near", "complete"]
)
def test_the_losses_of_a_step_are_the_same_on_a_gpu(data: PairedData, mesh: MeshSampler, done: int) -> None:
    seen: list[dict[str, float]] = []
    for device in ("cpu", "cuda"):
        current = state()
        current.step = done
        current.to(device)

        def stop(state: State, losses: dict[str, float]) -> None:
            seen.append(losses)
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(current, data, mesh, SCHEDULE, LossWeights(), stop)
        assert current.generator.device.type == device
    assert seen[1] == pytest.approx(seen[0], rel=1e-4, abs=1e-6)
