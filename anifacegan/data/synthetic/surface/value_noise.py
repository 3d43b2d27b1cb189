"""Smooth random patterns: a function of two coordinates for compiled code, and one of points in space for arrays."""

import math
from typing import no_type_check

import numpy as np
from jaxtyping import Float

from anifacegan.runtime.compiled import kernel


@kernel(fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def value_noise(x, y, seed):
    """Evaluate a smooth random function at a point (x, y) of the plane; it is from -1 to 1 and changes within a length
    of 1.

    Each integer ``seed`` gives another function. Compiled callers write it as np.int64(SEED): numba would compile this
    function again for every plain number.
    """
    x0, y0 = np.floor(x), np.floor(y)
    fx, fy = np.float32(x - x0), np.float32(y - y0)
    fx, fy = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy)
    total = np.float32(0)
    for j in range(2):
        for i in range(2):
            mixed = (int(x0) + i) * 374761393 + (int(y0) + j) * 668265263 + seed * 974711
            mixed = (mixed ^ (mixed >> 13)) * 1274126177
            value = np.float32((mixed ^ (mixed >> 16)) & 65535) / np.float32(32767.5) - np.float32(1)
            total += value * (fx if i else 1 - fx) * (fy if j else 1 - fy)
    return total


def random_waves(
    points: Float[np.ndarray, "point 3"], frequency: float, rng: np.random.Generator, count: int = 16
) -> Float[np.ndarray, " point"]:
    """Draw a smooth random function of space and evaluate it at points, float32.

    It is a sum of ``count`` plane waves, with mean 0 and standard deviation about 1. ``frequency`` is the standard
    deviation of each component of the wave vectors, in radians for each unit of length of the points.
    """
    vectors = rng.normal(0, frequency, (count, 3))
    phases = rng.uniform(0, 2 * math.pi, count)
    return (np.cos(points @ vectors.T + phases).sum(axis=1) / math.sqrt(count / 2)).astype(np.float32)
