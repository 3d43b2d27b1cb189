"""The 68 landmarks and the eyelids, as vertices of the face model's mesh.

Landmarks are the vertices nearest to positions chosen by eye on the average head (for its lengths see
:mod:`anifacegan.face_model.build.head_view`) in the half at +x; the other half mirrors them.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from anifacegan.face_model.build.head_view import HeadView
from anifacegan.face_model.build.topology import fit_sphere

LANDMARK_COUNT = 68

JAW = (
    (0.665, 7.28, 0.60),
    (0.655, 7.08, 0.62),
    (0.635, 6.89, 0.66),
    (0.585, 6.71, 0.70),
    (0.52, 6.56, 0.80),
    (0.43, 6.44, 0.94),
    (0.31, 6.345, 1.09),
    (0.16, 6.29, 1.22),
)
"""Positions (x, y, z), decimetres, of the landmarks 16 (at the ear) down to 9 (beside the chin)."""
CHIN = (0.0, 6.285, 1.30)
BROW = ((0.095, 7.465), (0.19, 7.50), (0.29, 7.525), (0.38, 7.505), (0.465, 7.445))
"""Positions (x, y), decimetres, of landmarks 22 to 26."""
NOSE_BRIDGE_TOP = 7.34
NOSTRILS = {33: (0.0, 6.878, 1.42), 34: (0.065, 6.892, 1.38), 35: (0.128, 6.905, 1.32)}
EYE = {
    42: (0.170, 7.312),
    43: (0.245, 7.362),
    44: (0.350, 7.364),
    45: (0.422, 7.332),
    46: (0.350, 7.290),
    47: (0.250, 7.288),
}
OUTER_LIPS = {
    54: (0.228, 6.672),
    53: (0.135, 6.712),
    52: (0.05, 6.735),
    55: (0.145, 6.61),
    56: (0.075, 6.585),
}
MIDDLE_OF_LIPS = {51: (0.0, 6.727, 1.45), 57: (0.0, 6.578, 1.45)}
INNER_CORNER = (0.212, 6.672)
INNER_LIPS = {62: (0.0, "upper"), 63: (0.075, "upper"), 66: (0.0, "lower"), 65: (0.075, "lower")}
"""For each landmark of the inner lips, its distance from the middle of the face in decimetres, and its lip."""

MIRRORED = {
    **{16 - k: k for k in range(8)},
    **{22 + k: 21 - k for k in range(5)},
    **{34: 32, 35: 31},
    **{45: 36, 44: 37, 43: 38, 42: 39, 47: 40, 46: 41},
    **{54: 48, 53: 49, 52: 50, 55: 59, 56: 58},
    **{64: 60, 63: 61, 65: 67},
}
"""Index of each landmark at +x, and the index of its mirror image at -x."""

LID_CLEARANCE = 0.0015
LID_REACH = 1.7
"""Distance from the centre of the eyeball, in radii of the eyeball, up to which vertices count as eyelid."""


@dataclass(frozen=True)
class _Finder:
    """Finds vertices near positions: near a position (x, y) the frontmost vertex, near (x, y, z) the nearest one."""

    view: HeadView

    def near(self, place: tuple[float, ...], candidates: np.ndarray) -> int:
        points = self.view.points
        if len(place) == 2:
            distance = np.hypot(points[:, 0] - place[0], points[:, 1] - place[1]) - 0.15 * points[:, 2]
        else:
            distance = np.linalg.norm(points - np.array(place), axis=1)
        return int(np.where(candidates, distance, np.inf).argmin())

    def profile(self, height: float, candidates: np.ndarray) -> int:
        """Find the frontmost of the candidate vertices near a height."""
        distance = np.abs(self.view.y - height) - 0.3 * self.view.z
        return int(np.where(candidates, distance, np.inf).argmin())

    def inner_lip(self, side: float, lip: str) -> int:
        """Find the vertex on the edge of a lip: the one nearest to the gap between the lips when the jaw is open."""
        view = self.view
        drop = view.points_open[:, 1] - view.y
        height = view.points_open[:, 1]
        candidates = (
            (view.lips > 0.25)
            & (np.abs(np.abs(view.points_open[:, 0]) - side) < 0.012)
            & (view.x >= -0.001)
            & (view.normals_open[:, 2] > 0.15)
        )
        if lip == "upper":
            return int(np.where(candidates & (drop > -0.09), height, np.inf).argmin())
        return int(np.where(candidates & (drop < -0.12), height, -np.inf).argmax())


def landmark_vertices(view: HeadView) -> np.ndarray:
    """Find the indices (68,) of the landmark vertices on the average head, in iBUG order."""
    find = _Finder(view)
    visible = view.skin & (view.normals[:, 2] > -0.2)
    middle = visible & (view.side < 0.012)
    lids, lips = visible & (view.lids > 0.3) & (view.x > 0), visible & (view.lips > 0.2)
    found: dict[int, int] = {}
    for k, place in enumerate(JAW):
        found[16 - k] = find.near(place, view.skin & (view.ears < 0.5))
    found[8] = find.near(CHIN, visible)
    for k, place in enumerate(BROW):
        found[22 + k] = find.near(place, visible)
    found |= _nose_bridge(view, find, middle)
    for landmark, place in NOSTRILS.items():
        found[landmark] = find.near(place, middle if landmark == 33 else visible)
    for landmark, place in EYE.items():
        found[landmark] = find.near(place, lids)
    for landmark, place in OUTER_LIPS.items():
        found[landmark] = find.near(place, lips)
    for landmark, place in MIDDLE_OF_LIPS.items():
        found[landmark] = find.near(place, middle)
    corner = (*INNER_CORNER, view.z[found[54]])
    found[64] = find.near(corner, view.skin & (view.lips > 0.1))
    for landmark, (side, lip) in INNER_LIPS.items():
        found[landmark] = find.inner_lip(side, lip)
    mirror = cKDTree(view.points * [-1, 1, 1]).query(view.points)[1]
    for landmark, partner in MIRRORED.items():
        found[partner] = int(mirror[found[landmark]])
    return np.array([found[landmark] for landmark in range(LANDMARK_COUNT)])


def _nose_bridge(view: HeadView, find: _Finder, middle: np.ndarray) -> dict[int, int]:
    """Find landmarks 27 to 29 down the bridge of the nose, and 30 at its tip."""
    on_nose = middle & (view.y < 7.2) & (view.y > 6.8)
    tip = int(np.where(on_nose, view.z, -np.inf).argmax())
    heights = np.linspace(NOSE_BRIDGE_TOP, view.y[tip], 4)
    return {27 + k: find.profile(heights[k], middle) for k in range(3)} | {30: tip}


def lid_vertices(view: HeadView, eye: int) -> np.ndarray:
    """Find the indices of the skin vertices around an eyeball that must stay outside it when the eye closes.

    ``eye`` is the eyeball's label, see :mod:`anifacegan.face_model.parts`.
    """
    centre, radius = fit_sphere(view.points[view.part == eye])
    distance = np.linalg.norm(view.points - centre, axis=1)
    around = (distance > radius + LID_CLEARANCE) & (distance < LID_REACH * radius)
    return np.flatnonzero(view.skin & around & (view.normals[:, 2] > 0) & (view.z > centre[2]))
