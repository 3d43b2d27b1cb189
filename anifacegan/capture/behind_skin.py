"""Colours of what lies behind the skin: eyeballs, teeth, tongue and the inside of the mouth.

Where the photograph shows them they have its colours. Elsewhere eyeballs go on as they begin, and the parts of the
mouth have colours of their own (:mod:`.mouth`).
"""

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from anifacegan.capture.filling import push_pull_filled
from anifacegan.capture.head_surface import EYE_REACH, RECTANGLE_MARGIN, RECTANGLES, HeadSurface
from anifacegan.capture.mouth import mouth_colours
from anifacegan.capture.painting import SeenTexels
from anifacegan.face_model.parts import EYE_LABELS, LOWER_TEETH, SKIN, TONGUE, UPPER_TEETH
from anifacegan.geometry.rasterization.texels import TexelOwners
from anifacegan.geometry.resampling import smoothstep

AVERAGE_SKIN = (0.68, 0.53, 0.44)
"""sRGB colour of a photograph's skin that stands for full white light."""
TINT_SHARE = 0.5
"""Share (as a power) of the skin's tint that is taken for the light's; the rest is taken for the person's own."""
SCLERA, IRIS, PUPIL = (0.80, 0.77, 0.75), (0.30, 0.20, 0.14), (0.06, 0.05, 0.05)
IRIS_RAD, PUPIL_RAD = 0.45, 0.17
"""Angles from the middle of the pupil to the edges of iris and pupil, seen from the eye's centre."""
LEAST_IRIS = 0.35
"""Share of an iris that the photograph must show, so that an eye is painted with it."""
LARGEST_AGREEMENT = (0.4, 1.6)
"""Bounds of the factors that make a part's own colours agree with those that the photograph shows of it."""
GUM_REDNESS = 1.35
"""Ratio of red to green from which a colour of a row of teeth is that of its gums."""
GRAZING = 0.25
MOUTH_RIM = 150
"""Size of the texture in widths of the rim of what the photograph shows of the mouth, which is not used."""
LEAST_SHOWN = 0.04
"""Share of a part of the mouth that the photograph must show, so that the rest agrees with it: through lips that are
all but closed it shows their shadow."""


def behind_skin_texture(
    surface: HeadSurface,
    owners: TexelOwners,
    texels: SeenTexels,
    person: Float[np.ndarray, "size size 3"],
    skin_rgb: Float[np.ndarray, "3"],
    opened: Float[np.ndarray, "vertex 3"],
) -> Float[np.ndarray, "height width 4"]:
    """Paint the layer behind the skin; returns colours and opacity, not premultiplied.

    ``person`` is the photograph's view; ``skin_rgb`` is the median colour of the photograph's skin; ``opened`` are the
    vertices with an open mouth.
    """
    size = len(texels.seen)
    gain = light_colour(skin_rgb)
    own = np.tile(np.float32(SCLERA) * gain, (size * size, 1))
    own[owners.flat] = mouth_colours(surface, owners, opened, gain)
    own = own.reshape(size, size, 3)
    part = np.full(size * size, -1)
    part[owners.flat] = surface.part[owners.corners[:, 0]]
    part = part.reshape(size, size)
    colour = texels.read(person)
    shown = (texels.seen > 0) & (texels.facing > GRAZING)
    rgb = own.copy()
    for label in EYE_LABELS:
        place = _rectangle(label, size)
        rgb[place] = _plain_eye(len(rgb[place]), gain)
    for label in (*EYE_LABELS, UPPER_TEETH, LOWER_TEETH, TONGUE, SKIN):
        here = part == label
        known = _inner(here & shown, label, size)
        least = 0 if label in EYE_LABELS else LEAST_SHOWN * np.count_nonzero(here)
        if not known.any() or np.count_nonzero(known) < least:
            continue
        painted = push_pull_filled(colour, known.astype(np.float32))
        if label in EYE_LABELS and _iris_share(known, label) < LEAST_IRIS:
            continue
        near = np.exp(-ndimage.distance_transform_edt(~known) / _reach(label, size))
        beyond = own if label in EYE_LABELS else own * _agreement(colour[known], own[known])
        rgb = np.where(here[..., None], beyond + (painted - beyond) * near[..., None], rgb)
    _complete_eyes(rgb, shown)
    return np.concatenate([push_pull_filled(rgb, texels.owned).clip(0, 1), np.ones((size, size, 1))], axis=-1)


def light_colour(skin_rgb: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """Estimate the colour of a photograph's light from its skin's; 1 is white light in which average skin is average.

    Brightness follows the skin's. Its tint does so in part, because people's skin differs more than light does.
    """
    ratio = np.asarray(skin_rgb, np.float32) / np.float32(AVERAGE_SKIN)
    brightness = float(np.clip(np.mean(skin_rgb) / np.mean(AVERAGE_SKIN), 0.35, 1.25))
    tint = (ratio / ratio.mean()).clip(0.6, 1.5) ** TINT_SHARE
    return (brightness * tint / tint.mean()).astype(np.float32)


def _rectangle(label: int, size: int) -> tuple[slice, slice]:
    """Return the rows and columns of an eye's rectangle in the texture."""
    left, top, right, bottom = (round(edge * size) for edge in RECTANGLES[label])
    return slice(top, bottom), slice(left, right)


def _polar(side: int) -> Float[np.ndarray, "side side"]:
    """Return the angle from the pupil of each texel of an eye's square rectangle, radians."""
    _, top, _, bottom = RECTANGLES[EYE_LABELS[0]]
    line = np.linspace(-0.5, 0.5, side) / (1 - 2 * RECTANGLE_MARGIN / (bottom - top))
    return 2 * EYE_REACH * np.hypot(*np.meshgrid(line, line))


def _iris_share(known: np.ndarray, label: int) -> float:
    """Return the share of the iris that is known."""
    part = known[_rectangle(label, len(known))]
    return float(part[_polar(len(part)) < IRIS_RAD].mean())


def _plain_eye(side: int, gain: Float[np.ndarray, "3"]) -> Float[np.ndarray, "side side 3"]:
    """Draw an eye that the photograph does not show: a brown iris."""
    polar = _polar(side)[..., None]
    iris, pupil = (smoothstep(edge + 0.04, edge - 0.04, polar) for edge in (IRIS_RAD, PUPIL_RAD))
    white = np.float32(SCLERA) * gain
    colour = white + (np.float32(IRIS) - white) * iris
    return (colour + (np.float32(PUPIL) - colour) * pupil).astype(np.float32)


def _complete_eyes(rgb: Float[np.ndarray, "height width 3"], seen: np.ndarray) -> None:
    """Give an eye whose iris the photograph does not show the mirror image of the other eye, in place."""
    shares = [_iris_share(seen, label) for label in EYE_LABELS]
    for eye, other in ((0, 1), (1, 0)):
        if shares[eye] < LEAST_IRIS <= shares[other]:
            source = rgb[_rectangle(EYE_LABELS[other], len(rgb))]
            rgb[_rectangle(EYE_LABELS[eye], len(rgb))] = source[:, ::-1]


def _agreement(
    shown: Float[np.ndarray, "texel 3"], own: Float[np.ndarray, "texel 3"]
) -> Float[np.ndarray, "3"]:
    """Return the factors with which a part's own colours agree with those that the photograph shows of it."""
    enamel = own[:, 0] < GUM_REDNESS * own[:, 1]
    if enamel.any() and not enamel.all():  # gums are elsewhere in every mouth: they say nothing about teeth
        shown, own = shown[enamel], own[enamel]
    ratio = np.median(shown, axis=0) / np.maximum(np.median(own, axis=0), 1e-3)
    return ratio.clip(*LARGEST_AGREEMENT).astype(np.float32)


def _inner(shown: np.ndarray, label: int, size: int) -> np.ndarray:
    """Return the shown texels without their rim; it is wider in the mouth, where the fit's errors put lips on teeth."""
    return ndimage.distance_transform_edt(shown) > (2 if label in EYE_LABELS else size / MOUTH_RIM)


def _reach(label: int, size: int) -> float:
    """Return how far, in texels, the photograph's colours go on beyond what it shows."""
    return size / 12 if label in EYE_LABELS else size / 50
