"""Lids that a photograph of open eyes does not show are skin, with a crease and pores."""

import numpy as np
import pytest

from anifacegan.capture.eyelids import _height, _lid_shading, _one_lid, _pores
from anifacegan.capture.painting import SeenTexels

SIZE = 128
SKIN = np.float32([0.7, 0.5, 0.4])
LID = (slice(40, 60), slice(44, 84))


@pytest.fixture
def lid() -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[LID] = True
    return mask


@pytest.fixture
def margin() -> np.ndarray:
    return np.stack([np.linspace(44, 83, 9), np.full(9, 58.0)], axis=-1)


def texels_seen(seen: np.ndarray) -> SeenTexels:
    ones = np.ones((SIZE, SIZE), np.float32)
    return SeenTexels(ones, seen.astype(np.float32), ones, np.zeros((SIZE, SIZE, 2), np.float32))


def test_a_hidden_lid_gets_the_colour_of_skin_and_not_of_the_eye(lid: np.ndarray, margin: np.ndarray) -> None:
    texture = np.ones((SIZE, SIZE, 4), np.float32)
    texture[..., :3] = SKIN
    texture[30:40, 44:84, :3] = [0.57, 0.55, 0.53]  # the white of an eye, beside the lid, as bright as skin
    texture[LID][..., :3] = 0.1
    painted = _one_lid(texture, texels_seen(~lid), np.zeros((SIZE, SIZE), np.float32), lid, margin)
    middle = painted[46:52, 54:74, :3].mean(axis=(0, 1))
    assert middle / middle[1] == pytest.approx(SKIN / SKIN[1], rel=0.03), "the skin's tint"
    assert middle == pytest.approx(SKIN, rel=0.12), "and about its brightness"


def test_a_lid_is_darker_in_its_crease_than_in_its_middle(lid: np.ndarray, margin: np.ndarray) -> None:
    height = _height(margin, lid)
    shading = _lid_shading(height, lid.astype(np.float32))
    assert height[48, 60] == 10 and height[70, 60] == -12
    assert shading[43, 64] < 0.95 < 1 < shading[49, 64]
    assert (shading[60:] == 1).all(), "below the margin is the lower lid"


def test_pores_come_from_skin_near_that_is_smooth(lid: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    rgb = np.repeat(SKIN + 0.02 * rng.standard_normal((SIZE, SIZE, 1)), 1, axis=-1).astype(np.float32)
    rgb[104:, ::6] = 0.1  # a striped collar farther below
    known = np.ones_like(lid) & ~lid
    pores = _pores(rgb, known, lid)
    cheek = rgb[92:102, 50:80].mean(axis=-1)
    assert 0.3 * cheek.std() < pores[42:56, 50:80].mean(axis=-1).std() < 1.5 * cheek.std()
    assert not pores[~lid].any()
    assert not _pores(rgb, np.zeros_like(lid), lid).any(), "nothing is known there"


def test_reflections_of_glasses_stay_before_a_lid(lid: np.ndarray, margin: np.ndarray) -> None:
    texture = np.ones((SIZE, SIZE, 4), np.float32)
    texture[..., :3] = SKIN
    texture[44:48, 50:60, :3] = 0.95
    unfolds = lid.astype(np.float32)
    painted = _one_lid(texture, texels_seen(np.ones_like(lid)), unfolds, lid, margin)
    assert painted[46, 55, :3].min() > 0.8
    assert painted[46, 75, :3] == pytest.approx(SKIN, rel=0.2)


def test_a_lid_goes_on_with_the_shading_around_it(lid: np.ndarray, margin: np.ndarray) -> None:
    texture = np.ones((SIZE, SIZE, 4), np.float32)
    texture[..., :3] = SKIN * np.linspace(0.85, 1.1, SIZE)[None, :, None]
    painted = _one_lid(texture, texels_seen(~lid), np.zeros((SIZE, SIZE), np.float32), lid, margin)
    left, right = (painted[46:52, part, 0].mean() for part in (slice(46, 54), slice(74, 82)))
    assert right > 1.03 * left
