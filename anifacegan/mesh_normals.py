"""Normals of a few vertices of a mesh, from the triangles around them alone."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Rings:
    """The triangles around some vertices of a mesh."""

    vertices: Int[np.ndarray, " corner_vertex"]
    """Indices of all their corners, each once."""
    triangles: Int[np.ndarray, "triangle 3"]
    """Triangles as indices into ``vertices``."""
    owner: Int[np.ndarray, " triangle"]
    """Which of the vertices that were asked for each triangle is around."""
    count: int
    """Of the vertices that were asked for."""

    def normals(self, corners: Float[Tensor, "batch corner_vertex 3"]) -> Float[Tensor, "batch point 3"]:
        """Unit normals, the triangles around a vertex weighing in by area; zero where a vertex has none. ``corners``
        are the places of ``vertices``.
        """
        a, b, c = (corners[:, torch.from_numpy(index)] for index in self.triangles.T)  # (B, T, 3) each
        doubled = torch.cross(b - a, c - a, dim=-1)                    # length is twice the area
        total = corners.new_zeros(len(corners), self.count, 3)
        total = total.index_add(1, torch.from_numpy(self.owner), doubled)
        return torch.nn.functional.normalize(total, dim=-1)


class VertexTriangles:
    """Finds the triangles around vertices of one mesh."""

    def __init__(self, triangles: Int[np.ndarray, "triangle 3"], vertices: int) -> None:
        """``vertices`` is how many the mesh has."""
        self.triangles = triangles.astype(np.int64)
        corners = self.triangles.reshape(-1)
        order = corners.argsort(kind="stable")
        self.triangle = order // 3                                     # vertex by vertex, from first[vertex] on
        self.first = np.searchsorted(corners[order], np.arange(vertices + 1))

    def around(self, chosen: Int[np.ndarray, " point"]) -> Rings:
        """The rings of some vertices, which may repeat."""
        counts = self.first[chosen + 1] - self.first[chosen]
        owner = np.repeat(np.arange(len(chosen)), counts)
        place = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        corners = self.triangles[self.triangle[self.first[chosen][owner] + place]]
        vertices, index = np.unique(corners, return_inverse=True)
        return Rings(vertices, index.reshape(-1, 3), owner, len(chosen))
