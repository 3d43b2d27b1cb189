"""Compiled loops of the alignment field, with the formulas of :mod:`anifacegan.models.alignment`; in a
separate module because importing numba takes a second.
"""

from typing import no_type_check

import numpy as np

from anifacegan.models.numba_plane_kernels import between
from anifacegan.runtime.compiled import kernel

_ONE = np.float32(1)


@kernel(nogil=True, fastmath={"contract"}, error_model="numpy")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def write_alignment(points, lower, per_unit, counts, node, remainder, shift, inverse, rounds, out):
    """Write the offsets from points of a person's template to the mean head to ``out``, world units.

    Contiguous float32: points (N, 3); lower (3,), the first lattice point, and per_unit (1,), the lattice points per
    world unit; remainder (node + 1, 3); shift (3,); inverse (3, 3), for points in rows; out (N, 3). counts (3,) int64
    are the lattice points along each axis, node (X * Y * Z,) int64 their indices among the rows of ``remainder``.
    """
    for n in range(points.shape[0]):
        r0 = r1 = r2 = np.float32(0)
        for k in range(rounds + 1):
            a, b, c = points[n, 0] + shift[0] + r0, points[n, 1] + shift[1] + r1, points[n, 2] + shift[2] + r2
            x = a * inverse[0, 0] + b * inverse[1, 0] + c * inverse[2, 0]
            y = a * inverse[0, 1] + b * inverse[1, 1] + c * inverse[2, 1]
            z = a * inverse[0, 2] + b * inverse[1, 2] + c * inverse[2, 2]
            if k == rounds:
                out[n, 0], out[n, 1], out[n, 2] = x - points[n, 0], y - points[n, 1], z - points[n, 2]
                break
            i, fx = between((x - lower[0]) * per_unit[0], counts[0])
            j, fy = between((y - lower[1]) * per_unit[0], counts[1])
            m, fz = between((z - lower[2]) * per_unit[0], counts[2])
            r0 = r1 = r2 = np.float32(0)
            for corner in range(8):
                di, dj, dm = corner >> 2, (corner >> 1) & 1, corner & 1
                weight = (fx if di else _ONE - fx) * (fy if dj else _ONE - fy) * (fz if dm else _ONE - fz)
                row = node[((i + di) * counts[1] + j + dj) * counts[2] + m + dm]
                r0 += weight * remainder[row, 0]
                r1 += weight * remainder[row, 1]
                r2 += weight * remainder[row, 2]


@kernel(nogil=True, fastmath={"contract"}, error_model="numpy")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def write_alignments(points, lower, per_unit, counts, node, remainder, shift, inverse, rounds, out):
    """Do the same for a batch of people: points (B, N, 3); remainder (node + 1, B, 3); shift (B, 1, 3); inverse
    (B, 3, 3); out (B, N, 3).
    """
    for b in range(points.shape[0]):
        write_alignment(
            points[b], lower, per_unit, counts, node, remainder[:, b], shift[b, 0], inverse[b], rounds, out[b]
        )
