"""Training of feature planes: their own rate, the averaged weights, the variation and the chart."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from anifacegan.losses.mesh_points import MeshSampler
from anifacegan.models.checkpoints import load_checkpoint
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.feature_planes import FeaturePlanes
from anifacegan.runtime.errors import ConfigError, InputError
from anifacegan.training.initialization import fit_chart
from anifacegan.training.loop import train, update
from anifacegan.training.paired import PairedData
from anifacegan.training.run import run
from anifacegan.training.state import State, new_state
from anifacegan.training.weight_groups import weight_groups
from anifacegan.training.weights import LossWeights
from tests.fixtures.small_models import PLANES, SMALL_ALIGNMENT, WITH_PLANES, small_generator
from tests.fixtures.tiny_training_set import SCHEDULE, tiny_config

VARIATION = LossWeights(plane_variation=1e-2)


def state(betas: tuple[float, float] = SCHEDULE.adam_betas) -> State:
    return new_state(small_generator(WITH_PLANES), SCHEDULE.average_decay, betas=betas)


def planes_of(learner: State) -> FeaturePlanes:
    assert learner.generator.template.planes is not None
    return learner.generator.template.planes


def test_planes_are_a_group_of_their_own_and_every_weight_is_in_one() -> None:
    generator = small_generator(WITH_PLANES)
    groups = weight_groups(generator)
    assert list(groups) == ["template", "deformation", "manifolds", "planes"]
    assert [id(p) for p in groups["planes"]] == [id(p) for p in generator.template.planes.tables()]
    fields = [getattr(generator, name) for name in groups if name != "planes"]
    every = [id(weight) for field in fields for weight in field.parameters()]
    assert sorted(id(weight) for group in groups.values() for weight in group) == sorted(every)


def test_the_first_step_moves_texels_by_their_own_rate() -> None:
    """Adam's first step is the rate, in the direction of the gradient's sign."""
    learner = state()
    rates = {"planes": 0.05, "template": 1e-4}
    for group in learner.optimizer.param_groups:
        group["lr"] = rates.get(group["field"], 0.0)
    planes = planes_of(learner)
    before = planes.planes.detach().clone(), planes.mix.detach().clone()
    update(learner, {"colour": planes.planes.sum() + planes.mix.sum()}, SCHEDULE)
    torch.testing.assert_close(before[0] - planes.planes, torch.full_like(before[0], 0.05), rtol=1e-3, atol=0)
    torch.testing.assert_close(before[1] - planes.mix, torch.full_like(before[1], 1e-4), rtol=2e-2, atol=0)


def test_the_betas_of_adam_are_those_of_the_schedule() -> None:
    assert {group["betas"] for group in state((0.5, 0.75)).optimizer.param_groups} == {(0.5, 0.75)}


def test_gradients_reach_tables_mix_and_skip_and_are_finite(data: PairedData, mesh: MeshSampler) -> None:
    learner, seen = state(), {}

    def report(learner: State, losses: dict[str, float]) -> None:
        for name, weight in planes_of(learner).named_parameters():
            if weight.grad is not None:
                assert weight.grad.isfinite().all()
                seen[name] = max(seen.get(name, 0.0), weight.grad.abs().max().item())

    train(learner, data, mesh, SCHEDULE, LossWeights(), report)
    assert seen.keys() == {"planes", "grid", "mix", "skip", "person.weight", "person.bias"}
    assert min(seen.values()) > 0


def test_the_average_follows_the_planes(data: PairedData, mesh: MeshSampler) -> None:
    learner = state()
    before = planes_of(learner).planes.detach().clone()
    train(learner, data, mesh, SCHEDULE, LossWeights(), lambda *_: None)
    mean = learner.average.template.planes.planes
    assert not torch.equal(mean, before) and not torch.equal(mean, planes_of(learner).planes)


def test_variation_has_its_weight_and_teaches_planes_only(data: PairedData, mesh: MeshSampler) -> None:
    reported: dict[float, list[dict[str, float]]] = {}
    for weight in (0.0, 1e-2, 2e-2):
        schedule = dataclasses.replace(SCHEDULE, warm_up_deform=0, near_surface=1, complete=0)
        reported[weight] = []
        train(
            state(), data, mesh, schedule, LossWeights(plane_variation=weight),
            lambda _, losses, found=reported[weight]: found.append(losses),
        )  # fmt: skip
    assert "plane_variation" not in reported[0.0][0]
    once, twice = (reported[weight][0]["plane_variation"] for weight in (1e-2, 2e-2))
    assert twice == pytest.approx(2 * once) and once > 0
    assert reported[0.0][0]["colour"] == reported[1e-2][0]["colour"]  # it draws after the rays


def test_variation_makes_unread_texels_follow_their_neighbours() -> None:
    learner = state()
    for group in learner.optimizer.param_groups:
        group["lr"] = 0.02
    planes, rng = planes_of(learner), torch.Generator().manual_seed(0)
    before = planes.variation(1000, rng).item()
    for _ in range(100):
        update(learner, {"plane_variation": planes.variation(1000, rng)}, SCHEDULE)
    assert planes.variation(1000, rng).item() < 0.05 * before


def test_the_chart_is_laid_over_the_surface() -> None:
    """Of a ball about the chart's centre whose radius grows to the right, 0.1 + 0.02 x along the unit direction."""
    planes = FeaturePlanes(dataclasses.replace(PLANES, grid_resolution=12), mapping_dim=4)
    unit = np.random.default_rng(0).standard_normal((40_000, 3))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    fit_chart(planes, np.array(PLANES.centre) + (0.1 + 0.02 * unit[:, :1]) * unit)
    expected = 0.1 + 0.02 * planes.directions()[:, 0]
    # 48 vertices of 40,000 lie within 0.07 rad, over which the radius changes by up to 0.02 * 0.07.
    assert np.abs(planes.radius.numpy().ravel() - expected).max() < 1.4e-3


def test_a_run_writes_a_model_with_planes_that_another_run_goes_on_from(tiny: Path, tmp_path: Path) -> None:
    """The options that no weight depends on may differ between the two, sizes may not."""
    config = dataclasses.replace(
        tiny_config(tiny, tmp_path / "first"), generator=WITH_PLANES, weights=VARIATION
    )
    model = load_checkpoint(run(config)).generator
    assert model.config == WITH_PLANES
    planes = model.template.planes
    assert planes is not None and planes.radius.std() > 0  # the tiny head is no ball
    assert model.mean_mix is not None and model.mean_mix.any()

    def second(name: str, **changes: object) -> Path:
        template = dataclasses.replace(WITH_PLANES.template, planes=dataclasses.replace(PLANES, **changes))
        generator = dataclasses.replace(WITH_PLANES, template=template)
        schedule = dataclasses.replace(SCHEDULE, warm_up_deform=1, near_surface=0, complete=0)
        return run(
            dataclasses.replace(
                config,
                out=tmp_path / name,
                generator=generator,
                schedule=schedule,
                initial_model=tmp_path / "first" / "model",
            )
        )

    later = load_checkpoint(second("later", finest_moves_points=True, half_precision=True)).generator
    rounded = planes.planes.half().float()
    assert torch.equal(later.template.planes.planes, rounded)  # which only the surface stages teach
    with pytest.raises(InputError, match="initial_model: .* holds other networks"):
        second("wider", mixed=5)


def test_variation_without_planes_is_refused(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"weights.plane_variation is 0.01, expected 0 without"):
        dataclasses.replace(tiny_config(tiny, tmp_path), weights=VARIATION)


@pytest.mark.parametrize("moves", [False, True])
def test_the_colour_of_the_finest_plane_moves_points_where_asked(moves: bool) -> None:
    """Of the whole generator: the sum of the colours of aligned points, which here depend on the finest plane alone."""
    planes = dataclasses.replace(PLANES, finest_moves_points=moves)
    template = dataclasses.replace(WITH_PLANES.template, planes=planes)
    generator = small_generator(
        dataclasses.replace(WITH_PLANES, template=template, alignment=SMALL_ALIGNMENT)
    )
    tables = generator.template.planes
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for head in generator.template.rgb_heads:
            head.weight.zero_()
        tables.grid.zero_()
        tables.planes[: PLANES.resolutions[0] ** 2] = 0
    latents = Latents(*(torch.randn(1, dim, generator=rng) for dim in (80, 64, 80)))
    fields, x = generator.condition(latents), (0.1 * torch.rand(1, 20, 3, generator=rng)).requires_grad_()
    rgb, _ = fields.radiance(x + fields.align(x))
    rgb.sum().backward()
    assert tables.planes.grad.any()
    assert x.grad.any() == moves
