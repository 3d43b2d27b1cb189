"""Pivots: affine combinations of vertices, and the axis about which points turn."""

import numpy as np
import pytest

from anifacegan.face_model.build.rig import affine_weights, turning_centre


def test_affine_weights_follow_every_affine_map() -> None:
    rng = np.random.default_rng(0)
    points, target = rng.normal(size=(30, 3)), np.array([0.3, -2.0, 1.0])
    weights = affine_weights(points, target)
    assert weights.sum() == pytest.approx(1)
    matrix, shift = rng.normal(size=(3, 3)), rng.normal(size=3)
    np.testing.assert_allclose(weights @ (points @ matrix + shift), target @ matrix + shift, atol=1e-9)


@pytest.mark.parametrize("angle", [0.3, -0.2])
def test_the_centre_of_a_turn_is_found(angle: float) -> None:
    points = np.random.default_rng(1).normal(size=(40, 3))
    centre = np.array([0.2, -0.7])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    moved = points.copy()
    moved[:, 1:] = centre + (points[:, 1:] - centre) @ turn
    np.testing.assert_allclose(turning_centre(points, moved - points), [0, *centre], atol=1e-9)
