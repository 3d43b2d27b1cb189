"""From linear light to an image: average over samples, exposure, compression of bright light, contrast, and sRGB."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float, UInt8

from anifacegan.data.rasterized_mesh import RasterizedMesh
from anifacegan.data.synthetic.looks.colour import srgb_encoded
from anifacegan.data.synthetic.strands.drawing import StrandImage
from anifacegan.runtime.compiled import kernel

MIDDLE_GREY = 0.20
"""Linear light that the skin of a face has after exposure, if its reflectance is ``MEAN_SKIN``."""
ADAPTATION = 0.25
"""Share of the face's own reflectance in the reflectance that determines the exposure, 0 to 1. The rest is
``MEAN_SKIN``, so dark skin stays darker than light skin in the image."""
MEAN_SKIN = 0.33
"""Linear reflectance of average skin."""
LUMINANCE = (np.float32(0.2126), np.float32(0.7152), np.float32(0.0722))
"""Share of red, green and blue in the luminance of linear sRGB."""
HUE_KEPT = np.float32(0.6)
"""Bright colours are compressed in two ways, and the results are mixed. This is the share of compression by luminance,
which keeps the hue. The rest compresses each channel by itself, and bright light turns white."""
BRIGHTEST = np.float32(2.5)
"""Limit of the exposed light of a sample, so that single samples of highlights do not outshine their pixels."""
CONTRAST = np.float32(0.6)
"""Strength of the contrast curve, which is applied to sRGB values."""


def exposure_of(irradiance: float, reflectance: float, factor: float) -> float:
    """Compute the exposure of an image, the factor by which linear light is multiplied, from its face.

    Args:
        irradiance: mean light on the neutral face: the linear colour that a white surface would have there.
        reflectance: mean linear colour of the face without light.
        factor: factor by which the result differs from the automatic exposure.
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
    """Make the image of a face: blend hair over surfaces over background, average the samples of a pixel, and encode.

    Args:
        picture: linear colours of the surface at each sample of the supersampled image.
        rasterized: which samples show a surface.
        strands: hair over the samples.
        background: linear colour of the background at each pixel, already exposed.
        exposure: factor on the linear light of hair and surfaces.
    """
    size = len(background)
    out = np.empty((size, size, 3), np.uint8)
    _develop(
        picture, rasterized.triangle, strands.through, strands.total, background, np.float32(exposure), out
    )
    return out


@kernel(inline="always", fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _shoulder(light):
    """Compress linear light smoothly to at most 1."""
    return np.float32(1) - np.exp(-light * (np.float32(1) + np.float32(0.25) * light))


@kernel(fastmath=True)
@no_type_check
def _develop(picture, triangle_map, through, total, background, exposure, out):
    size = len(out)
    factor = len(picture) // size
    one, zero = np.float32(1), np.float32(0)
    share = one / np.float32(factor * factor)
    for row in range(size):
        for column in range(size):
            red = green = blue = behind = zero
            for i in range(factor):
                for j in range(factor):
                    r, c = row * factor + i, column * factor + j
                    t = through[r, c]
                    if t < one:
                        red += min(exposure * total[r, c, 0], BRIGHTEST)
                        green += min(exposure * total[r, c, 1], BRIGHTEST)
                        blue += min(exposure * total[r, c, 2], BRIGHTEST)
                    if triangle_map[r, c] < 0:
                        behind += t
                    else:
                        red += t * min(exposure * picture[r, c, 0], BRIGHTEST)
                        green += t * min(exposure * picture[r, c, 1], BRIGHTEST)
                        blue += t * min(exposure * picture[r, c, 2], BRIGHTEST)
            red = max((red + behind * background[row, column, 0]) * share, zero)
            green = max((green + behind * background[row, column, 1]) * share, zero)
            blue = max((blue + behind * background[row, column, 2]) * share, zero)
            grey = max(LUMINANCE[0] * red + LUMINANCE[1] * green + LUMINANCE[2] * blue, np.float32(1e-6))
            gain = _shoulder(grey) / grey
            for k in range(3):
                x = red if k == 0 else (green if k == 1 else blue)
                y = HUE_KEPT * x * gain + (one - HUE_KEPT) * _shoulder(x)
                y = srgb_encoded(min(y, one))
                y += CONTRAST * (y - np.float32(0.45)) * y * (one - y)
                out[row, column, k] = np.uint8(min(max(y, zero), one) * np.float32(255) + np.float32(0.5))
