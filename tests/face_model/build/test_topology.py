"""The dense head: faces of two sizes, and spheres in place of eyes."""

import numpy as np
import pytest
from scipy.spatial import ConvexHull

from anifacegan.face_model.build.subdivision import catmull_clark
from anifacegan.face_model.build.topology import fit_sphere, mixed_triangles


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
