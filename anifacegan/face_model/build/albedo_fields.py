"""Fields that say where colours are applied: a number at each vertex for cheeks, wrinkles, beards, teeth and so on.

The fields are the same for all people, as functions of the position on the average head (for its lengths see
:mod:`anifacegan.face_model.build.head_view`).
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from anifacegan.face_model.build.fields import distance_to_line
from anifacegan.face_model.build.head_view import HeadView
from anifacegan.face_model.parts import (
    LOWER_TEETH,
    LOWER_TOOTH_WIDTHS,
    TOOTH_ARCH_RADIUS,
    UPPER_TEETH,
    UPPER_TOOTH_WIDTHS,
)
from anifacegan.geometry.resampling import smoothstep

BEARD_LINE = (
    (0, 0.10, 0.22, 0.3, 0.42, 0.55, 0.64, 0.72),
    (6.885, 6.885, 6.80, 6.70, 6.74, 6.92, 7.15, 7.3),
)
"""Distances from the middle of the face, and the height of the beard's upper edge at each of them."""

NASOLABIAL_FOLD = [(0.175, 6.93), (0.24, 6.85), (0.29, 6.74), (0.30, 6.66)]
MARIONETTE_LINE = [(0.25, 6.64), (0.28, 6.54), (0.27, 6.46)]
NOSTRIL_CENTRE, NOSTRIL_HALF_AXES = (0.099, 6.913), (0.042, 0.022)
"""Centre and half axes, as (distance from the middle, height), of a nostril's opening seen from the front."""
EYE_BAG = [(0.17, 7.27), (0.24, 7.225), (0.32, 7.215), (0.40, 7.25)]
CROWS_FEET = (-0.06, 0.0, 0.05)
FOREHEAD_LINES = (7.66, 7.75, 7.84)

MOLE_SETS, MOLES, MOLE_RADIUS, MOLE_SEED = 4, 3, 0.013, 200
"""Number of sets of moles, of moles in each, radius of a mole, and random seed of the moles' places, which are the same
for all people."""


@dataclass(frozen=True)
class SkinNoise:
    """Random unevenness of the skin: fields with one number of about standard deviation 1 at each vertex, (V,) each."""

    low: list[np.ndarray]
    """Fields that vary slowly over the head, for blotches."""
    lines: np.ndarray
    """Field by which the horizontal wrinkles of the forehead are bent."""


def draw_noise(view: HeadView, rng: np.random.Generator) -> SkinNoise:
    """Draw the random fields of skin unevenness at the vertices of the average head, as sums of waves in space."""

    def waves(frequency: float, count: int) -> np.ndarray:
        directions = rng.normal(0, frequency, (count, 3))
        phases = rng.uniform(0, 2 * np.pi, count)
        return np.cos(view.points @ directions.T + phases).sum(axis=1) / np.sqrt(count / 2)

    low = [view.smooth(waves(4.0, 12)) for _ in range(5)]
    return SkinNoise(low, lines=waves(9.0, 20))


@dataclass(frozen=True)
class SkinFields:
    """Weight of each feature of the skin at each vertex: arrays of shape (V,), mostly from 0 to 1."""

    cheek: np.ndarray
    nose: np.ndarray
    chin: np.ndarray
    under_eye: np.ndarray
    upper_lid: np.ndarray
    forehead: np.ndarray
    nasolabial: np.ndarray
    """Weight of the fold from the nose to the corner of the mouth."""
    marionette: np.ndarray
    """Weight of the line from the corner of the mouth down."""
    crows_feet: np.ndarray
    """Weight of the wrinkles beside the eyes."""
    forehead_lines: np.ndarray
    frown: np.ndarray
    """Weight of the vertical lines between the brows."""
    bags: np.ndarray
    """Weight of the line under the bags below the eyes."""
    moles: list[np.ndarray]
    """Weights of several sets of moles."""
    beard: np.ndarray
    moustache: np.ndarray
    goatee: np.ndarray
    nostrils: np.ndarray
    """Weight of the nostrils' openings."""


def skin_fields(view: HeadView, noise: SkinNoise) -> SkinFields:
    """Compute the weights of blush, shadow, make-up, wrinkles, moles and beard at the vertices of the average head."""

    def spot(side: float, height: float, width: float, extent: float) -> np.ndarray:
        return np.exp(-(((view.side - side) / width) ** 2) / 2 - ((view.y - height) / extent) ** 2 / 2)

    def fold(line: list[tuple[float, float]], width: float) -> np.ndarray:
        return np.exp(-((distance_to_line(plane, line) / width) ** 2))

    front = view.front
    plane = np.stack([view.side, view.y], axis=1)
    crows_feet = sum(fold([(0.455, 7.33 + 0.3 * end), (0.56, 7.33 + end)], 0.010) for end in CROWS_FEET)
    bend = 0.02 * np.cos(6 * view.side) + 0.003 * noise.lines
    forehead_lines = sum(np.exp(-(((view.y - height - bend) / 0.011) ** 2)) for height in FOREHEAD_LINES)
    beard, moustache, goatee = _beards(view)
    return SkinFields(
        cheek=spot(0.36, 7.02, 0.13, 0.11) * front,
        nose=spot(0.0, 7.0, 0.10, 0.09) * front,
        chin=spot(0.0, 6.42, 0.13, 0.08) * front,
        under_eye=spot(0.29, 7.235, 0.10, 0.035) * front,
        upper_lid=spot(0.30, 7.40, 0.13, 0.035) * front,
        forehead=spot(0.0, 7.8, 0.4, 0.14) * front,
        nasolabial=fold(NASOLABIAL_FOLD, 0.022) * front,
        marionette=fold(MARIONETTE_LINE, 0.02) * front,
        crows_feet=crows_feet * smoothstep(0.4, 0.6, view.z) * view.skin,
        forehead_lines=forehead_lines * np.exp(-((view.side / 0.38) ** 4)) * front,
        frown=np.exp(-(((view.side - 0.055) / 0.011) ** 2) - ((view.y - 7.5) / 0.06) ** 2) * front,
        bags=fold(EYE_BAG, 0.016) * front,
        moles=_moles(view),
        beard=beard,
        moustache=moustache,
        goatee=goatee,
        nostrils=_nostrils(view),
    )


def _nostrils(view: HeadView) -> np.ndarray:
    """Compute the weight (V,) of the nostrils' openings."""
    side = (view.side - NOSTRIL_CENTRE[0]) / NOSTRIL_HALF_AXES[0]
    height = (view.y - NOSTRIL_CENTRE[1]) / NOSTRIL_HALF_AXES[1]
    openings = np.exp(-((side**2 + height**2) ** 2)) * smoothstep(1.22, 1.30, view.z) * view.skin
    return np.clip(1.15 * view.smooth(openings, times=1), 0, 1)


def _beards(view: HeadView) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the weights (V,) of the full beard, the moustache and the goatee."""
    below_line = smoothstep(0.06, -0.05, view.y - np.interp(view.side, *BEARD_LINE))
    above_throat = smoothstep(6.02, 6.28, view.y)
    off_lips = 1 - np.clip(1.5 * view.lips, 0, 1)
    off_ears = 1 - np.clip(1.5 * view.ears, 0, 1)
    off_mouth = 1 - np.clip(3 * view.mouth_inside, 0, 1)
    bare_patch = 0.6 * np.exp(-(((view.side - 0.11) / 0.05) ** 2) - ((view.y - 6.56) / 0.03) ** 2)
    front = smoothstep(0.45, 0.62, view.z)
    beard = below_line * above_throat * front * off_lips * off_ears * off_mouth * view.skin * (1 - bare_patch)
    middle = np.exp(-((view.side / 0.2) ** 4))
    moustache = beard * middle * smoothstep(6.66, 6.70, view.y)
    chin = beard * middle * np.exp(-(((view.y - 6.4) / 0.2) ** 4))
    return beard, moustache, np.clip(moustache + chin, 0, 1)


def _moles(view: HeadView) -> list[np.ndarray]:
    moles = []
    for index in range(MOLE_SETS):
        rng = np.random.default_rng(MOLE_SEED + index)
        selected = rng.choice(np.flatnonzero(view.front > 0.9), MOLES)
        moles.append(_dots(view, selected, MOLE_RADIUS) * view.front * (1 - view.lips))
    return moles


def _dots(view: HeadView, centres: np.ndarray, radius: float) -> np.ndarray:
    distance, _ = cKDTree(view.points[centres]).query(view.points)
    return np.exp(-((distance / radius) ** 2))


# ---------------------------------------------------------------------------------------------- eyes and teeth
@dataclass(frozen=True)
class EyeFields:
    """Numbers at each of the E vertices of both eyeballs, (E,) each, from which the whites are painted."""

    vertices: np.ndarray
    """Index of each eyeball vertex among all vertices of the head."""
    redness: np.ndarray
    """Weight of blood vessels, which redden the white of the eye, at each vertex, 0 to 1."""


def eye_fields(view: HeadView) -> EyeFields:
    """Compute the redness of the eyeballs' vertices by their angle from the eye's pole, the middle of the pupil."""
    vertices = np.flatnonzero(view.eyes)
    polar_deg = np.degrees(view.topology.eye_polar[vertices])
    return EyeFields(vertices, redness=smoothstep(34.0, 75.0, polar_deg))


@dataclass(frozen=True)
class TeethFields:
    """Numbers at each of the T vertices of the teeth, (T,) each, from which the teeth are painted."""

    vertices: np.ndarray
    """Index of each tooth vertex among all vertices of the head."""
    gap: np.ndarray
    """Weight of the dark gap between two teeth at each vertex, 0 to 1."""
    gum: np.ndarray
    """Weight of the gums at each vertex, 0 to 1."""


def teeth_fields(view: HeadView) -> TeethFields:
    """Compute the weights of gaps on the teeth, by arc length from the middle of the row, and of gums, by height."""
    gap, gum = np.zeros(len(view.points)), np.zeros(len(view.points))
    for part, widths in ((UPPER_TEETH, UPPER_TOOTH_WIDTHS), (LOWER_TEETH, LOWER_TOOTH_WIDTHS)):
        row = view.part == part
        arch = TOOTH_ARCH_RADIUS * _arch_angle(view.x[row], view.z[row])
        to_gap = np.minimum(np.abs(arch[:, None] - np.cumsum(widths)).min(axis=1), arch)
        gap[row] = np.exp(-((to_gap / 0.010) ** 2))
    upper, lower = view.part == UPPER_TEETH, view.part == LOWER_TEETH
    height = view.y[upper]
    gum[upper] = smoothstep(0.62, 0.80, (height - height.min()) / (height.max() - height.min()))
    depth = view.z[lower]
    rise = np.interp(depth, [depth.min(), depth.max()], [0.17, 0])  # the lower row is higher at the back
    gum[lower] = smoothstep(0.55, 0.30, (view.y[lower] - rise - view.y[lower].min()) / 0.18)
    vertices = np.flatnonzero(view.teeth)
    return TeethFields(vertices, gap[vertices], gum[vertices])


def _arch_angle(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return the angle along a dental arch from its middle, about a point behind the front teeth; at most 129
    degrees."""
    return np.minimum(np.arctan2(np.abs(x), z - z.max() + 0.45), np.pi / 1.4)
