"""Short strands that need no walk: stubble, brows and beards, which bend a little on their way."""

from typing import no_type_check

import numpy as np

from anifacegan.runtime.compiled import kernel

ABOVE_SKIN = np.float32(0.002)
"""Height of the roots above the skin, model units."""


@kernel(fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def bristles(roots, normals, directions, lengths, rise, bend, steps):
    """Grow short strands, (N, steps, 3).

    Args:
        roots, normals: (N, 3) places and unit normals of the skin, model units.
        directions: (N, 3) unit directions along the skin.
        lengths: (N,) lengths, model units.
        rise: (N,) slope at the root against the skin; it falls to a quarter at the tip.
        bend: (N, 3) change of the direction from root to tip.
        steps: number of points of each strand.
    """
    points = np.empty((len(roots), steps, 3), np.float32)
    for s in range(len(roots)):
        for k in range(steps):
            f = np.float32(k) / np.float32(steps - 1)
            up = rise[s] * (np.float32(1) - np.float32(0.75) * f)
            reach = lengths[s] * f
            for axis in range(3):
                slope = directions[s, axis] + up * normals[s, axis] + f * bend[s, axis]
                points[s, k, axis] = roots[s, axis] + ABOVE_SKIN * normals[s, axis] + reach * slope
    return points
