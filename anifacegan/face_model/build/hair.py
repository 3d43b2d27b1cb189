"""Hair lines (edges of the region where hair grows) and the collar, as signed distances of the vertices.

Lines painted as vertex colours would be jagged and would blur in principal components; the zero level of a signed
distance, interpolated between vertices, is sharp at any size.
"""

from dataclasses import dataclass

import numpy as np

from anifacegan.face_model.build.head_view import AXIS_Z, HeadView
from anifacegan.geometry.resampling import smoothstep

HAIR_LINE = (
    (0, 20, 38, 50, 60, 68, 76, 84, 100, 112, 130, 180),
    (7.95, 7.96, 7.91, 7.75, 7.52, 7.22, 7.2, 7.45, 7.38, 7.1, 6.85, 6.75),
)
"""Azimuths in degrees (0 in front), and the height of the hair line, MakeHuman's decimetres, at each azimuth."""
SIDEBURN_DEG, SIDEBURN_WIDTH_DEG = 70.0, 8.0
DISTANCE_LIMIT = 0.4
OFF_SKIN = -1.0
"""Signed distance to hair line and collar of vertices of eyes, tongue and teeth, never in hair or clothes."""

COLLAR_HEIGHT, COLLAR_RISE, NAPE_HEIGHT = 5.74, 0.30, 6.08
COLLAR_LIMIT = 0.5


@dataclass(frozen=True)
class HairLine:
    """A hair line, as its difference from ``HAIR_LINE``; lengths in MakeHuman's decimetres."""

    raised: float = 0.0
    """Rise of the hair line in front."""
    sideburn: float = 0.0
    """Rise of the lower end of the sideburns."""


HAIR_LINES = {
    "short": HairLine(),
    "medium": HairLine(raised=-0.04, sideburn=-0.05),
}
"""Hair lines in the face model's file, by name: short, from which the renderer makes the lines of all styles, and
medium, the lowest of all, above which hair may cover the face."""


def hair_line_height(view: HeadView, line: HairLine) -> np.ndarray:
    """Compute the height (V,), in MakeHuman's decimetres, of a hair line at each vertex's azimuth."""
    azimuth = view.azimuth_deg

    height = np.interp(azimuth, *HAIR_LINE) + line.raised * smoothstep(70.0, 30.0, azimuth)
    sideburn = np.exp(-(((azimuth - SIDEBURN_DEG) / SIDEBURN_WIDTH_DEG) ** 2))
    return height + line.sideburn * sideburn


def signed_distance(view: HeadView, line: HairLine) -> np.ndarray:
    """Compute the signed distance (V,), decimetres, of each vertex to a hair line, positive in the hair.

    It is the height above the line, clamped and lowered on the ears; OFF_SKIN on eyes, tongue and teeth.
    """
    above = np.clip(view.y - hair_line_height(view, line), -DISTANCE_LIMIT, DISTANCE_LIMIT)
    return np.where(view.skin, above - 0.8 * np.clip(1.3 * view.ears, 0, 1), OFF_SKIN)


def standing_direction(view: HeadView) -> np.ndarray:
    """Compute the unit direction (V, 3) in which the thickness of clothes is measured: the smoothed normal,
    turned a little upward."""
    direction = view.normals.copy()
    direction[:, 1] += 0.15
    direction = view.smooth(direction, times=6)
    return direction / (np.linalg.norm(direction, axis=1, keepdims=True) + 1e-9)


def cloth_signed_distance(view: HeadView) -> np.ndarray:
    """Compute the signed distance (V,), decimetres, of each vertex to the collar, positive below it, in the clothes.

    The collar is lower in front; values are clamped, and OFF_SKIN on eyes, tongue and teeth.
    """
    front = COLLAR_HEIGHT + COLLAR_RISE * np.clip((view.side / 0.6) ** 2, 0, 1)
    collar = np.where(view.z > AXIS_Z, front, NAPE_HEIGHT)
    return np.where(view.skin, np.clip(collar - view.y, -COLLAR_LIMIT, COLLAR_LIMIT), OFF_SKIN)
