"""Layers of a mesh that is being baked; each layer is made from one radiance manifold.

A manifold's chart flattens the manifold to a square. Lines divide this square into rows and columns of cells. The mesh
has its vertices where lines cross, and each cell becomes two triangles. Every cell has the same number of texels, so
both mesh and texture are finer where lines are closer together.
"""

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.ndimage import binary_dilation, binary_erosion
from torch import Tensor

from anifacegan.avatars.baking.charts import ManifoldCharts, to_chart

RIM = 4
"""Width, in grid cells, of the rim of transparent cells around opaque cells that is included at first, because a ray
may leave the layer in a transparent cell."""
LevelCells = Bool[np.ndarray, "level cell_row cell_column"]
"""Whether each grid cell of each layer is selected."""


@dataclass(frozen=True)
class Layers:
    """Layers of a mesh that is being baked, one for each radiance manifold: the grid that divides each into cells.

    The grid lies on the manifold's chart, a map from the manifold to a square with coordinates (u, v).
    """

    charts: ManifoldCharts
    """The manifolds, each flattened to a square and sampled on a square grid."""
    rows: Float[Tensor, "row"]
    """Positions along v of the lines between the rows of cells. The unit is the spacing of the ``side`` x ``side`` grid
    points on which each manifold is sampled; the positions rise from 0 to side - 1."""
    columns: Float[Tensor, "column"]
    """Positions along u of the lines between the columns of cells, in the same unit; they rise from 0 to side - 1."""
    height: int
    """Height of the textures, texels."""
    width: int
    """Width of the textures, texels."""

    @property
    def levels(self) -> int:
        """Number of layers."""
        return len(self.charts.radius)

    def texel_positions(self, height: int, width: int) -> Float[Tensor, "{height} {width} 2"]:
        """Return the positions of texels on the grid on which each manifold is sampled.

        The texture has ``height`` x ``width`` texels; the outermost ones lie on the edges of the grid. A position is
        (column, row), a fractional index of grid points.
        """
        lines = [
            _interpolate(line, torch.arange(count, device=line.device) * ((len(line) - 1) / (count - 1)))
            for line, count in ((self.rows, height), (self.columns, width))
        ]
        row, column = torch.meshgrid(*lines, indexing="ij")
        return torch.stack([column, row], dim=-1)

    def vertices(self) -> Float[Tensor, "level row column 3"]:
        """Return the points at the corners of the cells in template space (the face without deformation), world units;
        NaN where there is no manifold.
        """
        return self._vertices

    @cached_property
    def _vertices(self) -> Float[Tensor, "level row column 3"]:
        row, column = torch.meshgrid(self.rows, self.columns, indexing="ij")
        positions = torch.stack([column, row], dim=-1).reshape(-1, 2)
        points = torch.stack([self.charts.points(level, positions) for level in range(self.levels)])
        return points.reshape(self.levels, len(self.rows), len(self.columns), 3)

    def texels(
        self, level: Int[np.ndarray, "point"], x_template: Float[np.ndarray, "point 3"]
    ) -> Float[np.ndarray, "point 2"]:
        """Return the texture coordinates (column, row), in texels, of points of the face without deformation.

        ``level`` is the index of each point's layer; ``x_template`` are the points, world units. A point beside its
        layer is projected onto the layer, along the line from a fixed centre behind the head to the point.
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
        """Mark, in an array (level, cell row, cell column), the cells that contain the texture coordinates ``texels``
        (column, row) of points on the layers with the indices ``level``.
        """
        shape = len(self.rows) - 1, len(self.columns) - 1
        cells = np.zeros((self.levels, *shape), bool)
        column, row = (
            np.clip((position * count / (size - 1)).astype(int), 0, count - 1)
            for position, count, size in zip(texels.T, shape[::-1], (self.width, self.height), strict=True)
        )
        cells[level, row, column] = True
        return cells

    def complete_cells(self) -> LevelCells:
        """Mark, in an array (level, cell row, cell column), the cells that have all four corners on the manifold."""
        exists = self.vertices().isfinite().all(-1).cpu().numpy()
        return exists[:, :-1, :-1] & exists[:, 1:, :-1] & exists[:, :-1, 1:] & exists[:, 1:, 1:]

    def halved(self) -> "Layers":
        """Return layers with every second of the lines between cells, and the last of them."""
        rows, columns = (torch.cat([lines[:-1:2], lines[-1:]]) for lines in (self.rows, self.columns))
        return Layers(self.charts, rows, columns, self.height, self.width)

    def cells_showing(self, texels: Bool[np.ndarray, "level height width"]) -> LevelCells:
        """Mark, in an array (level, cell row, cell column), the cells that show at least one of the marked texels.

        The mask ``texels`` may have another height and width than the textures. A cell also shows the texels just
        outside of the cell, because of bilinear interpolation.
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
    """Return the index of each cell's first texel, and the index after its last texel, along one side of a texture.

    The side has ``count`` texels, and ``lines`` lines bound the cells.
    """
    edges = np.linspace(0, count - 1, lines).round(6)
    return np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int) + 1


def unrefined_layers(charts: ManifoldCharts, texture: int) -> Layers:
    """Make layers with evenly spaced cells, whose corners are the grid points on which each manifold is sampled.

    ``charts`` are the manifolds, each flattened to a square and sampled on a grid; ``texture`` is the height and width
    of the textures, texels.
    """
    line = torch.arange(charts.side, dtype=torch.float32, device=charts.radius.device)
    return Layers(charts, line, line, texture, texture)


def halved_cells(cells: LevelCells) -> Bool[np.ndarray, "level half_row half_column"]:
    """Mark the cells of the halved layers (:meth:`Layers.halved`) of which all cells of the layers are marked."""
    padded = np.pad(cells, ((0, 0), *((0, count % 2) for count in cells.shape[1:])), mode="edge")
    return padded[:, ::2, ::2] & padded[:, 1::2, ::2] & padded[:, ::2, 1::2] & padded[:, 1::2, 1::2]


def doubled_cells(cells: Bool[np.ndarray, "level half_row half_column"], like: LevelCells) -> LevelCells:
    """Mark the cells of layers, with as many as ``like``, that are in one of the marked cells of the halved layers."""
    return cells.repeat(2, axis=1).repeat(2, axis=2)[:, : like.shape[1], : like.shape[2]]


def dilated(cells: LevelCells, by: int) -> LevelCells:
    """Also mark the cells of the same layer that are at most ``by`` rows and columns away from a marked cell.

    ``cells`` and the result are masks (level, cell row, cell column).
    """
    return binary_dilation(cells, np.ones((1, 3, 3)), iterations=by)


def closed(cells: LevelCells, gap: int) -> LevelCells:
    """Also mark the cells of the same layer in gaps between marked cells that are at most ``gap`` rows or columns wide.

    ``cells`` and the result are masks (level, cell row, cell column).
    """
    by = -(-gap // 2)
    padded = np.pad(cells, ((0, 0), (by, by), (by, by)))
    return binary_erosion(dilated(padded, by), np.ones((1, 3, 3)), iterations=by)[:, by:-by, by:-by]


def _interpolate(values: Float[Tensor, "value"], index: Float[Tensor, "index"]) -> Float[Tensor, "index"]:
    """Interpolate values linearly at fractional indices."""
    low = index.floor().long().clamp(0, len(values) - 2)
    return torch.lerp(values[low], values[low + 1], index - low)


@dataclass(frozen=True)
class LayerMesh:
    """Triangles of the selected cells of all layers, in template space (the face without deformation)."""

    x_template: Float[np.ndarray, "vertex 3"]
    """Positions of the vertices, world units."""
    texels: Float[np.ndarray, "vertex 2"]
    """Texture coordinates of the vertices: column and row."""
    triangles: Int[np.ndarray, "triangle 3"]
    """Vertex indices of each triangle, counter-clockwise seen from outside; sorted by layer."""
    layer_starts: Int[np.ndarray, "layer_and_one"]
    """Index of the first triangle of each layer; the last entry is the number of triangles."""
    cell: Int[np.ndarray, "triangle"]
    """Cell of each triangle, as a flat index into an array (level, cell row, cell column)."""
    place: Int[np.ndarray, "vertex 3"]
    """Index of each vertex's layer, and of its row and its column in the grid of the layer."""

    def level(self, triangles: Int[np.ndarray, "selected"]) -> Int[np.ndarray, "selected"]:
        """Return the index of the layer of each triangle; ``triangles`` are triangle indices."""
        return np.searchsorted(self.layer_starts, triangles, side="right") - 1


def cell_mesh(cells: LevelCells, layers: Layers) -> LayerMesh:
    """Make a mesh with two triangles for each marked cell; ``cells`` is a mask (level, cell row, cell column)."""
    rows, columns = len(layers.rows), len(layers.columns)
    level, row, column = cells.nonzero()
    a = (level * rows + row) * columns + column  # the corner, its right and its upper neighbour
    b, c, d = a + 1, a + columns, a + columns + 1
    # v grows upwards with the row: seen from outside, a-b-c and d-c-b turn the same way.
    quads = np.stack([np.stack([a, b, c], -1), np.stack([d, c, b], -1)], axis=1)  # (cells, 2, 3)
    used, triangles = np.unique(quads, return_inverse=True)
    place = np.stack(np.unravel_index(used, (len(cells), rows, columns)), axis=-1)
    position = place[:, :0:-1] / (columns - 1, rows - 1)
    flat = np.ravel_multi_index((level, row, column), cells.shape)
    return LayerMesh(
        x_template=layers.vertices().reshape(-1, 3)[torch.from_numpy(used)].cpu().numpy(),
        texels=(position * (layers.width - 1, layers.height - 1)).astype(np.float32),
        triangles=triangles.reshape(-1, 3).astype(np.int32),
        layer_starts=np.searchsorted(np.repeat(level, 2), np.arange(len(cells) + 1)).astype(np.int32),
        cell=np.repeat(flat, 2),
        place=place,
    )


def submesh(mesh: LayerMesh, cells: LevelCells) -> LayerMesh:
    """Return the mesh with only the triangles of the marked cells and with all vertices.

    ``cells`` is a mask (level, cell row, cell column).
    """
    selected = cells.ravel()[mesh.cell]
    selected_before = np.concatenate([[0], selected.cumsum()])
    return dataclasses.replace(
        mesh,
        triangles=mesh.triangles[selected],
        cell=mesh.cell[selected],
        layer_starts=selected_before[mesh.layer_starts].astype(np.int32),
    )
