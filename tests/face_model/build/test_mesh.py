"""Mesh tools of the face model's builder against closed forms: subdivision, surfaces, occlusion."""

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from anifacegan.face_model.build.ambient_occlusion import open_sky
from anifacegan.face_model.build.fields import SurfaceSmoother, distance_to_line
from anifacegan.face_model.build.subdivision import catmull_clark
from anifacegan.face_model.build.topology import fit_sphere, mixed_triangles
from anifacegan.geometry.normals import vertex_normals_numpy
from anifacegan.geometry.resampling import smoothstep

CUBE = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
CUBE_QUADS = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])


def grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and quads of a flat square of side x side quads."""
    points = np.array([[column, row, 0.0] for row in range(side + 1) for column in range(side + 1)])
    corner = np.array([row * (side + 1) + column for row in range(side) for column in range(side)])
    return points, np.stack([corner, corner + 1, corner + side + 2, corner + side + 1], axis=1)


def random_sphere(count: int) -> tuple[np.ndarray, np.ndarray]:
    points = np.random.default_rng(0).normal(size=(count, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    triangles = ConvexHull(points).simplices
    a, b, c = points[triangles].transpose(1, 0, 2)
    inward = np.einsum("fc,fc->f", np.cross(b - a, c - a), a + b + c) < 0
    triangles[inward] = triangles[inward][:, ::-1]
    return points, triangles


# ------------------------------------------------------------------------------------------------ subdivision
def test_a_subdivided_cube_has_catmull_and_clarks_points() -> None:
    step = catmull_clark(CUBE_QUADS, 8)
    points = step.matrix @ CUBE
    assert points.shape == (8 + 12 + 6, 3) and step.quads.shape == (24, 4)
    np.testing.assert_allclose(points[:8], CUBE * 5 / 9)
    np.testing.assert_allclose(np.sort(np.abs(points[8:20]), axis=1), np.tile([0, 0.75, 0.75], (12, 1)))
    np.testing.assert_allclose(np.sort(np.abs(points[20:]), axis=1), np.tile([0, 0, 1], (6, 1)))


def test_subdividing_keeps_the_outside_outside() -> None:
    step = catmull_clark(CUBE_QUADS, 8)
    corners = (step.matrix @ CUBE)[step.quads]
    outward = np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1])
    before = CUBE[CUBE_QUADS]
    sign = np.sign(
        np.sum(np.cross(before[:, 2] - before[:, 0], before[:, 3] - before[:, 1]) * before.mean(1), -1)
    )
    assert np.all(np.sign(np.sum(outward * corners.mean(axis=1), axis=-1)) == np.repeat(sign, 4))


def test_subdivision_moves_with_the_mesh() -> None:
    step = catmull_clark(CUBE_QUADS, 8)
    np.testing.assert_allclose(np.asarray(step.matrix.sum(axis=1)).ravel(), 1)


def test_a_boundary_is_a_curve_of_its_own() -> None:
    """One square: its edges' middles stay on the edges, its corners are half-way to the middle of their edges."""
    points, quads = grid(1)
    moved = catmull_clark(quads, 4).matrix @ points
    np.testing.assert_allclose(moved[0], [0.125, 0.125, 0])
    np.testing.assert_allclose(sorted(moved[4:8, 0]), [0, 0.5, 0.5, 1])


def test_faces_of_two_sizes_meet_without_gaps_or_overlaps() -> None:
    points, quads = grid(4)
    step = catmull_clark(quads, len(points))
    refined = np.zeros(16, bool)
    refined[[5, 6, 10]] = True
    triangles = mixed_triangles(quads, step, refined, step.vertex_count)
    middles = step.matrix @ points
    middles[: len(points)] = points  # corners in place: the square keeps its shape
    a, b, c = middles[triangles].transpose(1, 0, 2)
    areas = np.cross(b - a, c - a)[:, 2] / 2
    assert areas.min() > 0 and areas.sum() == pytest.approx(16)
    sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    _, count = np.unique(np.sort(sides, axis=1), axis=0, return_counts=True)
    assert (count == 1).sum() == 16 and count.max() == 2  # only the square's own border is open


def test_a_sphere_is_found_from_its_points() -> None:
    points, _ = random_sphere(30)
    centre, radius = fit_sphere(0.3 * points + [1.0, -2.0, 3.0])
    np.testing.assert_allclose(centre, [1, -2, 3])
    assert radius == pytest.approx(0.3)


# ---------------------------------------------------------------------------------------------------- surface
def test_normals_of_a_sphere_are_its_points() -> None:
    points, triangles = random_sphere(2000)
    assert np.sum(vertex_normals_numpy(points, triangles) * points, axis=1).min() > 0.99


def test_smoothing_keeps_constants_and_shrinks_peaks() -> None:
    points, triangles = random_sphere(100)
    smooth = SurfaceSmoother(triangles, len(points))
    np.testing.assert_allclose(smooth(np.full(100, 2.5), times=3), 2.5, rtol=1e-5)
    peak = np.eye(100)[0]
    assert 0 < smooth(peak).max() < 0.5
    np.testing.assert_allclose(smooth(np.stack([peak, peak], axis=1))[:, 1], smooth(peak))


def test_a_step_rises_or_falls_between_its_ends() -> None:
    assert smoothstep(1.0, 3.0, np.array([0.0, 1, 2, 3, 4])).tolist() == [0, 0, 0.5, 1, 1]
    assert smoothstep(3.0, 1.0, np.array([0.0, 2, 4])).tolist() == [1, 0.5, 0]


def test_distance_to_a_line_is_to_its_nearest_point() -> None:
    corners = [(0.0, 0.0), (1.0, 0.0), (1.0, 2.0)]
    points = np.array([[0.5, 0.3], [-3.0, -4.0], [1.4, 1.0], [1.0, 5.0]])
    np.testing.assert_allclose(distance_to_line(points, corners), [0.3, 5.0, 0.4, 3.0])


# -------------------------------------------------------------------------------------------------- occlusion
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
