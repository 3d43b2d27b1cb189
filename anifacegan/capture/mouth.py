"""Colours of teeth, gums, tongue and the inside of the mouth that a photograph does not show.

A part's own colour is shaded: light falls in through the open lips, so a point has as much of it as it sees of the
opening, and surfaces that face it are brighter. Teeth have gums, gaps and rounded crowns.
"""

import numpy as np
from jaxtyping import Float

from anifacegan.capture.head_surface import HeadSurface
from anifacegan.face_model.parts import (
    LOWER_TEETH,
    LOWER_TOOTH_WIDTHS,
    SKIN,
    TONGUE,
    TOOTH_ARCH_RADIUS,
    UPPER_TEETH,
    UPPER_TOOTH_WIDTHS,
)
from anifacegan.geometry.conventions import EXP_DIM, WORLD_PER_MODEL_UNIT
from anifacegan.geometry.normals import vertex_normals_numpy
from anifacegan.geometry.rasterization.texels import TexelOwners
from anifacegan.geometry.resampling import smoothstep

MOUTH_RGB = {
    UPPER_TEETH: (0.93, 0.88, 0.80),
    LOWER_TEETH: (0.86, 0.81, 0.73),
    TONGUE: (0.80, 0.45, 0.43),
    SKIN: (0.62, 0.31, 0.29),
}
"""sRGB colours of the mouth's parts in full light; the skin is that inside the cheeks."""
GUM_RGB = (0.76, 0.44, 0.42)
OPENING_RADIUS, OPENING_AHEAD = 0.024, 0.004
"""Mean radius of the open lips, through which light falls in, and how far before the front teeth they are, world
units."""
OPENING_HALVES = (0.013, 0.012)
"""Half the width and half the height of the opening, world units."""
ENCODED = 0.7
"""Power of the light with which encoded colours fall off: a half for what is lit once, more deep inside."""
LEAST_LIGHT = 0.05
"""Share of the light that is everywhere in the mouth; encoded like colours, not linear."""
FLAT_LIGHT, LIGHT_FROM = 0.6, (0.0, 0.35, 0.94)
"""Share of the light that surfaces have however they are turned, and where the rest comes from: in front and above."""
GAP_DARKNESS, GAP_RAD = 0.28, 0.012
"""How dark the gaps between teeth are, and half their width, as an angle about the middle of the dental arch."""
MOLARS = (1.1, 0.7)
"""Angles about the middle of the dental arch at which gaps between teeth are not, and fully, drawn."""
MOLAR_SHADOW = 0.5
"""How much darker the last teeth are in the shadow of the cheeks."""
CORNERS, CORNER_SHADOW = (0.30, 0.46), 0.5
"""Angles about the middle of the dental arch between which the shadow of the mouth's corners falls, and how much darker
it makes teeth. Closed lips leave a small gap there, in which unshaded teeth were white specks."""
ROUNDNESS = 0.09
"""How much darker a tooth is beside its gaps than in its middle."""
CROWN, SCALLOP = 0.0098, 0.0016
"""Height of a front tooth from its edge to the gums, and how much lower the gums come between teeth, world units."""
BITE_SHADOW, BITE_REACH = 0.18, 0.0025
"""How much darker teeth are at the gums, in the shadow of the lips, and how far that reaches, world units."""
TINT = 0.8
"""Share (as a power) of the light's tint that teeth show: eyes see them as white in most light."""


def mouth_colours(
    surface: HeadSurface,
    owners: TexelOwners,
    opened: Float[np.ndarray, "vertex 3"],
    gain: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "texel 3"]:
    """Return the shaded colours of the texels of the layer behind the skin; those of eyes mean nothing.

    ``opened`` are the vertices with an open mouth, ``gain`` is the colour of the light.
    """
    neutral = surface.vertices(np.zeros(EXP_DIM, np.float32))
    light = _light(opened, vertex_normals_numpy(opened, surface.triangles), surface.part)
    lit, places = (owners.interpolated(values) for values in (light[:, None], neutral))
    part = surface.part[owners.corners[:, 0]]
    colours = np.zeros((len(part), 3), np.float32)
    brightness = float(gain.mean())
    white = brightness * (gain / brightness) ** TINT
    for label, rgb in MOUTH_RGB.items():
        here = part == label
        if label in (UPPER_TEETH, LOWER_TEETH):
            colours[here] = _teeth(places[here], label, np.float32(rgb) * white, np.float32(GUM_RGB) * gain)
        else:
            colours[here] = np.float32(rgb) * gain
    return colours * lit


def _light(
    opened: Float[np.ndarray, "vertex 3"], normals: Float[np.ndarray, "vertex 3"], part: np.ndarray
) -> Float[np.ndarray, "vertex"]:
    """Return how bright vertices in the mouth are, 0 to 1: what part of what they see is the opening of the lips."""
    teeth = [opened[part == label] for label in (UPPER_TEETH, LOWER_TEETH)]
    if not all(map(len, teeth)):
        return np.ones(len(opened))
    middle = np.mean([points[points[:, 2].argmax()] for points in teeth], axis=0)
    middle[0] = 0.0
    way = middle + [0.0, 0.0, OPENING_AHEAD] - opened
    aside = (np.abs(way[:, :2]) - OPENING_HALVES).clip(0)
    apart = np.square(aside).sum(axis=1) + np.square(way[:, 2])
    seen = OPENING_RADIUS**2 / (OPENING_RADIUS**2 + apart)
    turned = FLAT_LIGHT + (1 - FLAT_LIGHT) * (normals @ LIGHT_FROM).clip(0, 1)
    encoded = seen**ENCODED
    return (LEAST_LIGHT + (1 - LEAST_LIGHT) * encoded) * turned


def _teeth(
    places: Float[np.ndarray, "texel 3"],
    label: int,
    enamel: Float[np.ndarray, "3"],
    gum: Float[np.ndarray, "3"],
) -> Float[np.ndarray, "texel 3"]:
    """Return the unshaded colours of texels of one row of teeth at places in the neutral face."""
    if not len(places):
        return np.zeros((0, 3), np.float32)
    widths = UPPER_TOOTH_WIDTHS if label == UPPER_TEETH else LOWER_TOOTH_WIDTHS
    x, y, z = places.T
    middle = z.max() - WORLD_PER_MODEL_UNIT * TOOTH_ARCH_RADIUS
    gaps = np.concatenate([[0.0], np.cumsum(widths)]) / TOOTH_ARCH_RADIUS
    at = np.arctan2(np.abs(x), z - middle).clip(0, gaps[-1] - 1e-6)
    tooth = np.searchsorted(gaps, at, side="right") - 1
    left, right = gaps[tooth], gaps[np.minimum(tooth + 1, len(gaps) - 1)]
    across = (at - left) / np.maximum(right - left, 1e-6)
    apart = np.minimum(at - left, right - at)
    edge = np.square(2 * across - 1)  # 0 in a tooth's middle, 1 at its gaps
    gap = GAP_DARKNESS * smoothstep(*MOLARS, at)
    shade = (1 - ROUNDNESS * edge) * (1 - gap * np.exp(-np.square(apart / GAP_RAD)))
    shade = shade * (1 - MOLAR_SHADOW * smoothstep(*reversed(MOLARS), at))
    shade = shade * (1 - CORNER_SHADOW * smoothstep(*CORNERS, at))
    from_edge = y - y.min() if label == UPPER_TEETH else y.max() - y
    to_gums = CROWN - SCALLOP * edge**2 - from_edge
    shade = shade * (1 - BITE_SHADOW * np.exp(-to_gums.clip(0) / BITE_REACH))
    is_gum = smoothstep(0.0003, -0.0003, to_gums)[:, None]
    return (enamel * shade[:, None] * (1 - is_gum) + gum * is_gum).astype(np.float32)
