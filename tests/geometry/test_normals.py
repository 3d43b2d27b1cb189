"""Vertex normals in torch, numpy and numba, of all vertices and of selected ones."""

import numpy as np
import torch

from anifacegan.geometry.normals import (
    VertexTriangles,
    vertex_normals,
    vertex_normals_numba,
    vertex_normals_numpy,
)
from tests.fixtures.triangulated_sphere import triangulated_sphere

STRETCH = torch.tensor([1.0, 2.0, 0.5])
ROUNDING = 1e-5
"""A float32 normal sums products of about ten triangles, whose differences of coordinates cancel a factor of ten."""


def test_all_implementations_agree() -> None:
    points, triangles = triangulated_sphere(300)
    points = points * STRETCH
    expected = vertex_normals(points.double()[None], triangles)[0].numpy()
    np.testing.assert_allclose(vertex_normals(points[None], triangles)[0], expected, atol=ROUNDING)
    np.testing.assert_allclose(
        vertex_normals_numpy(points.double().numpy(), triangles.numpy()), expected, atol=1e-9
    )
    compiled = vertex_normals_numba(points.numpy(), triangles.numpy())
    np.testing.assert_allclose(compiled, expected, atol=ROUNDING)


def test_selected_vertices_have_the_normals_of_the_whole_mesh() -> None:
    points, triangles = triangulated_sphere(300)
    points, selected = points.double() * STRETCH, np.array([7, 0, 299, 7])
    rings = VertexTriangles(triangles.numpy(), len(points)).around(selected)
    expected = vertex_normals(points[None], triangles)[:, torch.from_numpy(selected)]
    torch.testing.assert_close(rings.normals(points[None, torch.from_numpy(rings.vertices)]), expected)
