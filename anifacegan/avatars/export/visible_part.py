"""The part of a layered mesh that a range of views can show, for players that have to be small.

Most triangles of a baked person show nothing: they are covered by the layers outside them, or a ray only leaves its
layer there, which a player without that rule of the renderer does not ask. Three kinds of triangles stay: those that
are visible in some view of some expression, their neighbours, and those that hide a visible triangle of their own
layer, since a ray sees a layer only where it first meets it.
"""

import dataclasses
from collections.abc import Iterator
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float

from anifacegan.avatars.layered_mesh import LayeredMesh, Pose
from anifacegan.avatars.players.numba_player import entered_triangles, visible_triangles
from anifacegan.avatars.players.view import View
from anifacegan.runtime.cpu import on_all_cores

VIEW_SIZE = 192
"""Height and width of the views in which visible triangles are searched for, pixels."""
_ALL, _FEW = (-1.0, -0.67, -0.33, 0.0, 0.33, 0.67, 1.0), (-0.7, 0.0, 0.7)
DIRECTIONS = tuple(
    (yaw, pitch)
    for pitch, yaws in (
        (-0.7, _FEW),
        (-0.3, _ALL),
        (0.0, _ALL),
        (0.3, _ALL),
        (0.7, _FEW),
        (-1.0, (0.0,)),
        (1.0, (0.0,)),
    )
    for yaw in yaws
)
"""Yaw and pitch of the views of each expression, as multiples of the widest angle from frontal."""
FEW_DIRECTIONS = ((0.0, 0.0), (-0.7, 0.0), (0.7, 0.0))
"""Those of the views of two expressions at a time."""
RINGS = 3
"""How far around a visible triangle others are kept, in triangles, for the views between those that are drawn."""
OCCLUDER_RINGS = 6
"""The same around a triangle that hides others: where one is missing at an outline, the dark far side of its layer
shows before the face."""


@dataclasses.dataclass(frozen=True)
class VisiblePart:
    """The triangles of a layered mesh that some view shows or that hide some, and how precisely they are needed."""

    layered_mesh: LayeredMesh
    """The mesh with only these triangles and their vertices."""
    visible: Bool[np.ndarray, "vertex"]
    """Whether a vertex belongs to a triangle that is visible itself; others only hide or surround such triangles."""


def visible_part(layered_mesh: LayeredMesh, widest_rad: float) -> VisiblePart:
    """Leave out the triangles that no view up to ``widest_rad`` radians from frontal shows or needs.

    The views show the neutral face, each expression, and two expressions at a time.
    """
    visible = np.zeros(len(layered_mesh.triangles), bool)

    def look(pose_and_view: tuple[Pose, View]) -> None:
        pose, view = pose_and_view
        angles = {"yaw": view.yaw, "pitch": view.pitch, "size": view.size}
        visible[visible_triangles(layered_mesh, pose, **angles)[0]] = True

    on_all_cores(_views(layered_mesh, widest_rad), look)
    shown = _with_surroundings(layered_mesh, visible, RINGS)
    occluding = np.zeros_like(shown)
    on_all_cores(
        _views(layered_mesh, widest_rad),
        lambda pose_and_view: _mark_occluders(layered_mesh, shown, occluding, *pose_and_view),
    )
    needed = shown | _with_surroundings(layered_mesh, occluding, OCCLUDER_RINGS)
    part = _restricted(layered_mesh, needed)
    corners = np.zeros(len(layered_mesh.vertices), bool)
    corners[layered_mesh.triangles[visible]] = True
    return VisiblePart(part, corners[np.unique(layered_mesh.triangles[needed])])


def _views(layered_mesh: LayeredMesh, widest_rad: float) -> Iterator[tuple[Pose, View]]:
    """Yield the expressions and views to look at: few directions for two expressions at a time, all for one."""
    fov_deg = layered_mesh.ray_sampling.fov_deg
    z_exp = layered_mesh.z_exp
    single = [np.zeros(z_exp.shape[1], np.float32), *z_exp]
    double = [one + other for one, other in combinations(z_exp, 2)]
    for expressions, directions in ((single, DIRECTIONS), (double, FEW_DIRECTIONS)):
        for expression in expressions:
            pose = layered_mesh.posed(expression)
            for yaw, pitch in directions:
                angles = {"yaw": yaw * widest_rad, "pitch": pitch * widest_rad}
                yield pose, View(**angles, size=VIEW_SIZE, fov_deg=fov_deg)


def _with_surroundings(
    layered_mesh: LayeredMesh, selected: Bool[np.ndarray, "triangle"], rings: int
) -> Bool[np.ndarray, "triangle"]:
    """Mark the selected triangles and ``rings`` around: those that share a vertex with one, then with these, ..."""
    for _ in range(rings):
        corner = np.zeros(len(layered_mesh.vertices), bool)
        corner[layered_mesh.triangles[selected]] = True
        selected = np.logical_or.reduce(corner[layered_mesh.triangles], axis=1)
    return selected


def _mark_occluders(
    layered_mesh: LayeredMesh,
    shown: Bool[np.ndarray, "triangle"],
    occluding: Bool[np.ndarray, "triangle"],
    pose: Pose,
    view: View,
) -> None:
    """Mark, in ``occluding``, the triangles that a ray meets before a triangle in ``shown`` of the same layer."""
    triangles, starts = layered_mesh.triangles, layered_mesh.layer_starts
    first = entered_triangles(pose.vertices, triangles, starts, view, shown)
    met = first[first >= 0]
    occluding[met[~shown[met]]] = True


def _restricted(layered_mesh: LayeredMesh, triangles: Bool[np.ndarray, "triangle"]) -> LayeredMesh:
    """Return the layered mesh with only some triangles, and with the vertices of these."""
    used = np.unique(layered_mesh.triangles[triangles])
    number = np.full(len(layered_mesh.vertices), -1, np.int32)
    number[used] = np.arange(len(used), dtype=np.int32)
    first_moving = len(layered_mesh.vertices) - layered_mesh.texel_offsets.shape[2]
    starts = np.concatenate([[0], triangles.cumsum()])[layered_mesh.layer_starts]
    return dataclasses.replace(
        layered_mesh,
        vertices=layered_mesh.vertices[used],
        texels=layered_mesh.texels[used],
        triangles=number[layered_mesh.triangles[triangles]],
        layer_starts=starts.astype(np.int32),
        blendshapes=layered_mesh.blendshapes[:, :, used],
        shades=None if layered_mesh.shades is None else layered_mesh.shades[:, :, used],
        texel_offsets=layered_mesh.texel_offsets[:, :, used[used >= first_moving] - first_moving],
    )


def covered_texels(layered_mesh: LayeredMesh) -> Bool[np.ndarray, "layer texture_height texture_width"]:
    """Mark the texels that a triangle can show with any stored expression, and one texel around them."""
    layers, height, width = layered_mesh.textures.shape[:3]
    layer = np.repeat(np.arange(layers), np.diff(layered_mesh.layer_starts))
    moving = layered_mesh.texel_offsets.shape[2]
    spans = (layered_mesh.triangles >= len(layered_mesh.texels) - moving).any(1)
    boxes = [(layer, layered_mesh.texels[layered_mesh.triangles])]
    shapes = layered_mesh.texel_offsets.reshape(-1, moving, 2) if moving else ()
    for offsets in shapes:
        texels = layered_mesh.texels.copy()
        texels[len(texels) - moving :] += offsets
        boxes.append((layer[spans], texels[layered_mesh.triangles[spans]]))
    difference = np.zeros(
        (layers, height + 1, width + 1), np.int32
    )  # its sums count the boxes over each texel
    for k, corners in boxes:
        left, top = _clipped(np.floor(corners.min(1)) - 1, width, height)
        right, bottom = _clipped(np.ceil(corners.max(1)) + 2, width, height)
        for row, column, sign in ((top, left, 1), (top, right, -1), (bottom, left, -1), (bottom, right, 1)):
            np.add.at(difference, (k, row, column), sign)
    return difference.cumsum(1).cumsum(2)[:, :-1, :-1] > 0


def _clipped(texels: Float[np.ndarray, "box 2"], width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Return whole columns and rows of texels, from 0 to the texture's width and height."""
    column, row = texels.astype(np.int64).clip(0, (width, height)).T
    return column, row
