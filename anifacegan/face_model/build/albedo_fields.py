"""Fields that say where colours are applied: a number at each vertex for cheeks, wrinkles, beards, irises, teeth and so
on.

The fields are the same for all people, as functions of the position on the average head (for its lengths see
:mod:`anifacegan.face_model.build.head_view`).
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from anifacegan.face_model.build.ambient_occlusion import open_sky
from anifacegan.face_model.build.fields import distance_to_line
from anifacegan.face_model.build.head_view import HeadView
from anifacegan.face_model.build.topology import LOWER_TEETH, TONGUE, UPPER_TEETH
from anifacegan.geometry.resampling import smoothstep

LIPS_FRONT_Z = 1.40
"""Coordinate z of the front of the lips; the mouth gets darker from there to the back."""
UPPER_LID_HEIGHT = 7.325
"""Height that separates the upper from the lower eyelids."""

BEARD_LINE = (
    (0, 0.10, 0.22, 0.3, 0.42, 0.55, 0.64, 0.72),
    (6.885, 6.885, 6.80, 6.70, 6.74, 6.92, 7.15, 7.3),
)
"""Distances from the middle, and the height of the beard's upper edge at each of them."""

NASOLABIAL_FOLD = [(0.175, 6.93), (0.24, 6.85), (0.29, 6.74), (0.30, 6.66)]
MARIONETTE_LINE = [(0.25, 6.64), (0.28, 6.54), (0.27, 6.46)]
NOSTRIL_CENTRE, NOSTRIL_HALF_AXES = (0.099, 6.913), (0.042, 0.022)
"""Centre and half axes, as (distance from the middle, height), of a nostril's opening seen from the front."""
NOSE_CAVITY_CENTRE, NOSE_CAVITY_HALF_AXES = (0.10, 6.945), (0.075, 0.09)
"""Centre and half axes of an ellipse around a nostril; hollows within the ellipse are the inside of the nose."""
EYE_BAG = [(0.17, 7.27), (0.24, 7.225), (0.32, 7.215), (0.40, 7.25)]
CROWS_FEET = (-0.06, 0.0, 0.05)
FOREHEAD_LINES = (7.66, 7.75, 7.84)

FRECKLE_SETS, FRECKLES, FRECKLE_RADIUS = 4, 140, 0.010
MOLE_SETS, MOLES, MOLE_RADIUS = 4, 3, 0.013
FRECKLE_SEED, MOLE_SEED, IRIS_SEED = 100, 200, 5
"""Random seeds of the patterns of freckles, moles and irises, which are the same for all people."""

UPPER_TOOTH_WIDTHS = (0.088, 0.066, 0.076, 0.07, 0.068, 0.1, 0.1)
LOWER_TOOTH_WIDTHS = (0.056, 0.060, 0.068, 0.07, 0.07, 0.1, 0.1)
"""Widths of the teeth from the middle outward."""
TOOTH_ARCH_RADIUS = 0.42


@dataclass(frozen=True)
class SkinNoise:
    """Random unevenness of the skin: fields with a number of size about 1 at each vertex, (V,) each."""

    low: list[np.ndarray]
    """Fields that vary slowly over the head, for blotches."""
    mid: list[np.ndarray]
    """Fields that vary over a few centimetres, for mottled skin."""
    high: list[np.ndarray]
    """Fields that vary over millimetres, for the grain of the skin."""
    lines: np.ndarray
    """Field by which the lines of the forehead are bent."""


def draw_noise(view: HeadView, rng: np.random.Generator) -> SkinNoise:
    """Draw the fields of skin unevenness as sums of random waves in space."""

    def waves(frequency: float, count: int) -> np.ndarray:
        directions = rng.normal(0, frequency, (count, 3))
        phases = rng.uniform(0, 2 * np.pi, count)
        return np.cos(view.points @ directions.T + phases).sum(axis=1) / np.sqrt(count / 2)

    low = [view.smooth(waves(4.0, 12)) for _ in range(5)]
    mid = [waves(14.0, 24) for _ in range(4)]
    high = [0.7 * waves(60.0, 40) + 0.7 * rng.normal(size=len(view.points)) for _ in range(3)]
    return SkinNoise(low, mid, high, lines=waves(9.0, 20))


@dataclass(frozen=True)
class SkinFields:
    """Weight of each feature of the skin at each vertex: arrays of shape (V,), mostly from 0 to 1."""

    cheek: np.ndarray
    nose: np.ndarray
    chin: np.ndarray
    under_eye: np.ndarray
    upper_lid: np.ndarray
    forehead: np.ndarray
    upper_liner: np.ndarray
    """Weight of the line along the upper eyelid."""
    lower_liner: np.ndarray
    """Weight of the line along the lower eyelid."""
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
    freckles: list[np.ndarray]
    """Weights of several sets of freckles."""
    moles: list[np.ndarray]
    """Weights of several sets of moles."""
    beard: np.ndarray
    moustache: np.ndarray
    goatee: np.ndarray
    nostrils: np.ndarray
    """Weight of the visible inside of the nose."""


def skin_fields(view: HeadView, noise: SkinNoise, shade: np.ndarray) -> SkinFields:
    """Compute the fields of blush, shadow, make-up, wrinkles, spots and beard; ``shade`` (V,) is low in hollows."""

    def spot(side: float, height: float, width: float, extent: float) -> np.ndarray:
        return np.exp(-(((view.side - side) / width) ** 2) / 2 - ((view.y - height) / extent) ** 2 / 2)

    def fold(line: list[tuple[float, float]], width: float) -> np.ndarray:
        return np.exp(-((distance_to_line(plane, line) / width) ** 2))

    front = view.front
    plane = np.stack([view.side, view.y], axis=1)
    cheek = spot(0.36, 7.02, 0.13, 0.11) * front
    nose = spot(0.0, 7.0, 0.10, 0.09) * front
    forehead = spot(0.0, 7.8, 0.4, 0.14) * front
    upper = smoothstep(UPPER_LID_HEIGHT, UPPER_LID_HEIGHT + 0.01, view.y)
    lids = np.clip(view.lids, 0, 1)
    crows_feet = sum(fold([(0.455, 7.33 + 0.3 * end), (0.56, 7.33 + end)], 0.010) for end in CROWS_FEET)
    bend = 0.02 * np.cos(6 * view.side) + 0.003 * noise.lines
    forehead_lines = sum(np.exp(-(((view.y - height - bend) / 0.011) ** 2)) for height in FOREHEAD_LINES)
    beard, moustache, goatee = _beards(view)
    return SkinFields(
        cheek=cheek,
        nose=nose,
        chin=spot(0.0, 6.42, 0.13, 0.08) * front,
        under_eye=spot(0.29, 7.235, 0.10, 0.035) * front,
        upper_lid=spot(0.30, 7.40, 0.13, 0.035) * front,
        forehead=forehead,
        upper_liner=smoothstep(0.35, 0.9, lids) * upper,
        lower_liner=smoothstep(0.45, 1.0, lids) * (1 - upper),
        nasolabial=fold(NASOLABIAL_FOLD, 0.022) * front,
        marionette=fold(MARIONETTE_LINE, 0.02) * front,
        crows_feet=crows_feet * smoothstep(0.4, 0.6, view.z) * view.skin,
        forehead_lines=forehead_lines * np.exp(-((view.side / 0.38) ** 4)) * front,
        frown=np.exp(-(((view.side - 0.055) / 0.011) ** 2) - ((view.y - 7.5) / 0.06) ** 2) * front,
        bags=fold(EYE_BAG, 0.016) * front,
        freckles=_freckles(view, cheek, nose, forehead),
        moles=_moles(view),
        beard=beard,
        moustache=moustache,
        goatee=goatee,
        nostrils=_nostrils(view, shade),
    )


def _nostrils(view: HeadView, shade: np.ndarray) -> np.ndarray:
    """Compute the weight (V,) of the nostrils: the openings, and the hollows behind them, which ``shade`` alone would
    leave skin-coloured."""

    def ellipse(centre: tuple[float, float], half_axes: tuple[float, float]) -> np.ndarray:
        side, height = (view.side - centre[0]) / half_axes[0], (view.y - centre[1]) / half_axes[1]
        return np.exp(-((side**2 + height**2) ** 2)) * smoothstep(1.22, 1.30, view.z) * view.skin

    hollows = ellipse(NOSE_CAVITY_CENTRE, NOSE_CAVITY_HALF_AXES) * smoothstep(0.80, 0.45, shade)
    openings = ellipse(NOSTRIL_CENTRE, NOSTRIL_HALF_AXES)
    return np.clip(1.15 * view.smooth(np.maximum(openings, hollows), times=1), 0, 1)


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


def _freckles(view: HeadView, cheek: np.ndarray, nose: np.ndarray, forehead: np.ndarray) -> list[np.ndarray]:
    freckles = []
    for index in range(FRECKLE_SETS):
        rng = np.random.default_rng(FRECKLE_SEED + index)
        places = (cheek + nose + 0.4 * forehead > 0.25) & (rng.random(len(view.points)) < 0.9)
        selected = rng.choice(np.flatnonzero(places), FRECKLES, replace=False)
        strength = np.clip(cheek + nose + 0.5 * forehead, 0.2, 1)
        freckles.append(_dots(view, selected, FRECKLE_RADIUS) * view.front * strength)
    return freckles


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
    """Numbers at each of the E vertices of both eyeballs, (E,) each, from which the eyes are painted."""

    vertices: np.ndarray
    """Index of each eyeball vertex among all vertices of the head."""
    pupil: np.ndarray
    """Weight of the pupil at each vertex, 0 to 1."""
    iris: np.ndarray
    """Weight of the iris (with the pupil) at each vertex, 0 to 1."""
    limbus: np.ndarray
    """Weight of the iris's dark rim at each vertex, 0 to 1."""
    outward: np.ndarray
    """Radial coordinate of each vertex in the iris: 0 at the pupil, 1 at the rim of the iris."""
    streaks: np.ndarray
    """Brightness of the iris's radial streaks at each vertex; positive is brighter."""
    redness: np.ndarray
    """Weight of blood vessels, which redden the white of the eye, at each vertex, 0 to 1."""


def eye_fields(view: HeadView) -> EyeFields:
    """Compute the fields of the eyes from each vertex's angle to the pole of its eyeball, the middle of the pupil; the
    iris ends at 25 degrees."""
    vertices = np.flatnonzero(view.eyes)
    polar_deg = np.degrees(view.topology.eye_polar[vertices])
    azimuth = view.topology.eye_azimuth[vertices]
    rng = np.random.default_rng(IRIS_SEED)
    streaks = np.zeros(len(vertices))
    for frequency in (3, 5, 7, 9, 11, 13, 16):
        streaks += np.cos(frequency * azimuth + rng.uniform(0, 6.28)) * rng.normal(0, 1) / 3
    return EyeFields(
        vertices=vertices,
        pupil=smoothstep(11.2, 9.2, polar_deg),
        iris=smoothstep(26.6, 24.0, polar_deg),
        limbus=np.exp(-(((polar_deg - 25) / 2.6) ** 2)),
        outward=np.clip((polar_deg - 10) / 15, 0, 1),
        streaks=streaks,
        redness=smoothstep(34.0, 75.0, polar_deg),
    )


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
    """Compute the fields of the teeth: gaps by arc length from the middle of the teeth, and gums by height."""
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


# -------------------------------------------------------------------------------------------- light and gloss
def shade(view: HeadView, rays: int, seed: int) -> np.ndarray:
    """Compute a factor (V,) of the colours that darkens hollows, from ambient occlusion and from the depth inside the
    mouth.

    The inside of the mouth is measured with the mouth open; with closed lips it would be black.
    """
    closed = open_sky(view.points, view.normals, view.triangles, rays, np.random.default_rng(seed))
    opened = open_sky(view.points_open, view.normals_open, view.triangles, rays, np.random.default_rng(seed))
    in_mouth = (view.mouth_inside > 0.15) | view.teeth | (view.part == TONGUE)
    sky = np.clip(closed / 0.75, 0, 1) ** 0.8
    sky = np.where(in_mouth, 0.30 + 0.70 * opened, sky)
    sky = np.where(view.part == TONGUE, 0.55 + 0.45 * opened, sky)
    sky = np.where(view.teeth, 0.78 + 0.22 * opened, sky)
    sky = np.where(view.eyes, 0.35 + 0.65 * sky, view.smooth(sky, times=2))
    return sky * _mouth_depth(view)


def _mouth_depth(view: HeadView) -> np.ndarray:
    def fading(start: float, length: float) -> np.ndarray:
        return np.exp(-np.clip(start - view.z, 0, None) / length)

    inside = np.clip(1.5 * view.mouth_inside, 0, 1)
    wall = 1 - inside * (1 - (0.16 + 0.84 * fading(LIPS_FRONT_Z - 0.05, 0.16)))
    depth = np.where(view.mouth_inside > 0.02, wall, 1.0)
    depth = np.where(view.part == TONGUE, 0.25 + 0.75 * fading(LIPS_FRONT_Z - 0.05, 0.30), depth)
    return np.where(view.teeth, 0.35 + 0.65 * fading(LIPS_FRONT_Z, 0.22), depth)


def gloss(view: HeadView, beard: np.ndarray) -> np.ndarray:
    """Compute the strength (V,) of the specular highlight: 1 on the wet eyes, less on teeth and tongue, lips, and
    skin."""
    wet_mouth = view.teeth | (view.part == TONGUE)
    skin = view.skin * (1 - 0.3 * beard) * 0.10
    return np.where(view.eyes, 1.0, np.where(wet_mouth, 0.5, 0.0)) + 0.35 * view.lips + skin
