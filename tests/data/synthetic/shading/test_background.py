"""Backgrounds: one colour from every view, constant places, smooth in their numbers."""

import dataclasses

import numpy as np
import pytest
import torch

from anifacegan.data.synthetic.looks.appearance import BACKGROUND_KINDS, Background
from anifacegan.data.synthetic.shading.background import LEVEL, background_image, background_shapes
from anifacegan.geometry.conventions import WORLD_PER_NETWORK_UNIT
from tests.fixtures.synthetic_faces import one_camera


def place(kind: str) -> Background:
    palette = np.float32([[0.1, 0.2, 0.3], [0.5, 0.4, 0.3], [0.05, 0.1, 0.02], [0.6, 0.6, 0.5]])
    weights = np.float32([name == kind for name in BACKGROUND_KINDS])
    first, second = np.float32([0.1, 0.5, 0.9]), np.float32([0.8, 0.2, 0.3])
    return Background(weights, first, second, 0.7, palette, 0.01, np.float32([1, 0.9, 0.7]), 0.8)


@pytest.mark.parametrize("kind", BACKGROUND_KINDS)
def test_a_point_has_one_colour_from_every_view(kind: str) -> None:
    size = 257
    spots = [[0.02, 0.03, -WORLD_PER_NETWORK_UNIT], [-0.05, 0.01, -WORLD_PER_NETWORK_UNIT]]
    points = torch.tensor([spots], dtype=torch.float64)
    colours = []
    for pitch, yaw in ((0.0, 0.0), (0.2, -0.5), (-0.3, 0.3)):
        camera = one_camera(yaw=yaw, pitch=pitch, size=size)
        columns, rows = camera.project(points)[0].round().long().T
        colours.append(background_image(place(kind), camera)[rows, columns])
    assert np.allclose(colours[0], colours[1], atol=0.02) and np.allclose(colours[0], colours[2], atol=0.02)
    assert np.abs(colours[0][0] - colours[0][1]).max() > 0.02


def test_shapes_are_constants() -> None:
    """Painting does not change them, and they are drawn alike again."""
    before = background_shapes().copy()
    background_image(place("green"), one_camera(yaw=0.1, pitch=0.0, size=16))
    assert np.array_equal(background_shapes(), before)
    assert np.array_equal(background_shapes.__wrapped__(), before)


def test_without_shapes_and_discs_a_gradient_is_left() -> None:
    plain = dataclasses.replace(place("wall"), kind_weights=np.zeros(5, np.float32), lights=0.0)
    image = background_image(plain, one_camera(yaw=0.0, pitch=0.0, size=33)) / LEVEL
    assert image[16, 16] == pytest.approx((plain.first_rgb + plain.second_rgb) / 2, abs=0.02)
    ends = np.stack([plain.first_rgb, plain.second_rgb])
    assert (image >= ends.min(axis=0) - 1e-5).all() and (image <= ends.max(axis=0) + 1e-5).all()


def test_the_image_changes_little_with_its_numbers() -> None:
    camera = one_camera(yaw=0.0, pitch=0.0, size=48)
    here = background_image(place("room"), camera)
    moved = dataclasses.replace(
        place("room"),
        shift=0.0101,
        turn_rad=0.701,
        kind_weights=place("room").kind_weights * np.float32(0.999),
    )
    assert 0 < np.abs(background_image(moved, camera) - here).max() < 0.02
