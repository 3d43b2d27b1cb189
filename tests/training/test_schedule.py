"""Stages, bounds and learning rates of a schedule."""

import dataclasses
from itertools import pairwise

import pytest

from anifacegan.runtime.errors import InputError
from anifacegan.training.learning_rates import learning_rates
from anifacegan.training.schedule import Schedule
from anifacegan.training.state import new_state
from tests.fixtures.small_models import WITH_PLANES, small_generator
from tests.fixtures.tiny_training_set import SCHEDULE


def test_every_step_belongs_to_its_stage() -> None:
    schedule = Schedule(warm_up_deform=2, near_surface=1, complete=0, adversarial=2)
    stages = [schedule.stage(step) for step in range(schedule.steps)]
    assert stages == ["warm_up_deform"] * 2 + ["near_surface"] + ["adversarial"] * 2


@pytest.mark.parametrize("wrong", [1, -1])
def test_too_few_samples_are_refused(wrong: int) -> None:
    with pytest.raises(ValueError, match=f"complete_samples is {wrong}"):
        dataclasses.replace(SCHEDULE, complete_samples=wrong)


@pytest.mark.parametrize("betas", [(0.9, 1.0), (-0.1, 0.9)])
def test_decays_of_adam_beyond_0_to_1_are_refused(betas: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="adam_betas is "):
        Schedule(adam_betas=betas)


@pytest.mark.parametrize("far", [-0.001, 0.0032])
def test_points_beyond_the_confidence_radius_are_refused(far: float) -> None:
    with pytest.raises(InputError, match=f"^mesh_offset is {far}, expected at (least 0|most 0.00316)"):
        Schedule(mesh_offset=far)


def test_learning_rates_rise_fast_and_fall_to_their_floors() -> None:
    schedule = Schedule(warm_up_deform=1000, near_surface=3000, complete=1000)
    optimizer = new_state(small_generator(WITH_PLANES), schedule.average_decay).optimizer

    def rate(field: str, step: int) -> float:
        learning_rates(optimizer, schedule, step)
        return {group["field"]: group["lr"] for group in optimizer.param_groups}[field]

    assert rate("deformation", 0) == pytest.approx(schedule.lr_deformation / 100, rel=1e-4)
    assert rate("deformation", 99) == pytest.approx(schedule.lr_deformation, rel=0.02)
    assert rate("deformation", 999) == pytest.approx(0.3 * schedule.lr_deformation)
    assert rate("deformation", 1000) == pytest.approx(0.3 * schedule.lr_deformation, rel=1e-4)  # no jump
    assert rate("deformation", 4999) == pytest.approx(0.03 * schedule.lr_deformation, rel=1e-3)
    assert rate("template", 1000) == pytest.approx(schedule.lr_template / 200, rel=1e-4)
    assert rate("template", 1200) == pytest.approx(schedule.lr_template, rel=0.01)
    assert rate("template", 4999) == pytest.approx(0.03 * schedule.lr_template, rel=1e-3)
    ratio = schedule.lr_planes / schedule.lr_template
    for step in (1000, 1200, 4999):
        assert rate("planes", step) == pytest.approx(ratio * rate("template", step))
    middle = [rate("template", step) for step in range(1200, 5000, 100)]
    assert all(a > b for a, b in pairwise(middle))
    assert rate("manifolds", 4000) == pytest.approx(
        schedule.lr_manifolds, rel=1e-4
    )  # they learn from here on
    assert rate("manifolds", 4999) == pytest.approx(0.03 * schedule.lr_manifolds, rel=1e-3)
