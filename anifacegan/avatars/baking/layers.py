"""The sheets of a layered avatar before they are painted and bent: lines on the manifolds' charts, and texels.

Lines divide each chart into cells. A mesh has its vertices where lines cross, and as many texels lie between any two
neighbouring lines: where lines are close, vertices and texels both are.

Triangles on the sheets of a layered avatar.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.ndimage import binary_dilation
from torch import Tensor

from anifacegan.avatars.baking.charts import ManifoldCharts, to_chart

RIM = 4
"""Transparent cells around opaque ones that are kept at first: where a ray leaves a sheet again soon."""
LevelCells = Bool[np.ndarray, "level cell_row cell_column"]
"""A choice of cells of all sheets."""


@dataclass(frozen=True)
class Layers:
    """The charts of the manifolds with lines and texels."""

    charts: ManifoldCharts
    rows: Float[Tensor, "row"]
    """Places of the lines on the charts' grids, rising from 0 to side - 1."""
    columns: Float[Tensor, "column"]
    height: int
    """Of the textures, texels."""
    width: int

    @property
    def levels(self) -> int:
        return len(self.charts.radius)

    def texel_places(self, height: int, width: int) -> Float[Tensor, "{height} {width} 2"]:
        """(column, row) on the charts' grids of a texture's texels, the outermost of which are on the grids' edges."""
        lines = [
            _between(line, torch.arange(count, device=line.device) * ((len(line) - 1) / (count - 1)))
            for line, count in ((self.rows, height), (self.columns, width))
        ]
        row, column = torch.meshgrid(*lines, indexing="ij")
        return torch.stack([column, row], dim=-1)

    def vertices(self) -> Float[Tensor, "level row column 3"]:
        """Template points where the lines cross; NaN where there is no manifold."""
        row, column = torch.meshgrid(self.rows, self.columns, indexing="ij")
        places = torch.stack([column, row], dim=-1).reshape(-1, 2)
        points = torch.stack([self.charts.points(level, places) for level in range(self.levels)])
        return points.reshape(self.levels, len(self.rows), len(self.columns), 3)

    def texels(
        self, level: Int[np.ndarray, "point"], x_template: Float[np.ndarray, "point 3"]
    ) -> Float[np.ndarray, "point 2"]:
        """(column, row) on the textures of the chart points of template points, which may lie beside their manifold."""
        charts = self.charts
        low, high = (bound[torch.from_numpy(level)].cpu() for bound in (charts.low, charts.high))
        at = ((to_chart(torch.from_numpy(x_template)) - low) / (high - low) * (charts.side - 1)).numpy()
        sizes = (self.columns, self.width), (self.rows, self.height)
        return np.stack(
            [
                np.interp(place, lines.cpu().numpy(), np.linspace(0, count - 1, len(lines)))
                for place, (lines, count) in zip(at.T, sizes, strict=True)
            ],
            axis=-1,
        ).astype(np.float32)

    def cells_at(self, level: Int[np.ndarray, "point"], texels: Float[np.ndarray, "point 2"]) -> LevelCells:
        """The cells in which texels of the textures lie."""
        shape = len(self.rows) - 1, len(self.columns) - 1
        cells = np.zeros((self.levels, *shape), bool)
        column, row = (
            np.clip((place * count / (size - 1)).astype(int), 0, count - 1)
            for place, count, size in zip(texels.T, shape[::-1], (self.width, self.height), strict=True)
        )
        cells[level, row, column] = True
        return cells

    def complete_cells(self) -> LevelCells:
        """Cells whose four corners are there."""
        there = self.vertices().isfinite().all(-1).cpu().numpy()
        return there[:, :-1, :-1] & there[:, 1:, :-1] & there[:, :-1, 1:] & there[:, 1:, 1:]

    def cells(self, texels: Bool[np.ndarray, "level height width"]) -> LevelCells:
        """Cells in which some of these evenly spread texels counts, borders included."""
        summed = np.pad(texels.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
        (top, bottom), (left, right) = (
            (np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int) + 1)
            for count, lines in zip(texels.shape[1:], (self.rows, self.columns), strict=True)
            for edges in [np.linspace(0, count - 1, len(lines)).round(6)]
        )
        count = (
            summed[:, bottom][:, :, right] - summed[:, top][:, :, right]
            - summed[:, bottom][:, :, left] + summed[:, top][:, :, left]
        )  # fmt: skip
        return count > 0


def even_layers(charts: ManifoldCharts, texture: int) -> Layers:
    """A line along each of the charts' own, and square textures."""
    line = torch.arange(charts.side, dtype=torch.float32, device=charts.radius.device)
    return Layers(charts, line, line, texture, texture)


def grown(cells: LevelCells, by: int) -> LevelCells:
    """With so many neighbours around on their sheet."""
    return binary_dilation(cells, np.ones((1, 3, 3)), iterations=by)


def _between(values: Float[Tensor, "value"], place: Float[Tensor, "place"]) -> Float[Tensor, "place"]:
    """Values at fractional indices, linearly."""
    low = place.floor().long().clamp(0, len(values) - 2)
    return torch.lerp(values[low], values[low + 1], place - low)


@dataclass(frozen=True)
class LayerMesh:
    """Triangles of some cells of the charts' grids, sheet by sheet."""

    x_template: Float[np.ndarray, "vertex 3"]
    texels: Float[np.ndarray, "vertex 2"]
    triangles: Int[np.ndarray, "triangle 3"]
    starts: Int[np.ndarray, "layer_and_one"]
    cell: Int[np.ndarray, "triangle"]
    """Of each triangle: the flat index of its cell among those of all levels."""

    def level(self, triangles: Int[np.ndarray, "selected"]) -> Int[np.ndarray, "selected"]:
        """The sheets that some triangles, by their index, are on."""
        return np.searchsorted(self.starts, triangles, side="right") - 1


def mesh_of(cells: LevelCells, layers: Layers) -> LayerMesh:
    """Two triangles for each cell, at template points."""
    rows, columns = len(layers.rows), len(layers.columns)
    level, row, column = cells.nonzero()
    a = (level * rows + row) * columns + column  # the corner, its right and its upper neighbour
    b, c, d = a + 1, a + columns, a + columns + 1
    # v grows upwards with the row: seen from outside, a-b-c and d-c-b turn the same way.
    quads = np.stack([np.stack([a, b, c], -1), np.stack([d, c, b], -1)], axis=1)  # (cells, 2, 3)
    used, triangles = np.unique(quads, return_inverse=True)
    share = np.stack([used % columns / (columns - 1), used // columns % rows / (rows - 1)], axis=-1)
    flat = np.ravel_multi_index((level, row, column), cells.shape)
    return LayerMesh(
        x_template=layers.vertices().reshape(-1, 3)[torch.from_numpy(used)].cpu().numpy(),
        texels=(share * (layers.width - 1, layers.height - 1)).astype(np.float32),
        triangles=triangles.reshape(-1, 3).astype(np.int32),
        starts=np.searchsorted(np.repeat(level, 2), np.arange(len(cells) + 1)).astype(np.int32),
        cell=np.repeat(flat, 2),
    )


def restricted(mesh: LayerMesh, cells: LevelCells) -> LayerMesh:
    """The same vertices, and the triangles of some cells."""
    kept = cells.ravel()[mesh.cell]
    before = np.concatenate([[0], kept.cumsum()])
    return dataclasses.replace(
        mesh,
        triangles=mesh.triangles[kept],
        cell=mesh.cell[kept],
        starts=before[mesh.starts].astype(np.int32),
    )
