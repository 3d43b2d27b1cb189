"""Short strands that bend only a little from root to tip: stubble, brows and beards."""

from typing import no_type_check

import numpy as np

from anifacegan.runtime.compiled import kernel

ABOVE_SKIN = np.float32(0.002)
"""Height of the roots above the skin, model units."""


@kernel(fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def bristles(roots, normals, directions, lengths, rise, bend, steps):
    """Compute the points of N short strands from root to tip, (N, steps, 3), model units.

    Args:
        roots: (N, 3) points of the skin, model units.
        normals: (N, 3) unit normals of the skin there.
        directions: (N, 3) unit directions of the strands along the skin.
        lengths: (N,) lengths, model units.
        rise: (N,) tangent of the angle between strand and skin at the root; it falls to a quarter at the tip.
        bend: (N, 3) vector added to the direction at the tip; before, it grows linearly from 0 at the root.
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
