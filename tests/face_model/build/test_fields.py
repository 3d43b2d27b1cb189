"""Smoothing, steps and distances on meshes of which they are known."""

import numpy as np

from anifacegan.face_model.build.fields import SurfaceSmoother, distance_to_line
from anifacegan.geometry.normals import vertex_normals_numpy
from anifacegan.geometry.resampling import smoothstep
from tests.fixtures.triangulated_sphere import triangulated_sphere


def test_normals_of_a_sphere_are_its_points() -> None:
    points, triangles = (tensor.numpy() for tensor in triangulated_sphere(2000))
    assert np.sum(vertex_normals_numpy(points, triangles) * points, axis=1).min() > 0.99


def test_smoothing_keeps_constants_and_shrinks_peaks() -> None:
    points, triangles = (tensor.numpy() for tensor in triangulated_sphere(100))
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
