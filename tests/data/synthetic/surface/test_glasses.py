"""Glasses: their place on the head, and how they vanish."""

import dataclasses

import numpy as np
import pytest

from anifacegan.data.synthetic.looks.appearance import Glasses
from anifacegan.data.synthetic.renderer import SyntheticRenderer
from anifacegan.data.synthetic.surface.glasses import LEAST_SIZE, SIDES, glasses_frame, tube

PLAIN = Glasses(
    size=1.0, width=0.75, height=0.2, roundness=2.5, thickness=0.02, rgb=np.float32([0.1, 0.1, 0.1])
)


def test_nobody_wears_glasses_of_size_zero(renderer: SyntheticRenderer) -> None:
    neutral = renderer.head.mean.reshape(-1, 3)
    for size in (0.0, 0.99 * LEAST_SIZE):
        assert glasses_frame(dataclasses.replace(PLAIN, size=size), renderer.head, neutral) is None


def test_the_lenses_stand_before_the_eyes_and_their_wire_has_the_thickness(
    renderer: SyntheticRenderer,
) -> None:
    neutral = renderer.head.mean.reshape(-1, 3)
    eyes = neutral[renderer.head.landmark_vertices[36:48]]
    frame, thin = (
        glasses_frame(dataclasses.replace(PLAIN, size=size), renderer.head, neutral) for size in (1.0, 0.5)
    )
    assert frame is not None and thin is not None
    rims = frame.vertices[: 2 * 44 * SIDES]
    assert rims[:, 2].max() > eyes[:, 2].max()
    assert rims[:, 1].min() < eyes[:, 1].mean() < rims[:, 1].max()
    middle = frame.vertices[: 44 * SIDES].reshape(44, SIDES, 3).mean(axis=1)
    assert np.allclose(
        np.linalg.norm(frame.vertices[: 44 * SIDES].reshape(44, SIDES, 3) - middle[:, None], axis=2),
        0.02,
        atol=1e-5,
    )
    rims_thin = thin.vertices[: 2 * 44 * SIDES] - 0.01 * thin.normals[: 2 * 44 * SIDES]
    assert np.allclose(rims - 0.02 * frame.normals[: 2 * 44 * SIDES], rims_thin, atol=1e-5)


@pytest.mark.parametrize("closed", [True, False])
def test_a_tube_is_made_of_triangles_that_face_outward(closed: bool) -> None:
    turn = np.linspace(0, 2 * np.pi, 30, endpoint=False) if closed else np.linspace(0, 1, 30)
    path = np.stack([np.cos(turn), np.sin(turn), 0.1 * turn * (not closed)], axis=1)
    vertices, normals, triangles = tube(path, 0.05, closed=closed)
    assert len(vertices) == 30 * SIDES and len(triangles) == 2 * SIDES * (30 if closed else 29)
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    facing = (np.cross(b - a, c - a) * normals[triangles[:, 0]]).sum(axis=1)
    assert (facing > 0).all() or (facing < 0).all()
