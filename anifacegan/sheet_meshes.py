"""Triangles on the sheets of a layered avatar."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from anifacegan.sheets import LevelCells, Sheets


@dataclass(frozen=True)
class SheetMesh:
    """Triangles of some cells of the charts' grids, sheet by sheet."""

    x_template: Float[np.ndarray, "vertex 3"]
    texels: Float[np.ndarray, "vertex 2"]
    triangles: Int[np.ndarray, "triangle 3"]
    starts: Int[np.ndarray, "layer_and_one"]
    cell: Int[np.ndarray, "triangle"]
    """Of each triangle: the flat index of its cell among those of all levels."""

    def level(self, triangles: Int[np.ndarray, "chosen"]) -> Int[np.ndarray, "chosen"]:
        """The sheets that some triangles, by their index, are on."""
        return np.searchsorted(self.starts, triangles, side="right") - 1


def mesh_of(cells: LevelCells, sheets: Sheets) -> SheetMesh:
    """Two triangles for each cell, at template points."""
    rows, columns = len(sheets.rows), len(sheets.columns)
    level, row, column = cells.nonzero()
    a = (level * rows + row) * columns + column                        # the corner, its right and its upper neighbour
    b, c, d = a + 1, a + columns, a + columns + 1
    # v grows upwards with the row: seen from outside, a-b-c and d-c-b turn the same way.
    quads = np.stack([np.stack([a, b, c], -1), np.stack([d, c, b], -1)], axis=1)  # (cells, 2, 3)
    used, triangles = np.unique(quads, return_inverse=True)
    share = np.stack([used % columns / (columns - 1), used // columns % rows / (rows - 1)], axis=-1)
    flat = np.ravel_multi_index((level, row, column), cells.shape)
    return SheetMesh(
        x_template=sheets.vertices().reshape(-1, 3)[torch.from_numpy(used)].cpu().numpy(),
        texels=(share * (sheets.width - 1, sheets.height - 1)).astype(np.float32),
        triangles=triangles.reshape(-1, 3).astype(np.int32),
        starts=np.searchsorted(np.repeat(level, 2), np.arange(len(cells) + 1)).astype(np.int32),
        cell=np.repeat(flat, 2),
    )


def restricted(mesh: SheetMesh, cells: LevelCells) -> SheetMesh:
    """The same vertices, and the triangles of some cells."""
    kept = cells.ravel()[mesh.cell]
    before = np.concatenate([[0], kept.cumsum()])
    return dataclasses.replace(
        mesh, triangles=mesh.triangles[kept], cell=mesh.cell[kept], starts=before[mesh.starts].astype(np.int32)
    )
