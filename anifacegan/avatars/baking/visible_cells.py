"""Which grid cells of a layered mesh are visible in a set of views; cells that no view needs are left out."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product

import numpy as np
from jaxtyping import Float, Int

from anifacegan.avatars.baking.layers import (
    LayerMesh,
    Layers,
    LevelCells,
    cell_mesh,
    closed,
    dilated,
    doubled_cells,
    halved_cells,
)
from anifacegan.avatars.layered_mesh import LayeredMesh, Pose
from anifacegan.avatars.players.numba_player import entered_triangles, visible_triangles
from anifacegan.avatars.players.view import View
from anifacegan.runtime.cpu import on_all_cores

VIEW_SIZE = 128
"""Height and width of the views in which visible cells are searched for, pixels."""
Views = tuple[tuple[float, tuple[float, ...]], ...]
_ALL_YAWS, _FEW_YAWS = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0), (-0.7, 0.0, 0.7)
VIEWS = (
    (-1.0, (0.0,)),
    (-0.7, _FEW_YAWS), (-0.25, _ALL_YAWS), (0.0, _ALL_YAWS), (0.25, _ALL_YAWS), (0.7, _FEW_YAWS),
    (1.0, (0.0,)),
)  # fmt: skip
"""Pitch and yaws of the views, as multiples of the widest angle from frontal."""
VIEWS_OF_EXPRESSIONS = ((-0.7, _FEW_YAWS), (0.0, _FEW_YAWS), (0.7, _FEW_YAWS))
"""Those of the views of expressions, which uncover few cells that no view of the neutral face has shown."""
VISIBLE_MARGIN, TEXTURED_MARGIN = 2, 1
"""Grid cells at most this many rows and columns away from a visible cell stay in the mesh, and those from a cell whose
texture is seen are textured finely."""
OCCLUDER_MARGIN = 3
"""Grid cells at most this many rows and columns away from an occluding cell are counted as occluding, too, because of
the views between those that are drawn."""
OCCLUDER_GAP = 24
"""Gaps between such cells that are at most this many rows or columns wide are filled: between two of the views that are
drawn, the nose moves so far before the hair. Through a gap one would see hair in the nose."""

TemplatePoints = Callable[[Float[np.ndarray, "point 3"]], Float[np.ndarray, "point 3"]]
"""Takes points of the manifolds; returns the person's template points that correspond to them, world units."""


def _views(widest_rad: float, views: Views = VIEWS) -> Iterator[tuple[float, float]]:
    """Yield (yaw, pitch) of each view, radians from frontal; more yaws than pitches: faces mostly turn in yaw."""
    for pitch, yaws in views:
        for yaw in yaws:
            yield widest_rad * yaw, widest_rad * pitch


def entered_cells(
    mesh: LayerMesh, view: View, cells: LevelCells | None = None
) -> Int[np.ndarray, "layer size size"]:
    """Find, for each pixel and each layer, the grid cell in which the pixel's ray first meets the layer.

    ``view`` is the camera. With ``cells``, only rays count that meet one of these cells of the layer. Returns flat
    indices of cells (level, cell row, cell column); -1 where no such ray meets the layer.
    """
    shown = None if cells is None else cells.ravel()[mesh.cell]
    triangle = entered_triangles(mesh.x_template, mesh.triangles, mesh.layer_starts, view, shown)
    return np.where(triangle < 0, -1, mesh.cell[triangle])


def occluding_cells(
    cells: LevelCells,
    layers: Layers,
    template_points: TemplatePoints,
    fov_deg: float,
    widest_rad: float,
) -> LevelCells:
    """Mark the occluding cells: transparent cells that hide, in some view, one of ``cells`` of the same layer.

    A ray sees a layer only at the point where the ray first meets the layer. So a transparent cell hides the parts of
    the same layer behind the cell. Cells twice as large are drawn to find them.

    Args:
        cells: mask (level, cell row, cell column) of the opaque cells and some around them. The result is a mask of the
            same shape.
        layers: the grid of cells on each layer.
        template_points: see :data:`TemplatePoints`.
        fov_deg: field of view of the views, degrees.
        widest_rad: largest angle of the views from frontal, radians.
    """
    halved = layers.halved()
    complete_cells = halved.complete_cells()
    complete = cell_mesh(complete_cells, halved)
    complete = replace(complete, x_template=template_points(complete.x_template))
    part = halved_cells(cells) & complete_cells
    occluding = np.zeros(complete_cells.size, bool)

    def draw(angles: tuple[float, float]) -> None:
        yaw, pitch = angles
        view = View(yaw=yaw, pitch=pitch, size=VIEW_SIZE, fov_deg=fov_deg)
        met = entered_cells(complete, view, part)
        occluding[met[met >= 0]] = True

    on_all_cores(_views(widest_rad), draw)
    occluding &= ~part.ravel()
    found = dilated(doubled_cells(occluding.reshape(complete_cells.shape), cells), OCCLUDER_MARGIN)
    return closed(found, OCCLUDER_GAP) & layers.complete_cells()


def visible_cells(
    layered_mesh: LayeredMesh, mesh: LayerMesh, cells: LevelCells
) -> tuple[LevelCells, LevelCells]:
    """Find which of ``cells`` are visible in some view of the neutral face or of a baked expression.

    ``mesh`` has the same triangles as the layered mesh, and the cell of each triangle. Returns two masks (level, cell
    row, cell column). The first marks the cells whose texture can be told from a coarse one. The second marks the
    visible cells and those in which rays leave a visible layer.
    """
    flags = np.zeros((3, len(mesh.triangles)), bool)
    widest = layered_mesh.widest_rad
    expressions = [layered_mesh.at_inbetween(shape, -1) for shape in range(len(layered_mesh.blendshapes))]

    def draw(pose_and_view: tuple[Pose, tuple[float, float]]) -> None:
        pose, (yaw, pitch) = pose_and_view
        flags[visible_triangles(layered_mesh, pose, yaw=yaw, pitch=pitch, size=VIEW_SIZE)] = True

    on_all_cores(
        [
            *product([layered_mesh.neutral], _views(widest)),
            *product(expressions, _views(widest, VIEWS_OF_EXPRESSIONS)),
        ],
        draw,
    )
    cell_flags = np.zeros((3, cells.size), bool)
    for triangle_flags, found in zip(flags, cell_flags, strict=True):
        found[mesh.cell[triangle_flags]] = True
    visible, left, textured = cell_flags.reshape(3, *cells.shape)
    return dilated(textured, TEXTURED_MARGIN) & cells, dilated(visible | left, VISIBLE_MARGIN) & cells
