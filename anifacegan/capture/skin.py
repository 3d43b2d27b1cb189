"""Colours of the skin layer: the photograph where it is seen, else the other half of the face, else what is near."""

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from anifacegan.capture.filling import blurred, extended
from anifacegan.capture.painting import SeenTexels
from anifacegan.geometry.resampling import smoothstep

GRAZING, TRUSTED = 0.08, 0.35
"""Cosines between skin and viewing direction at which the photograph begins to count, and counts fully."""
MIRROR_TRUST = (0.2, 0.5)
"""The same for the other half of the face, whose mirror image stands in."""
LOW_PASS = 24.0
"""Width, texels, of the averages whose ratio adapts the mirrored half to the light of this half."""
LEAST_SHARE = 0.9
"""Opacity of the person below which a pixel is no source of colours."""


def skin_texture(
    texels: SeenTexels, person: Float[np.ndarray, "size size 3"], share: Float[np.ndarray, "size size"]
) -> Float[np.ndarray, "height width 4"]:
    """Paint the skin; returns colours and opacity, not premultiplied.

    ``person`` and ``share`` are the person's colours and opacity in the photograph's view.
    """
    colour = texels.read(person)
    opacity = texels.read(share[..., None])[..., 0]
    seen = texels.seen > 0
    direct = seen * smoothstep(GRAZING, TRUSTED, texels.facing)
    source = direct * (opacity > LEAST_SHARE)
    source = source * ndimage.binary_erosion(source > 0.5, iterations=2)
    known = extended(colour, source > 0.5)
    mirrored, trust = _mirrored(colour, known, source * smoothstep(*MIRROR_TRUST, texels.facing))
    guess = known * (1 - trust[..., None]) + mirrored * trust[..., None]
    weight = (seen * smoothstep(0.0, GRAZING, texels.facing))[..., None]
    weight = np.maximum(weight * 0.999, direct[..., None])
    rgb = colour * weight + guess * (1 - weight)
    return np.concatenate([rgb.clip(0, 1), np.where(seen, opacity, 1.0)[..., None]], axis=-1)


def _mirrored(
    colour: np.ndarray, known: np.ndarray, source: np.ndarray
) -> tuple[Float[np.ndarray, "height width 3"], Float[np.ndarray, "height width"]]:
    """Return the mirror image of the seen half, with the light of this half, and how far it is to be believed."""
    detail = extended(colour, source > 0.5)
    low, here = blurred(detail, LOW_PASS), blurred(known, LOW_PASS)
    gain = (here / np.maximum(low[:, ::-1], 0.02)).clip(0.5, 2.0)
    trust = ndimage.gaussian_filter(source[:, ::-1], 3.0)
    return detail[:, ::-1] * gain, smoothstep(0.4, 0.95, trust)
