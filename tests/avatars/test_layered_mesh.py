"""An expression moves the vertices of a layered mesh as its blendshapes say."""

import math
from dataclasses import replace

import numpy as np
import pytest

from anifacegan.avatars.players.numba_player import play
from tests.fixtures.flat_avatars import (
    as_planes,
    layered_mesh_of,
    square,
)


def test_a_square_that_an_expression_moves_is_seen_where_it_moved() -> None:
    layered_mesh = layered_mesh_of(square(0.05, half=0.02))
    shape_z_exp = np.zeros((2, 64), np.float32)
    shape_z_exp[0, 3], shape_z_exp[1, :2] = 2.0, 1.0
    shapes = np.zeros((2, 1, 4, 3), np.float32)
    shapes[0, 0, :, 0], shapes[1, 0, :, 1] = 0.06, 0.04
    layered_mesh = replace(
        layered_mesh, z_exp=shape_z_exp, blendshapes=shapes, texel_offsets=np.zeros((2, 1, 0, 2), np.float32)
    )
    z_exp = 0.5 * shape_z_exp[0] - shape_z_exp[1]
    np.testing.assert_allclose(layered_mesh.weights(z_exp), [0.5, -1], atol=1e-6)
    moved = layered_mesh.posed(z_exp)
    np.testing.assert_allclose(
        moved.vertices - layered_mesh.vertices, np.tile([0.03, -0.04, 0], (4, 1)), atol=1e-7
    )
    assert layered_mesh.approximation_error(z_exp) < 1e-6
    aside = np.zeros(64, np.float32)
    aside[50] = 1
    assert layered_mesh.approximation_error(aside) == 1 and layered_mesh.approximation_error(0 * aside) == 0
    assert layered_mesh.approximation_error(shape_z_exp[0] + 2 * aside) == pytest.approx(math.sqrt(0.5))
    middle = [
        as_planes(play(layered_mesh, pose, yaw=0.0, pitch=0.0, size=9))[3, 4, 4]
        for pose in (layered_mesh.neutral, moved)
    ]
    assert middle == [1, 0]


def test_a_blendshape_goes_straight_from_inbetween_to_inbetween() -> None:
    rng = np.random.default_rng(3)
    steps, glides = rng.normal(size=(2, 3, 4, 3)), rng.normal(size=(2, 3, 2, 2))
    layered_mesh = replace(
        layered_mesh_of(square(0.05)),
        z_exp=np.eye(2, 64, dtype=np.float32),
        blendshapes=steps.astype(np.float32),
        texel_offsets=glides.astype(np.float32),
    )
    ways = (0, 1 / 3, 2 / 3, 1)
    for one, other in ((0.2, 0.0), (0.5, 0.9), (2 / 3, 1 / 3), (1.0, 1.0)):
        pose = layered_mesh.posed(one * layered_mesh.z_exp[0] + other * layered_mesh.z_exp[1])
        for found, start, parts in (
            (pose.vertices, layered_mesh.vertices, steps),
            (pose.texels[2:], layered_mesh.texels[2:], glides),
        ):
            flat = np.concatenate([np.zeros_like(parts[:, :1]), parts], axis=1).reshape(2, 4, -1)
            target = start.ravel() + sum(
                np.array([np.interp(weight, ways, way) for way in flat[shape].T])
                for shape, weight in enumerate((one, other))
            )
            np.testing.assert_allclose(found.ravel(), target, atol=1e-5)
        np.testing.assert_array_equal(pose.texels[:2], layered_mesh.texels[:2])
    for inbetween in range(3):
        one, other = (
            layered_mesh.at_inbetween(1, inbetween),
            layered_mesh.posed((inbetween + 1) / 3 * layered_mesh.z_exp[1]),
        )
        np.testing.assert_allclose(one.vertices, other.vertices, atol=1e-5)
        np.testing.assert_allclose(one.texels, other.texels, atol=1e-5)
    for weight, end in ((-0.5, 0.0), (1.5, 1.0)):
        beyond = layered_mesh.posed(weight * layered_mesh.z_exp[0])
        np.testing.assert_allclose(beyond.vertices, layered_mesh.vertices + weight * steps[0, 2], atol=1e-5)
        np.testing.assert_allclose(beyond.texels[2:], layered_mesh.texels[2:] + end * glides[0, 2], atol=1e-5)
