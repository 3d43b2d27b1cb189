"""A model that reads colours off its manifolds is baked for one expression, and looks the same with it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from anifacegan.avatars.baking.bake import bake
from anifacegan.avatars.baking.still import bake_still
from tests.fixtures.ball_people import (
    SMALL_BAKE,
    charts,
    person,
    psnr_to_adaptive,
    squeezed,
    z_exp_rows,
)

SMILE = z_exp_rows((0.7,))[0]
GAIN = 4.0


def nudged(x: Tensor) -> Tensor:
    """An alignment by some millimetres that varies over space."""
    return 0.01 * torch.sin(20 * x.flip(-1))


@pytest.mark.parametrize("align", [None, nudged])
def test_it_looks_as_the_networks_draw_it_with_its_expression(align: object) -> None:
    condition = person(squeezed(0), radiance_offset_gain=GAIN, align=align)
    layered_mesh, _ = bake_still(condition, SMILE, charts(), SMALL_BAKE)
    without_gain, _ = bake(person(squeezed(0), align=align), SMILE[None], charts(), SMALL_BAKE)
    for yaw, pitch in ((0.0, 0.0), (0.4, 0.2)):
        decibels = psnr_to_adaptive(layered_mesh, condition, SMILE, yaw=yaw, pitch=pitch)
        assert decibels > 40
        assert decibels > psnr_to_adaptive(without_gain, condition, SMILE, yaw=yaw, pitch=pitch) + 20


def test_it_has_one_fixed_expression() -> None:
    layered_mesh, report = bake_still(
        person(squeezed(0), radiance_offset_gain=GAIN), SMILE, charts(), SMALL_BAKE
    )
    assert len(layered_mesh.blendshapes) == len(layered_mesh.z_exp) == 0 and len(report.residual) == 1
    assert layered_mesh.posed(SMILE).vertices is not layered_mesh.vertices
    np.testing.assert_array_equal(layered_mesh.posed(SMILE).vertices, layered_mesh.vertices)
    assert layered_mesh.approximation_error(SMILE) == pytest.approx(1.0)  # every other expression is refused


def test_without_a_gain_it_equals_a_bake_with_that_expression() -> None:
    one, _ = bake_still(person(squeezed(0)), SMILE, charts(), SMALL_BAKE)
    other, _ = bake(person(squeezed(0)), SMILE[None], charts(), SMALL_BAKE)
    np.testing.assert_allclose(one.vertices, other.posed(SMILE).vertices, atol=1e-6)
    assert (abs(one.textures.astype(int) - replace(other).textures.astype(int)) <= 1).mean() > 0.999
