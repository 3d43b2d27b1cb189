"""Unit normals of the vertices of a triangle mesh, in torch, numpy and numba.

A vertex normal is the mean of the normals of the triangles around the vertex, weighted by their areas unless stated
otherwise.
"""

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
import scipy.sparse as sparse
import torch
from jaxtyping import Float, Int
from torch import Tensor

from anifacegan.runtime.compiled import kernel


def triangle_normals(
    vertices: Float[Tensor, "batch vertex 3"], triangles: Int[Tensor, "triangle 3"]
) -> Float[Tensor, "batch triangle 3"]:
    """Compute the normals of triangles, each as long as twice the area of its triangle.

    A normal points to the side from which the triangle's corners run counter-clockwise.
    """
    a, b, c = (vertices[:, triangles[:, corner]] for corner in range(3))  # (B, F, 3) each
    return torch.cross(b - a, c - a, dim=-1)


def vertex_normals(
    vertices: Float[Tensor, "batch vertex 3"], triangles: Int[Tensor, "triangle 3"], *, equal: bool = False
) -> Float[Tensor, "batch vertex 3"]:
    """Compute the unit normals of all vertices, differentiable; zero for a vertex without triangles.

    ``equal`` weights the triangles around a vertex equally instead of by area.
    """
    normals = triangle_normals(vertices, triangles)
    if equal:
        normals = torch.nn.functional.normalize(normals, dim=-1)
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total = total.index_add(1, triangles[:, corner], normals)
    return torch.nn.functional.normalize(total, dim=-1)


def corners_of_vertices(triangles: np.ndarray, vertex_count: int) -> sparse.csr_matrix:
    """Build the (V, F) incidence matrix of V = ``vertex_count`` vertices and (F, 3) ``triangles``.

    An entry is 1 where the triangle has the vertex as a corner, else 0.
    """
    triangle_of_corner = np.repeat(np.arange(len(triangles)), 3)
    ones = np.ones(triangles.size, np.float32)
    return sparse.csr_matrix((ones, (triangles.ravel(), triangle_of_corner)), (vertex_count, len(triangles)))


def vertex_normals_numpy(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Compute the (V, 3) unit normals of one mesh; zero for a vertex without triangles.

    ``points`` are its vertices, (V, 3) of any floating type; ``triangles`` (F, 3) their indices. Triangles are weighted
    by area.
    """
    a, b, c = (points[triangles[:, corner]] for corner in range(3))
    total = corners_of_vertices(triangles, len(points)) @ np.cross(b - a, c - a)
    return total / (np.linalg.norm(total, axis=1, keepdims=True) + 1e-12)


def unit(vectors: Float[np.ndarray, "*place axis"]) -> Float[np.ndarray, "*place axis"]:
    """Scale vectors along the last axis to length 1; zero vectors stay zero."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9).astype(vectors.dtype)


@kernel()
@no_type_check  # shape checking in tests would wrap what numba has to compile
def vertex_normals_numba(vertices, triangles):
    """Compute the (V, 3) unit normals of one mesh in compiled code; zero for a vertex without triangles.

    ``vertices`` are (V, 3) float32, ``triangles`` (F, 3) indices of them. Triangles are weighted by area.
    """
    out = np.zeros_like(vertices)
    for t in range(len(triangles)):
        a, b, c = triangles[t]
        ux, uy, uz = (
            vertices[b, 0] - vertices[a, 0],
            vertices[b, 1] - vertices[a, 1],
            vertices[b, 2] - vertices[a, 2],
        )
        vx, vy, vz = (
            vertices[c, 0] - vertices[a, 0],
            vertices[c, 1] - vertices[a, 1],
            vertices[c, 2] - vertices[a, 2],
        )
        x, y, z = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        for vertex in (a, b, c):
            out[vertex, 0] += x
            out[vertex, 1] += y
            out[vertex, 2] += z
    for vertex in range(len(out)):
        x, y, z = out[vertex]
        scale = np.float32(1) / (np.sqrt(x * x + y * y + z * z) + np.float32(1e-12))
        for axis in range(3):
            out[vertex, axis] *= scale
    return out


@dataclass(frozen=True)
class Rings:
    """The triangles around selected vertices of a mesh."""

    vertices: Int[np.ndarray, " corner_vertex"]
    """Indices in the mesh of all vertices that are corners of these triangles, each once."""
    triangles: Int[np.ndarray, "triangle 3"]
    """Corners of the triangles as indices into ``vertices``."""
    owner: Int[np.ndarray, " triangle"]
    """For each triangle, which of the selected vertices it belongs to: an index from 0 to ``count`` - 1."""
    count: int
    """Number of selected vertices."""

    def normals(self, corners: Float[Tensor, "batch corner_vertex 3"]) -> Float[Tensor, "batch point 3"]:
        """Compute the unit normals of the selected vertices, in the order of selection; zero without triangles.

        ``corners`` are the positions of the vertices that ``vertices`` lists.
        """
        total = corners.new_zeros(len(corners), self.count, 3)
        doubled = triangle_normals(corners, torch.from_numpy(self.triangles))
        total = total.index_add(1, torch.from_numpy(self.owner), doubled)
        return torch.nn.functional.normalize(total, dim=-1)


class VertexTriangles:
    """An index of the triangles around each vertex of a mesh."""

    def __init__(self, triangles: Int[np.ndarray, "triangle 3"], vertices: int) -> None:
        """Index ``triangles`` of a mesh with ``vertices`` vertices."""
        self.triangles = triangles.astype(np.int64)
        corners = self.triangles.reshape(-1)
        order = corners.argsort(kind="stable")
        self.triangle = order // 3  # vertex by vertex, from first[vertex] on
        self.first = np.searchsorted(corners[order], np.arange(vertices + 1))

    def around(self, selected: Int[np.ndarray, " point"]) -> Rings:
        """Collect the triangles around each of the vertices with the indices ``selected``, which may repeat."""
        counts = self.first[selected + 1] - self.first[selected]
        owner = np.repeat(np.arange(len(selected)), counts)
        place = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        corners = self.triangles[self.triangle[self.first[selected][owner] + place]]
        vertices, index = np.unique(corners, return_inverse=True)
        return Rings(vertices, index.reshape(-1, 3), owner, len(selected))
