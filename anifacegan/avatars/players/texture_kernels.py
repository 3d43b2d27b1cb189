"""Compiled functions that read textures between texels, for the player in numba."""

from typing import no_type_check

import numpy as np

from anifacegan.runtime.compiled import kernel


@kernel(nogil=True, fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def bilinear_weights(u, v, width, height):
    """Return the lower column and row of the four texels around (u, v), and the four weights; outside of the texture
    its edge is repeated."""
    one = np.float32(1)
    u = min(max(u, np.float32(0)), np.float32(width - 1))
    v = min(max(v, np.float32(0)), np.float32(height - 1))
    i, j = min(np.uint32(u), np.uint32(width - 2)), min(np.uint32(v), np.uint32(height - 2))
    u, v = u - np.float32(i), v - np.float32(j)
    return i, j, ((one - u) * (one - v), u * (one - v), (one - u) * v, u * v)


@kernel(nogil=True, fastmath=True, inline="always")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def interpolate(texture, i, j, weights, channel):
    """Return the weighted sum of four texels in one channel, divided by 255."""
    w00, w01, w10, w11 = weights
    return np.float32(1 / 255) * (
        w00 * np.float32(texture[j, i, channel]) + w01 * np.float32(texture[j, i + 1, channel])
        + w10 * np.float32(texture[j + 1, i, channel]) + w11 * np.float32(texture[j + 1, i + 1, channel])
    )  # fmt: skip
