"""Colours of what lies behind the skin: eyeballs, teeth, tongue and the inside of the mouth.

Where the photograph shows them they have its colours. Elsewhere eyeballs go on as they begin, and the parts of the
mouth have plain colours of their own, as bright as the photograph's skin and darker the deeper inside.
"""

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from anifacegan.capture.filling import filled
from anifacegan.capture.head_surface import HeadSurface
from anifacegan.capture.painting import SeenTexels, TexelOwners
from anifacegan.face_model.parts import EYE_LABELS, LOWER_TEETH, SKIN, TONGUE, UPPER_TEETH
from anifacegan.geometry.conventions import EXP_DIM

MOUTH_RGB = {
    UPPER_TEETH: (0.86, 0.83, 0.78),
    LOWER_TEETH: (0.80, 0.77, 0.72),
    TONGUE: (0.66, 0.36, 0.34),
    SKIN: (0.50, 0.24, 0.22),
}
"""sRGB colours of the mouth's parts in full light; the skin is that inside the cheeks."""
DEPTH_OF_HALF_LIGHT, LEAST_LIGHT = 0.02, 0.12
"""Distance behind the front teeth at which half of the light is left, world units; and what is left deep inside."""
AVERAGE_SKIN = 0.55
"""Brightness of a photograph's skin that stands for full light, sRGB."""
SCLERA = (0.80, 0.77, 0.75)
GRAZING = 0.25


def behind_skin_texture(
    surface: HeadSurface,
    owners: TexelOwners,
    texels: SeenTexels,
    person: Float[np.ndarray, "size size 3"],
    brightness: float,
) -> Float[np.ndarray, "height width 4"]:
    """Paint the layer behind the skin; returns colours and opacity, not premultiplied.

    ``person`` is the photograph's view; ``brightness`` is that of the photograph's skin.
    """
    neutral = surface.vertices(np.zeros(EXP_DIM, np.float32))
    size = len(texels.seen)
    gain = float(np.clip(brightness / AVERAGE_SKIN, 0.35, 1.25))
    own = np.zeros((size * size, 3), np.float32)
    own[owners.flat] = (
        owners.shares[..., None] * _vertex_colours(surface, neutral, gain)[owners.corners]
    ).sum(1)
    own = own.reshape(size, size, 3)
    part = np.full(size * size, -1)
    part[owners.flat] = surface.part[owners.corners[:, 0]]
    part = part.reshape(size, size)
    colour = texels.read(person)
    seen = ndimage.binary_erosion((texels.seen > 0) & (texels.facing > GRAZING), iterations=2)
    rgb = own.copy()
    for label in (*EYE_LABELS, UPPER_TEETH, LOWER_TEETH, TONGUE, SKIN):
        here = part == label
        known = here & seen
        if not known.any():
            continue
        painted = filled(colour, known.astype(np.float32))
        near = np.exp(-ndimage.distance_transform_edt(~known) / _reach(label, size))
        rgb = np.where(here[..., None], own + (painted - own) * near[..., None], rgb)
    return np.concatenate([filled(rgb, texels.owned).clip(0, 1), np.ones((size, size, 1))], axis=-1)


def _reach(label: int, size: int) -> float:
    """Return how far, in texels, the photograph's colours go on beyond what it shows."""
    return size / 12 if label in EYE_LABELS else size / 50


def _vertex_colours(
    surface: HeadSurface, neutral: Float[np.ndarray, "vertex 3"], gain: float
) -> Float[np.ndarray, "vertex 3"]:
    colours = np.tile(np.float32(SCLERA), (len(neutral), 1)) * gain
    teeth = neutral[surface.part == UPPER_TEETH]
    front = teeth[:, 2].max() if len(teeth) else 0.0
    light = LEAST_LIGHT + (1 - LEAST_LIGHT) * 0.5 ** ((front - neutral[:, 2]).clip(0) / DEPTH_OF_HALF_LIGHT)
    for label, rgb in MOUTH_RGB.items():
        here = surface.part == label
        colours[here] = np.float32(rgb) * gain * light[here, None]
    return colours.astype(np.float32)
