"""Visibility of a layered mesh's cells from a set of views; cells that no view needs are left out of the mesh."""

from collections.abc import Iterator
from itertools import product

import numpy as np
from jaxtyping import Int

from anifacegan.avatars.baking.layers import LayerMesh, LevelCells, dilated, submesh
from anifacegan.avatars.layered_mesh import LayeredMesh, Pose
from anifacegan.avatars.players.numba_player import View, entered_triangles, visible_triangles
from anifacegan.runtime.cpu import on_all_cores

VIEW_SIZE = 128
"""Height and width of the views, pixels."""
_ALL_YAWS, _FEW_YAWS = (-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1), (-0.7, 0, 0.7)
VIEWS = (
    (-1, (0,)), (-0.7, _FEW_YAWS), (-0.25, _ALL_YAWS), (0, _ALL_YAWS), (0.25, _ALL_YAWS), (0.7, _FEW_YAWS), (1, (0,)),
)  # fmt: skip
"""Pitch and yaws of the views, as multiples of the widest angle from frontal."""
VISIBLE_MARGIN = 1
"""Neighbouring cells of a visible cell that count as visible."""
OCCLUDER_MARGIN = 3
"""Neighbouring cells of an occluding cell that are included as well, for views between those that are drawn."""


def _views(widest_rad: float) -> Iterator[tuple[float, float]]:
    """Yaw and pitch of the views, radians from frontal; densest along the yaw, which faces turn by most."""
    for pitch, yaws in VIEWS:
        for yaw in yaws:
            yield widest_rad * yaw, widest_rad * pitch


def entered_cells(mesh: LayerMesh, view: View) -> Int[np.ndarray, "layer size size"]:
    """Find the cell in which each pixel's ray first meets each layer of a mesh; -1 where there is none."""
    triangle = entered_triangles(mesh.x_template, mesh.triangles, mesh.layer_starts, view)
    return np.where(triangle < 0, -1, mesh.cell[triangle])


def occluding_cells(cells: LevelCells, complete: LayerMesh, fov_deg: float, widest_rad: float) -> LevelCells:
    """Find transparent cells that occlude one of ``cells`` on the same layer in some view.

    A ray sees each layer only where it first meets it. So a transparent cell in front hides what the ray would meet
    farther off on that layer, with every expression.
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
    """Find the cells that contribute to some view of the neutral face or of an expression; and these together with
    those where rays leave a visible layer again, which the player needs as well.
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
