"""Numbers at the vertices of a grid, as what is left of each after a guess from its neighbours.

A layer's vertices lie on rows and columns. A vertex's number is guessed as left + upper - upper left neighbour, from
those of the three that exist; what is left is mostly 0 and compresses well. The encoder works on what the decoder will
have, so errors do not add up, and rounds what is left as coarsely as the vertex's tolerance allows: few different
numbers compress better.
"""

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Int

from anifacegan.avatars.layered_mesh import LayeredMesh
from anifacegan.runtime.compiled import kernel
from anifacegan.runtime.errors import InputError


@dataclass(frozen=True)
class GridPlaces:
    """Where the vertices of a layered mesh lie on the rows and columns of its layers.

    The last vertices, corners of triangles that span an opening, have no place of their own: see ``nearest``.
    """

    columns: Float[np.ndarray, "column"]
    """Texel position of each column."""
    rows: Float[np.ndarray, "row"]
    """Texel position of each row."""
    layer: Int[np.ndarray, "vertex"]
    """Layer of each vertex, those without a place included."""
    row: Int[np.ndarray, "placed"]
    """Row of each vertex that has a place; these rise layer by layer, row by row and column by column."""
    column: Int[np.ndarray, "placed"]
    """Column of each vertex that has a place."""
    neighbours: Int[np.ndarray, "3 placed"]
    """Left, upper and upper left neighbour of each vertex that has a place, in the same layer; -1 where there is none.
    (Upper means the row before.)"""
    nearest: Int[np.ndarray, "moving"]
    """For each vertex without a place: the vertex at whose place it is with a neutral face, or vertex 0."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Numbers of layers, rows and columns."""
        return int(self.layer.max()) + 1, len(self.rows), len(self.columns)

    @staticmethod
    def of(layered_mesh: LayeredMesh) -> "GridPlaces":
        """Find the places of the vertices of a baked layered mesh.

        Raises:
            InputError: the vertices do not lie on rows and columns in the order that baking writes.
        """
        placed = len(layered_mesh.vertices) - layered_mesh.texel_offsets.shape[2]
        counts = np.diff(layered_mesh.layer_starts)
        layer = np.zeros(len(layered_mesh.vertices), np.int64)
        layer[layered_mesh.triangles] = np.repeat(np.arange(len(counts)), counts)[:, None]
        columns, column = np.unique(layered_mesh.texels[:placed, 0], return_inverse=True)
        rows, row = np.unique(layered_mesh.texels[:placed, 1], return_inverse=True)
        order = (layer[:placed] * len(rows) + row) * len(columns) + column
        if not placed or not (np.diff(order) > 0).all() or len(rows) * len(columns) > 2**20:
            raise InputError("its vertices do not lie on the rows and columns that anifacegan bake writes")
        vertex = np.full((len(counts), len(rows) + 1, len(columns) + 1), -1, np.int64)
        vertex[layer[:placed], row + 1, column + 1] = np.arange(placed)
        around = [
            vertex[layer[:placed], row + 1 - down, column + 1 - aside]
            for down, aside in ((0, 1), (1, 0), (1, 1))
        ]
        own_row, own_column = (
            np.searchsorted(line, texels).clip(max=len(line) - 1)
            for line, texels in zip((rows, columns), layered_mesh.texels[placed:, ::-1].T, strict=True)
        )
        nearest = vertex[layer[placed:], own_row + 1, own_column + 1].clip(min=0)
        return GridPlaces(columns, rows, layer, row, column, np.stack(around), nearest)

    def residuals(
        self, values: Int[np.ndarray, "vertex"], tolerance: Int[np.ndarray, "vertex"]
    ) -> Int[np.ndarray, "vertex"]:
        """Return what is left of whole numbers after the guesses; see :func:`decoded` in the page for the way back.

        A vertex's number comes back with an error of at most its ``tolerance``.
        """
        placed = len(self.row)
        left_over = np.empty_like(values)
        decoded = np.empty_like(values[:placed])
        _placed_residuals(values[:placed], self.neighbours, tolerance, left_over, decoded)
        rest = values[placed:] - decoded[self.nearest]
        left_over[placed:] = nearest_step(rest, tolerance[placed:])
        return left_over


@kernel(inline="always")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def nearest_step(rest, tolerance):
    """Round whole numbers to multiples of 2 tolerance + 1, so that none is off by more than its tolerance."""
    step = 2 * tolerance + 1
    return (rest + tolerance) // step * step


@kernel(nogil=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _placed_residuals(values, neighbours, tolerance, residuals, decoded):
    """Write what is left of each of ``values`` after its guess to ``residuals``, and what the decoder will have to
    ``decoded``."""
    for v in range(len(values)):
        left, upper, diagonal = neighbours[0, v], neighbours[1, v], neighbours[2, v]
        guess = 0
        if left >= 0 and upper >= 0 and diagonal >= 0:
            guess = decoded[left] + decoded[upper] - decoded[diagonal]
        elif left >= 0:
            guess = decoded[left]
        elif upper >= 0:
            guess = decoded[upper]
        residuals[v] = nearest_step(values[v] - guess, tolerance[v])
        decoded[v] = guess + residuals[v]
