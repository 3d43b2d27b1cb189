"""From linear light to an image: exposure, a soft shoulder, contrast, sRGB, and the average over samples."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float, UInt8

from anifacegan.data.rasterized_mesh import RasterizedMesh
from anifacegan.data.synthetic.looks.colour import srgb_encoded
from anifacegan.data.synthetic.strands.drawing import StrandImage
from anifacegan.runtime.compiled import kernel

MIDDLE_GREY = 0.20
"""Linear light at which an exposed face lies."""
ADAPTATION = 0.25
"""How much the exposure follows the face's own colour, 0 to 1; the rest follows its light only."""
MEAN_SKIN = 0.33
"""Linear reflectance of skin for which the exposure of a face is the same whatever the adaptation."""
LUMINANCE = (np.float32(0.2126), np.float32(0.7152), np.float32(0.0722))
"""Share of red, green and blue in the luminance of linear sRGB."""
HUE_KEPT = np.float32(0.6)
"""Share of a colour whose luminance alone is compressed, which keeps its hue; the channels of the rest are compressed
each for itself, which lets bright light turn white."""
BRIGHTEST = np.float32(2.5)
"""Largest exposed light of a sample, so that single samples of highlights do not outshine their pixels."""
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
