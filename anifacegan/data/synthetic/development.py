"""From linear light to an image: exposure, a soft shoulder, contrast, sRGB, and the average over samples."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float, UInt8

from anifacegan.data.rasterized_mesh import RasterizedMesh
from anifacegan.data.synthetic.colour import srgb_encoded
from anifacegan.data.synthetic.strands.drawing import StrandImage
from anifacegan.runtime.compiled import kernel

MIDDLE_GREY = 0.20
"""Linear light at which an exposed face lies."""
ADAPTATION = 0.55
"""How much the exposure follows the face's own colour, 0 to 1; the rest follows its light only."""
MEAN_SKIN = 0.33
"""Linear reflectance of skin for which the exposure of a face is the same whatever the adaptation."""
CONTRAST = np.float32(0.6)
"""Strength of the contrast curve, applied to encoded values."""


def exposure_of(irradiance: float, reflectance: float, factor: float) -> float:
    """Compute the factor on linear light that exposes a face.

    Args:
        irradiance: mean light on the neutral face, as the colour of a white surface.
        reflectance: mean linear colour of the face without light.
        factor: change of the automatic exposure.
    """
    seen = irradiance * (ADAPTATION * reflectance + (1 - ADAPTATION) * MEAN_SKIN)
    return factor * MIDDLE_GREY / max(seen, 1e-4)


def develop(
    picture: Float[np.ndarray, "samples samples 3"],
    rasterized: RasterizedMesh,
    strands: StrandImage,
    background: Float[np.ndarray, "size size 3"],
    exposure: float,
) -> UInt8[np.ndarray, "size size 3"]:
    """Blend strands over surfaces over the background, expose, and average the samples of each pixel.

    Args:
        picture: linear colours of the surfaces.
        rasterized: says which samples show a surface.
        strands: hair over the samples.
        background: linear colours behind everything, already exposed.
        exposure: factor on linear light.
    """
    size = len(background)
    out = np.empty((size, size, 3), np.uint8)
    _develop(
        picture, rasterized.triangle, strands.through, strands.weight, strands.total, background, np.float32(exposure), out
    )
    return out


@kernel(fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _develop(picture, triangle_map, through, weight, total, background, exposure, out):
    size = len(out)
    factor = len(picture) // size
    one = np.float32(1)
    share = one / np.float32(factor * factor)
    for row in range(size):
        for column in range(size):
            for k in range(3):
                mean = np.float32(0)
                for i in range(factor):
                    for j in range(factor):
                        r, c = row * factor + i, column * factor + j
                        x = background[row, column, k] if triangle_map[r, c] < 0 else picture[r, c, k] * exposure
                        t = through[r, c]
                        if t < one:
                            x = x * t + (one - t) * exposure * total[r, c, k] / max(weight[r, c], np.float32(1e-12))
                        x = max(x, np.float32(0))
                        # a soft shoulder, per sample so that bright edges stay smooth
                        mean += one - np.exp(-x * (one + np.float32(0.25) * x))
                y = srgb_encoded(min(mean * share, one))
                y += CONTRAST * (y - np.float32(0.45)) * y * (one - y)
                out[row, column, k] = np.uint8(min(max(y, np.float32(0)), one) * np.float32(255) + np.float32(0.5))
