"""A model whose colours lie beside the manifolds is baked for one expression, and shows the exact image then."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from anifacegan.avatars.baking import visibility
from anifacegan.avatars.baking.bake import BakeConfig, bake
from anifacegan.avatars.baking.still import bake_still
from tests.fixtures.ball_people import SIDE, charts, latents, person, psnr_of, squeezed

SMALL = BakeConfig(texture=96, grid=SIDE, widest_rad=0.6)
SMILE = latents((0.7,))[0]
GAIN = 4.0


@pytest.fixture(autouse=True)
def _small_views(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visibility, "SEEN_SIZE", 48)


def nudged(x: Tensor) -> Tensor:
    """A step to the mean head, of some millimetres, that differs from place to place."""
    return 0.01 * torch.sin(20 * x.flip(-1))


@pytest.mark.parametrize("align", [None, nudged])
def test_it_looks_like_the_exact_image_with_its_expression(align: object) -> None:
    requested = person(squeezed(0), radiance_offset_gain=GAIN, align=align)
    avatar, _ = bake_still(requested, SMILE, charts(), SMALL)
    unaware, _ = bake(person(squeezed(0), align=align), SMILE[None], charts(), SMALL)
    for yaw, pitch in ((0.0, 0.0), (0.4, 0.2)):
        decibels = psnr_of(avatar, requested, SMILE, yaw=yaw, pitch=pitch)
        assert decibels > 40
        assert decibels > psnr_of(unaware, requested, SMILE, yaw=yaw, pitch=pitch) + 20


def test_it_has_one_expression_for_good() -> None:
    avatar, report = bake_still(person(squeezed(0), radiance_offset_gain=GAIN), SMILE, charts(), SMALL)
    assert len(avatar.blendshapes) == len(avatar.latents) == 0 and len(report.residual) == 1
    assert avatar.posed(SMILE).vertices is not avatar.vertices
    np.testing.assert_array_equal(avatar.posed(SMILE).vertices, avatar.vertices)
    assert avatar.missed(SMILE) == pytest.approx(1.0)  # what a player would be told: not blendable


def test_without_a_gain_it_is_the_plain_bake_with_that_expression() -> None:
    one, _ = bake_still(person(squeezed(0)), SMILE, charts(), SMALL)
    other, _ = bake(person(squeezed(0)), SMILE[None], charts(), SMALL)
    np.testing.assert_allclose(one.vertices, other.posed(SMILE).vertices, atol=1e-6)
    assert (abs(one.textures.astype(int) - replace(other).textures.astype(int)) <= 1).mean() > 0.999
