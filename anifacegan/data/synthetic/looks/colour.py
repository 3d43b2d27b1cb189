"""Palettes, and linear light and its encoding in image files (sRGB)."""

from collections.abc import Sequence
from typing import no_type_check

import numpy as np
from jaxtyping import Float

from anifacegan.runtime.compiled import kernel


def palette_colour(
    palette: Sequence[Sequence[float]] | Float[np.ndarray, "colour 3"], place: float
) -> Float[np.ndarray, "3"]:
    """Interpolate between the colours of a palette; ``place`` is a fractional index, from 0 to the last one."""
    indices = np.arange(len(palette))
    return np.array([np.interp(place, indices, channel) for channel in zip(*palette, strict=True)])


def linear_light(srgb: Float[np.ndarray, "*place 3"]) -> Float[np.ndarray, "*place 3"]:
    """Decode sRGB colours in [0, 1] to linear light."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0) + 0.055) / 1.055) ** 2.4).astype(
        srgb.dtype
    )


@kernel(fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def srgb_encoded(value):
    """Encode one channel of linear light in [0, 1] as sRGB in [0, 1]."""
    if value < np.float32(0.0031308):
        return np.float32(12.92) * value
    return np.float32(1.055) * value ** np.float32(1 / 2.4) - np.float32(0.055)
