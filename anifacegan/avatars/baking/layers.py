"""Layers of a mesh that is being baked: grids of lines and texels on the manifolds' charts, and triangles of their
cells.

Lines along rows and columns divide each chart into cells. The mesh has its vertices where lines cross, and the same
number of texels lies between any two neighbouring lines: where lines are closer together, mesh and texture are both
finer.
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
"""Transparent cells around opaque ones that are included at first: in some a ray leaves the layer again."""
LevelCells = Bool[np.ndarray, "level cell_row cell_column"]
"""A selection of cells of all layers."""


@dataclass(frozen=True)
class Layers:
    """Lines and texels on the charts of all manifolds; one layer for each manifold."""

    charts: ManifoldCharts
    rows: Float[Tensor, "row"]
    """Positions of the lines along v on the charts' grids, rising from 0 to side - 1."""
    columns: Float[Tensor, "column"]
    """Positions of the lines along u, likewise."""
    height: int
    """Height of the textures, texels."""
    width: int
    """Width of the textures, texels."""

    @property
    def levels(self) -> int:
        """Number of layers."""
        return len(self.charts.radius)

    def texel_positions(self, height: int, width: int) -> Float[Tensor, "{height} {width} 2"]:
        """Compute the (column, row) positions on the charts' grids of the texels of a texture; the outermost texels
        are on the edges of the grids.
        """
        lines = [
            _interpolate(line, torch.arange(count, device=line.device) * ((len(line) - 1) / (count - 1)))
            for line, count in ((self.rows, height), (self.columns, width))
        ]
        row, column = torch.meshgrid(*lines, indexing="ij")
        return torch.stack([column, row], dim=-1)

    def vertices(self) -> Float[Tensor, "level row column 3"]:
        """Compute the template points where lines cross; NaN where there is no manifold."""
        row, column = torch.meshgrid(self.rows, self.columns, indexing="ij")
        positions = torch.stack([column, row], dim=-1).reshape(-1, 2)
        points = torch.stack([self.charts.points(level, positions) for level in range(self.levels)])
        return points.reshape(self.levels, len(self.rows), len(self.columns), 3)

    def texels(
        self, level: Int[np.ndarray, "point"], x_template: Float[np.ndarray, "point 3"]
    ) -> Float[np.ndarray, "point 2"]:
        """Project template points onto their layers, along the directions of the charts, and return their texture
        coordinates (column, row).
        """
        charts = self.charts
        low, high = (bound[torch.from_numpy(level)].cpu() for bound in (charts.low, charts.high))
        at = ((to_chart(torch.from_numpy(x_template)) - low) / (high - low) * (charts.side - 1)).numpy()
        sizes = (self.columns, self.width), (self.rows, self.height)
        return np.stack(
            [
                np.interp(position, lines.cpu().numpy(), np.linspace(0, count - 1, len(lines)))
                for position, (lines, count) in zip(at.T, sizes, strict=True)
            ],
            axis=-1,
        ).astype(np.float32)

    def cells_at(self, level: Int[np.ndarray, "point"], texels: Float[np.ndarray, "point 2"]) -> LevelCells:
        """Select the cells that contain the given texture coordinates."""
        shape = len(self.rows) - 1, len(self.columns) - 1
        cells = np.zeros((self.levels, *shape), bool)
        column, row = (
            np.clip((position * count / (size - 1)).astype(int), 0, count - 1)
            for position, count, size in zip(texels.T, shape[::-1], (self.width, self.height), strict=True)
        )
        cells[level, row, column] = True
        return cells

    def complete_cells(self) -> LevelCells:
        """Select the cells all four corners of which are on the manifold."""
        exists = self.vertices().isfinite().all(-1).cpu().numpy()
        return exists[:, :-1, :-1] & exists[:, 1:, :-1] & exists[:, :-1, 1:] & exists[:, 1:, 1:]

    def cells_showing(self, texels: Bool[np.ndarray, "level height width"]) -> LevelCells:
        """Select the cells that show at least one of the marked texels of textures of any size; bilinear interpolation
        shows texels just outside of a cell as well.
        """
        summed = np.pad(texels.cumsum(1).cumsum(2), ((0, 0), (1, 0), (1, 0)))
        top, bottom = _texel_range(texels.shape[1], len(self.rows))
        left, right = _texel_range(texels.shape[2], len(self.columns))
        count = (
            summed[:, bottom][:, :, right] - summed[:, top][:, :, right]
            - summed[:, bottom][:, :, left] + summed[:, top][:, :, left]
        )  # fmt: skip
        return count > 0


def _texel_range(count: int, lines: int) -> tuple[Int[np.ndarray, "cell"], Int[np.ndarray, "cell"]]:
    """First texel of each cell along one side of a texture of ``count`` texels, and one past the last."""
    edges = np.linspace(0, count - 1, lines).round(6)
    return np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int) + 1


def unrefined_layers(charts: ManifoldCharts, texture: int) -> Layers:
    """Make evenly spaced layers: one line for each grid line of the charts, and square textures of a size."""
    line = torch.arange(charts.side, dtype=torch.float32, device=charts.radius.device)
    return Layers(charts, line, line, texture, texture)


def dilated(cells: LevelCells, by: int) -> LevelCells:
    """Add the ``by`` nearest neighbours of each cell in every direction on its layer."""
    return binary_dilation(cells, np.ones((1, 3, 3)), iterations=by)


def _interpolate(values: Float[Tensor, "value"], index: Float[Tensor, "index"]) -> Float[Tensor, "index"]:
    """Interpolate values linearly at fractional indices."""
    low = index.floor().long().clamp(0, len(values) - 2)
    return torch.lerp(values[low], values[low + 1], index - low)


@dataclass(frozen=True)
class LayerMesh:
    """Triangles of some cells in template space, layer by layer."""

    x_template: Float[np.ndarray, "vertex 3"]
    """Vertices, world units."""
    texels: Float[np.ndarray, "vertex 2"]
    """Texture coordinates of the vertices: column and row."""
    triangles: Int[np.ndarray, "triangle 3"]
    """Vertex indices, counter-clockwise seen from outside."""
    layer_starts: Int[np.ndarray, "layer_and_one"]
    """Index of the first triangle of each layer; the last entry is the number of triangles."""
    cell: Int[np.ndarray, "triangle"]
    """Flat index into :data:`LevelCells` of the cell of each triangle."""

    def level(self, triangles: Int[np.ndarray, "selected"]) -> Int[np.ndarray, "selected"]:
        """Find the layers of some triangles, given by their indices."""
        return np.searchsorted(self.layer_starts, triangles, side="right") - 1


def cell_mesh(cells: LevelCells, layers: Layers) -> LayerMesh:
    """Make two triangles for each selected cell."""
    rows, columns = len(layers.rows), len(layers.columns)
    level, row, column = cells.nonzero()
    a = (level * rows + row) * columns + column  # the corner, its right and its upper neighbour
    b, c, d = a + 1, a + columns, a + columns + 1
    # v grows upwards with the row: seen from outside, a-b-c and d-c-b turn the same way.
    quads = np.stack([np.stack([a, b, c], -1), np.stack([d, c, b], -1)], axis=1)  # (cells, 2, 3)
    used, triangles = np.unique(quads, return_inverse=True)
    position = np.stack([used % columns / (columns - 1), used // columns % rows / (rows - 1)], axis=-1)
    flat = np.ravel_multi_index((level, row, column), cells.shape)
    return LayerMesh(
        x_template=layers.vertices().reshape(-1, 3)[torch.from_numpy(used)].cpu().numpy(),
        texels=(position * (layers.width - 1, layers.height - 1)).astype(np.float32),
        triangles=triangles.reshape(-1, 3).astype(np.int32),
        layer_starts=np.searchsorted(np.repeat(level, 2), np.arange(len(cells) + 1)).astype(np.int32),
        cell=np.repeat(flat, 2),
    )


def submesh(mesh: LayerMesh, cells: LevelCells) -> LayerMesh:
    """Select the triangles of some cells; the vertices stay as they are."""
    selected = cells.ravel()[mesh.cell]
    selected_before = np.concatenate([[0], selected.cumsum()])
    return dataclasses.replace(
        mesh,
        triangles=mesh.triangles[selected],
        cell=mesh.cell[selected],
        layer_starts=selected_before[mesh.layer_starts].astype(np.int32),
    )
