"""Hair and clothes as layers over the skin, bounded by the zero level of a signed distance.

Hair lines and collars painted as vertex colours would be jagged and would blur in principal components; a signed
distance, interpolated at every pixel, has a sharp edge at any size. Hair also has a thickness, and long hair hangs down
as a separate surface, the curtain.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from anifacegan.face_model.build.albedo_fields import SkinNoise
from anifacegan.face_model.build.head_view import AXIS_Z, HeadView
from anifacegan.geometry.resampling import smoothstep

HAIR_LINE = (
    (0, 20, 38, 50, 60, 68, 76, 84, 100, 112, 130, 180),
    (7.95, 7.96, 7.91, 7.75, 7.52, 7.22, 7.2, 7.45, 7.38, 7.1, 6.85, 6.75),
)
"""Azimuths in degrees (0 in front), and the height of the hair line at each azimuth."""
TEMPLE_DEG, TEMPLE_WIDTH_DEG = 38.0, 14.0
SIDEBURN_DEG, SIDEBURN_WIDTH_DEG = 70.0, 8.0
WIDOWS_PEAK_WIDTH_DEG = 9.0
DISTANCE_LIMIT = 0.4
OFF_SKIN = -1.0
"""Signed distance that vertices of eyes and teeth get, which are never in hair or clothes."""

COLLAR_HEIGHT, COLLAR_RISE, NAPE_HEIGHT = 5.74, 0.30, 6.08
COLLAR_LIMIT = 0.5

CURTAIN_TOP, CURTAIN_LENGTH, CURTAIN_ROWS = 7.80, 2.35, 18
CURTAIN_DISTANCE = 0.11


@dataclass(frozen=True)
class HairLine:
    """Changes of the usual hair line; lengths in MakeHuman's decimetres."""

    raised: float | np.ndarray = 0.0
    """Rise of the hair line in front."""
    temple: float = 0.0
    """Rise of the hair line at the temples."""
    sideburn: float = 0.0
    """Rise of the lower end of the sideburns."""
    widows_peak: float = 0.0
    """Length of a downward tip in the middle of the forehead."""


@dataclass(frozen=True)
class HairStyles:
    """S hair styles on V vertices."""

    names: tuple[str, ...]
    """Names of the S styles."""
    thickness: np.ndarray
    """(S, V) thickness of the hair at each vertex."""
    signed_distance: np.ndarray
    """(S, V) signed distance to the hair line, positive in the hair."""


@dataclass(frozen=True)
class Curtain:
    """Long hair beside and behind the head: an open surface whose vertices are attached to the skin."""

    anchors: np.ndarray
    """(C,) index of the skin vertex to which each vertex of the curtain is attached."""
    offsets: np.ndarray
    """(C, 3) positions of the curtain's vertices relative to the skin vertices they are attached to."""
    triangles: np.ndarray
    """(T, 3) corners of the curtain's triangles, oriented outward."""


def hair_line_height(view: HeadView, line: HairLine) -> np.ndarray:
    """Compute the height of the hair line at each vertex's azimuth, (V,)."""
    azimuth = view.azimuth_deg

    def bump(centre: float, width: float) -> np.ndarray:
        return np.exp(-(((azimuth - centre) / width) ** 2))

    height = np.interp(azimuth, *HAIR_LINE) + line.raised * smoothstep(70.0, 30.0, azimuth)
    height += line.temple * bump(TEMPLE_DEG, TEMPLE_WIDTH_DEG)
    height += line.sideburn * bump(SIDEBURN_DEG, SIDEBURN_WIDTH_DEG)
    return height - line.widows_peak * bump(0.0, WIDOWS_PEAK_WIDTH_DEG)


def signed_distance(view: HeadView, line: HairLine) -> np.ndarray:
    """Compute the signed distance (V,) to the hair line: the height above the line, lowered on the ears."""
    above = np.clip(view.y - hair_line_height(view, line), -DISTANCE_LIMIT, DISTANCE_LIMIT)
    return np.where(view.skin, above - 0.8 * np.clip(1.3 * view.ears, 0, 1), OFF_SKIN)


def standing(view: HeadView, line: HairLine, width: float = 0.16) -> np.ndarray:
    """Compute a weight (V,) that rises smoothly from 0 at the hair line to 1 at the height ``width`` above it."""
    rise = smoothstep(-0.02, width, view.y - hair_line_height(view, line))
    return rise * (1 - np.clip(1.3 * view.ears, 0, 1)) * view.skin


def hair_styles(view: HeadView, noise: SkinNoise) -> HairStyles:
    """Compute thickness and signed distance of all hair styles; "long" and "fringe" are worn with the curtain of long
    hair."""
    top = smoothstep(7.7, 8.3, view.y)
    forelock = smoothstep(55.0, 15.0, view.azimuth_deg) * smoothstep(7.9, 8.2, view.y)
    usual = HairLine()
    full = standing(view, usual)
    low, mid, high = noise.low, noise.mid, noise.high
    fringe = -0.30 + 0.05 * np.sin(7 * view.x + 1)
    receding = HairLine(raised=0.05, temple=0.09)
    styles = {
        "buzz": (0.012 * full, usual),
        "short": (0.055 * full * (1 + 0.8 * top) + 0.010 * full * mid[0], usual),
        "quiff": (
            0.035 * full + 0.13 * standing(view, usual, 0.2) * top + 0.05 * forelock,
            HairLine(raised=0.02, widows_peak=0.03),
        ),
        "medium": (
            0.085 * standing(view, HairLine(raised=-0.03), 0.15) * (1 + 0.5 * top) + 0.015 * full * mid[1],
            HairLine(raised=-0.04, sideburn=-0.05),
        ),
        "afro": (0.26 * standing(view, usual, 0.20) * (1 + 0.12 * low[0]) + 0.02 * high[0] * full, usual),
        "receding": (0.040 * standing(view, receding), receding),
        "tied": (0.035 * full, HairLine(raised=0.02)),
        "long": (
            0.09 * standing(view, HairLine(raised=-0.01), 0.10) * (1 + 0.3 * top),
            HairLine(raised=-0.01),
        ),
        "fringe": (
            0.065 * standing(view, HairLine(raised=fringe), 0.10) + 0.05 * standing(view, usual, 0.2),
            HairLine(raised=fringe * (view.azimuth_deg < 75)),
        ),
    }
    thickness = [view.smooth(np.maximum(depth, 0), times=3) for depth, _ in styles.values()]
    distances = [signed_distance(view, line) for _, line in styles.values()]
    return HairStyles(tuple(styles), np.stack(thickness), np.stack(distances))


def standing_direction(view: HeadView) -> np.ndarray:
    """Compute the unit direction (V, 3) in which the thickness of hair and clothes is measured: the smoothed normal,
    turned a little upward."""
    direction = view.normals.copy()
    direction[:, 1] += 0.15
    direction = view.smooth(direction, times=6)
    return direction / (np.linalg.norm(direction, axis=1, keepdims=True) + 1e-9)


def cloth_signed_distance(view: HeadView) -> np.ndarray:
    """Compute the signed distance (V,) of clothes: the depth below the collar, which is lower in front."""
    front = COLLAR_HEIGHT + COLLAR_RISE * np.clip((view.side / 0.6) ** 2, 0, 1)
    collar = np.where(view.z > AXIS_Z, front, NAPE_HEIGHT)
    return np.where(view.skin, np.clip(collar - view.y, -COLLAR_LIMIT, COLLAR_LIMIT), OFF_SKIN)


def curtain(view: HeadView) -> Curtain:
    """Make the curtain of long hair from ear to ear behind the head, turned inward at its front edges."""
    azimuth_deg = np.concatenate([[96, 84, 74], np.linspace(67, 293, 44), [286, 276, 264]])
    tuck = np.concatenate([[0.80, 0.80, 0.88], np.ones(44), [0.88, 0.80, 0.80]])
    anchors = _anchors_at(view, azimuth_deg)
    reach = np.hypot(view.points[anchors, 0], view.points[anchors, 2] - AXIS_Z) + CURTAIN_DISTANCE
    down = np.linspace(0, 1, CURTAIN_ROWS)  # along the hair: 0 at the top
    shape = 1 + 0.05 * np.sin(np.pi * np.minimum(1, 1.6 * down))
    shape += 0.22 * smoothstep(0.58, 1.0, down) - 0.20 * smoothstep(0.2, 0.55, down)
    radius = (reach * tuck)[:, None] * shape - 0.10 * smoothstep(0.06, 0.0, down)  # (columns, rows)
    azimuth = np.radians(azimuth_deg)[:, None]
    height = np.broadcast_to(CURTAIN_TOP - CURTAIN_LENGTH * down, radius.shape)
    points = np.stack([radius * np.sin(azimuth), height, AXIS_Z + radius * np.cos(azimuth)], axis=-1)
    points = points.reshape(-1, 3)
    anchors = np.repeat(anchors, CURTAIN_ROWS)
    triangles = _outward(_grid_triangles(len(azimuth_deg), CURTAIN_ROWS), points)
    return Curtain(anchors, points - view.points[anchors], triangles)


def _anchors_at(view: HeadView, azimuth_deg: np.ndarray) -> np.ndarray:
    """Find the skin vertices above the ears that are nearest to given azimuths (0 in front, 90 at +x)."""
    skin = np.flatnonzero(view.skin & (view.y > 7.35) & (view.y < 7.85) & (view.ears < 0.2))
    azimuth = np.radians(view.azimuth_deg[skin] * np.sign(view.x[skin] + 1e-9))
    places = np.stack([np.cos(azimuth), np.sin(azimuth), 1.5 * (view.y[skin] - 7.62)], axis=1)
    target = np.radians(azimuth_deg)
    targets = np.stack([np.cos(target), np.sin(target), np.zeros_like(target)], axis=1)
    return skin[cKDTree(places).query(targets)[1]]


def _grid_triangles(columns: int, rows: int) -> np.ndarray:
    corner = (np.arange(columns - 1)[:, None] * rows + np.arange(rows - 1)).reshape(-1)
    first = np.stack([corner, corner + 1, corner + rows + 1], axis=1)
    second = np.stack([corner, corner + rows + 1, corner + rows], axis=1)
    return np.stack([first, second], axis=1).reshape(-1, 3)


def _outward(triangles: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Reverse all triangles if the middle one faces the head's axis."""
    a, b, c = points[triangles[len(triangles) // 2]]
    away = a - [0, a[1], AXIS_Z]
    return triangles[:, ::-1] if np.cross(b - a, c - a) @ away < 0 else triangles
