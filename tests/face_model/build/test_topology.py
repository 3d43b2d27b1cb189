"""The dense head: faces of two sizes, and spheres in place of eyes."""

import numpy as np
import pytest

from anifacegan.face_model.build.subdivision import catmull_clark
from anifacegan.face_model.build.topology import fit_sphere, mixed_triangles
from tests.fixtures.small_surfaces import grid
from tests.fixtures.triangulated_sphere import triangulated_sphere


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
    points, _ = triangulated_sphere(30)
    centre, radius = fit_sphere(0.3 * points.double().numpy() + [1.0, -2.0, 3.0])
    np.testing.assert_allclose(centre, [1, -2, 3], rtol=1e-6)  # the points are float32
    assert radius == pytest.approx(0.3)
