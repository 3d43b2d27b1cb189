"""Which cells of a layered avatar's sheets any view needs: the others are left out."""

from collections.abc import Iterator
from itertools import product

import numpy as np

from anifacegan.avatars.baking.layers import LayerMesh, LevelCells, grown, restricted
from anifacegan.avatars.layered_mesh import LayeredMesh, Pose
from anifacegan.avatars.players.numba_player import View, entered_triangles, seen_triangles
from anifacegan.runtime.cpu import on_all_cores

SEEN_SIZE = 128
"""Pixels of the views that tell what is seen."""
_TURNS, _ASIDE = (-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1), (-0.7, 0, 0.7)
VIEWS = ((-1, (0,)), (-0.7, _ASIDE), (-0.25, _TURNS), (0, _TURNS), (0.25, _TURNS), (0.7, _ASIDE), (1, (0,)))
"""Pitch, and yaw beside it, of these views; 1 is the angle farthest from frontal that an avatar is baked for."""
SPREAD = 1
"""Cells around a seen one that count as seen."""
BEFORE = 3
"""Cells around one that stands before another on its sheet that are kept as well: for the views in between."""


def _views(widest_rad: float) -> Iterator[tuple[float, float]]:
    """Yaw and pitch of views from all sides, radians from frontal; closest where faces turn most."""
    for pitch, yaws in VIEWS:
        for yaw in yaws:
            yield widest_rad * yaw, widest_rad * pitch


def cells_before(cells: LevelCells, complete: LayerMesh, fov_deg: float, widest_rad: float) -> LevelCells:
    """Transparent cells through which a ray enters a sheet on which it would else see one of ``cells`` farther off.

    A sheet counts where a ray meets it first, and there it may be transparent. That is so whatever the expression.
    """
    part = restricted(complete, cells)
    before = np.zeros(cells.size, bool)

    def look(angles: tuple[float, float]) -> None:
        yaw, pitch = angles
        view = View(yaw=yaw, pitch=pitch, size=SEEN_SIZE, fov_deg=fov_deg)
        first, other = (
            np.where(entered < 0, -1, mesh.cell[entered])
            for mesh in (complete, part)
            for entered in [entered_triangles(mesh.x_template, mesh.triangles, mesh.starts, view)]
        )
        before[first[(other >= 0) & (first != other)]] = True

    on_all_cores(_views(widest_rad), look)
    return grown(before.reshape(cells.shape), BEFORE)


def seen_cells(avatar: LayeredMesh, mesh: LayerMesh, cells: LevelCells) -> tuple[LevelCells, LevelCells]:
    """Cells that some view of the neutral face or of an expression shows; and all that such views need."""
    seen = np.zeros((2, len(mesh.triangles)), bool)
    poses = [avatar.neutral, *(avatar.at_inbetween(shape, -1) for shape in range(len(avatar.blendshapes)))]

    def look(pose_and_view: tuple[Pose, tuple[float, float]]) -> None:
        pose, (yaw, pitch) = pose_and_view
        seen[seen_triangles(avatar, pose, yaw=yaw, pitch=pitch, size=SEEN_SIZE)] = True

    on_all_cores(product(poses, _views(avatar.widest_rad)), look)
    found = np.zeros((2, cells.size), bool)
    for triangles, flags in zip(seen, found, strict=True):
        flags[mesh.cell[triangles]] = True
    shown, left = (grown(flags.reshape(cells.shape), SPREAD) & cells for flags in found)
    return shown, shown | left
