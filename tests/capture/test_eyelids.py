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
    assert shading[41, 64] < 0.95 < 1 < shading[49, 64]
    assert (shading[60:] == 1).all(), "below the margin is the lower lid"


def test_pores_come_from_the_skin_under_the_eye(lid: np.ndarray, margin: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    rgb = np.repeat(SKIN + 0.03 * rng.standard_normal((SIZE, SIZE, 1)), 1, axis=-1).astype(np.float32)
    pores = _pores(rgb, ~lid, _height(margin, lid), lid)
    below = rgb[68:96, 50:80].mean(axis=-1)
    assert 0.3 * below.std() < pores[42:56, 50:80].mean(axis=-1).std() < 1.5 * below.std()
    assert not pores[~lid].any()
    assert not _pores(rgb, np.zeros_like(lid), _height(margin, lid), lid).any(), "nothing is known there"
