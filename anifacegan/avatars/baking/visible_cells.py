"""Which grid cells of a layered mesh are visible in a set of views; cells that no view needs are left out."""

from collections.abc import Iterator
from itertools import product

import numpy as np
from jaxtyping import Int

from anifacegan.avatars.baking.layers import LayerMesh, LevelCells, dilated, submesh
from anifacegan.avatars.layered_mesh import LayeredMesh, Pose
from anifacegan.avatars.players.numba_player import entered_triangles, visible_triangles
from anifacegan.avatars.players.view import View
from anifacegan.runtime.cpu import on_all_cores

VIEW_SIZE = 128
"""Height and width of the views in which visible cells are searched for, pixels."""
_ALL_YAWS, _FEW_YAWS = (-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1), (-0.7, 0, 0.7)
VIEWS = (
    (-1, (0,)), (-0.7, _FEW_YAWS), (-0.25, _ALL_YAWS), (0, _ALL_YAWS), (0.25, _ALL_YAWS), (0.7, _FEW_YAWS), (1, (0,)),
)  # fmt: skip
"""Pitch and yaws of the views, as multiples of the widest angle from frontal."""
VISIBLE_MARGIN = 2
"""Grid cells at most this many rows and columns away from a visible cell are counted as visible, too."""
OCCLUDER_MARGIN = 3
"""Grid cells at most this many rows and columns away from an occluding cell are counted as occluding, too, because of
the views between those that are drawn."""


def _views(widest_rad: float) -> Iterator[tuple[float, float]]:
    """Yield (yaw, pitch) of each view, radians from frontal; more yaws than pitches: faces mostly turn in yaw."""
    for pitch, yaws in VIEWS:
        for yaw in yaws:
            yield widest_rad * yaw, widest_rad * pitch


def entered_cells(mesh: LayerMesh, view: View) -> Int[np.ndarray, "layer size size"]:
    """Find, for each pixel and each layer, the grid cell in which the pixel's ray first meets the layer.

    ``view`` is the camera. Returns flat indices of cells (level, cell row, cell column); -1 where the ray does not meet
    the layer.
    """
    triangle = entered_triangles(mesh.x_template, mesh.triangles, mesh.layer_starts, view)
    return np.where(triangle < 0, -1, mesh.cell[triangle])


def occluding_cells(cells: LevelCells, complete: LayerMesh, fov_deg: float, widest_rad: float) -> LevelCells:
    """Mark the occluding cells: transparent cells that hide, in some view, one of ``cells`` of the same layer.

    A ray sees a layer only at the point where the ray first meets the layer. So a transparent cell hides the parts of
    the same layer behind the cell.

    Args:
        cells: mask (level, cell row, cell column) of the opaque cells and some around them. The result is a mask of the
            same shape.
        complete: mesh of all cells, in template space (the face without deformation).
        fov_deg: field of view of the views, degrees.
        widest_rad: largest angle of the views from frontal, radians.
    """
    part = submesh(complete, cells)
    occluding = np.zeros(cells.size, bool)

    def draw(angles: tuple[float, float]) -> None:
        yaw, pitch = angles
        view = View(yaw=yaw, pitch=pitch, size=VIEW_SIZE, fov_deg=fov_deg)
        first, first_of_part = entered_cells(complete, view), entered_cells(part, view)
        occluding[first[(first_of_part >= 0) & (first != first_of_part)]] = True

    on_all_cores(_views(widest_rad), draw)
    return dilated(occluding.reshape(cells.shape), OCCLUDER_MARGIN)


def visible_cells(
    layered_mesh: LayeredMesh, mesh: LayerMesh, cells: LevelCells
) -> tuple[LevelCells, LevelCells]:
    """Find which of ``cells`` are visible in some view of the neutral face or of a baked expression.

    ``mesh`` has the same triangles as the layered mesh, and the cell of each triangle. Returns two masks (level, cell
    row, cell column). The first marks the visible cells. The second also marks the cells in which rays leave a visible
    layer.
    """
    flags = np.zeros((2, len(mesh.triangles)), bool)
    shapes = range(len(layered_mesh.blendshapes))
    poses = [layered_mesh.neutral, *(layered_mesh.at_inbetween(shape, -1) for shape in shapes)]

    def draw(pose_and_view: tuple[Pose, tuple[float, float]]) -> None:
        pose, (yaw, pitch) = pose_and_view
        flags[visible_triangles(layered_mesh, pose, yaw=yaw, pitch=pitch, size=VIEW_SIZE)] = True

    on_all_cores(product(poses, _views(layered_mesh.widest_rad)), draw)
    cell_flags = np.zeros((2, cells.size), bool)
    for triangle_flags, found in zip(flags, cell_flags, strict=True):
        found[mesh.cell[triangle_flags]] = True
    visible, left = (dilated(found.reshape(cells.shape), VISIBLE_MARGIN) & cells for found in cell_flags)
    return visible, visible | left
