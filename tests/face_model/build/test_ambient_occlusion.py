"""Ambient occlusion, against closed forms and a test of every triangle."""

import numpy as np
import pytest

from anifacegan.face_model.build.ambient_occlusion import open_sky
from anifacegan.geometry.normals import vertex_normals_numpy
from tests.fixtures.small_surfaces import grid, random_sphere


def test_nothing_above_is_an_open_sky_and_a_ceiling_closes_it() -> None:
    points, quads = grid(20)
    floor = points - [10, 10, 0]
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    up = np.tile([0.0, 0.0, 1.0], (len(floor), 1))
    middle = len(floor) // 2
    alone = open_sky(floor, up, triangles, 32, np.random.default_rng(0))
    assert alone[middle] == 1
    both = np.concatenate([floor, floor + [0, 0, 0.1]])
    covered = open_sky(both, np.tile(up, (2, 1)), np.concatenate([triangles, triangles + len(floor)]), 32,
                       np.random.default_rng(0))  # fmt: skip
    assert covered[middle] < 0.05 and covered[len(floor) + middle] == 1


def test_a_wall_beside_closes_half_of_the_sky() -> None:
    points, quads = grid(40)
    wall = (points[:, [2, 0, 1]] - [0, 20, 0]) * 0.5  # the plane x = 0, y in +-10, z in 0..20
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    points = np.concatenate([wall, [[0.05, 0.0, 0.0]]])
    up = np.tile([0.0, 0.0, 1.0], (len(points), 1))
    sky = open_sky(points, up, triangles, 4000, np.random.default_rng(0))[-1]
    assert sky == pytest.approx(0.5, abs=0.05)  # rays over 1.2 long pass: at grazing angles


def test_what_is_far_away_does_not_darken() -> None:
    """A ceiling at a height of 2, in one box with a triangle that lies on the floor."""
    ceiling = np.array([[-50.0, -50.0, 2.0], [50.0, -50.0, 2.0], [0.0, 90.0, 2.0]])
    floor = np.array([[40.0, 40.0, 0.0], [41.0, 40.0, 0.0], [40.0, 41.0, 0.0]])
    points = np.concatenate([ceiling, floor, np.zeros((1, 3))])
    up = np.tile([0.0, 0.0, 1.0], (7, 1))
    triangles = np.array([[0, 1, 2], [3, 4, 5]])
    assert open_sky(points, up, triangles, 64, np.random.default_rng(0))[-1] == 1
    points[:3, 2] = 0.1
    assert open_sky(points, up, triangles, 64, np.random.default_rng(0))[-1] < 0.05


def test_occlusion_matches_testing_every_triangle() -> None:
    points, triangles = random_sphere(60)
    points = points * np.array([1.0, 0.3, 0.5])
    points[::3] *= 0.4  # hollows
    normals = vertex_normals_numpy(points, triangles)
    found = open_sky(points, normals, triangles, 8, np.random.default_rng(1))
    np.testing.assert_array_equal(
        found, slow_open_sky(points, normals, triangles, 8, np.random.default_rng(1))
    )
    assert 0 < found.mean() < 1


def slow_open_sky(
    points: np.ndarray, normals: np.ndarray, triangles: np.ndarray, rays: int, rng: np.random.Generator
) -> np.ndarray:
    """The same rays, each tested against each triangle by solving for the crossing."""
    helper = np.where(np.abs(normals[:, [0]]) < 0.8, [[1.0, 0, 0]], [[0, 1.0, 0]])
    tangent = np.cross(normals, helper)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    bitangent = np.cross(normals, tangent)
    free = np.zeros(len(points))
    for ray in range(rays):
        height = (ray + 0.5) / rays
        azimuth = 2 * np.pi * rng.random(len(points))
        for i in range(len(points)):
            flat = tangent[i] * np.cos(azimuth[i]) + bitangent[i] * np.sin(azimuth[i])
            direction = np.sqrt(height) * flat + np.sqrt(1 - height) * normals[i]
            origin = points[i] + 0.004 * normals[i] + 0.002 * direction
            a, b, c = points[triangles].transpose(1, 0, 2)
            system = np.stack([b - a, c - a, np.broadcast_to(-direction, a.shape)], axis=-1)
            u, v, t = np.linalg.solve(system, (origin - a)[..., None])[..., 0].T
            free[i] += not np.any((u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0) & (t < 1.2))
    return free / rays
