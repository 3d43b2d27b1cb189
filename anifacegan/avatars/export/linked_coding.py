"""Numbers at the vertices of any mesh, as what is left of each after a guess from its neighbours.

A vertex's number is guessed as the mean over the edges to vertices of smaller number, whose numbers the decoder has by
then; what is left is small and compresses well. It is for meshes without the rows and columns of
:mod:`anifacegan.avatars.export.grid_coding`, such as avatars of photographs.
"""

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Int

from anifacegan.avatars.export.grid_coding import nearest_step
from anifacegan.avatars.layered_mesh import LayeredMesh
from anifacegan.runtime.compiled import kernel


@dataclass(frozen=True)
class LinkedPlaces:
    """For each vertex of a mesh, the vertices of smaller number at the other ends of its triangles' edges."""

    starts: Int[np.ndarray, "start"]
    """Where the list of each vertex begins in ``neighbours``, and the end of the last list."""
    neighbours: Int[np.ndarray, "link"]
    """The lists one after another; an edge of two triangles is there twice."""

    @staticmethod
    def of(layered_mesh: LayeredMesh) -> "LinkedPlaces":
        """List the neighbours of a layered mesh's vertices."""
        triangles = layered_mesh.triangles
        edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
        low, high = edges.min(axis=1), edges.max(axis=1)
        starts = np.zeros(len(layered_mesh.vertices) + 1, np.int64)
        np.cumsum(np.bincount(high, minlength=len(layered_mesh.vertices)), out=starts[1:])
        return LinkedPlaces(starts, low[np.argsort(high, kind="stable")].astype(np.int64))

    def residuals(
        self, values: Int[np.ndarray, "vertex"], tolerance: Int[np.ndarray, "vertex"]
    ) -> Int[np.ndarray, "vertex"]:
        """Return what is left of whole numbers after the guesses.

        The encoder works on what the decoder will have, so errors do not add up: a vertex's number comes back with an
        error of at most its ``tolerance``.
        """
        left_over = np.empty_like(values)
        _linked_residuals(values, self.starts, self.neighbours, tolerance, left_over, np.empty_like(values))
        return left_over


@kernel(nogil=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _linked_residuals(values, starts, neighbours, tolerance, residuals, decoded):
    """Write what is left of each of ``values`` after its guess to ``residuals``, and what the decoder will have to
    ``decoded``."""
    for v in range(len(values)):
        total, count = 0, starts[v + 1] - starts[v]
        for k in range(starts[v], starts[v + 1]):
            total += decoded[neighbours[k]]
        guess = (2 * total + count) // (2 * count) if count else 0
        residuals[v] = nearest_step(values[v] - guess, tolerance[v])
        decoded[v] = guess + residuals[v]
