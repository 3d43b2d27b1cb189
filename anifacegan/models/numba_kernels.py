"""Compiled loops of :mod:`anifacegan.models.numba_fields`. They are in a separate module because importing numba takes
a second.

All layers of a field are evaluated in one call: threads that make many small Python calls would mostly wait for the
interpreter lock. Matrix products use SciPy's BLAS, which :func:`anifacegan.runtime.cpu.one_blas_thread` keeps on one
core; at these sizes it was a quarter faster than PyTorch's.

The sine adds a bias in place, in one pass over memory. Its argument is reduced to [-pi/2, pi/2] with pi in three parts;
there an odd polynomial of degree 11 equals the sine within 3e-7, for arguments up to 10^4.
"""

from typing import no_type_check

import numpy as np

from anifacegan.runtime.compiled import kernel

_INVERSE_PI = np.float32(1 / np.pi)
_PI_1 = np.float32(3.140625)  # 8 bits: k * _PI_1 is exact
_PI_2 = np.float32(0.0009670257568359375)  # the next 11
_PI_3 = np.float32(np.pi - 3.140625 - 0.0009670257568359375)
_ROUND = np.float32(12582912.0)  # 1.5 * 2^23: adding it rounds to an integer
_C3, _C5, _C7, _C9, _C11 = (np.float32(c) for c in (-1 / 6, 1 / 120, -1 / 5040, 1 / 362880, -1 / 39916800))
_ZERO = np.float32(0)


@kernel(nogil=True, fastmath={"contract", "nnan", "ninf", "nsz"}, error_model="numpy")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def sine(h, bias):
    """Replace ``h`` (point, unit) by ``sin(h + bias)``; ``bias`` is (unit,); contiguous float32."""
    for row in range(h.shape[0]):
        for column in range(h.shape[1]):
            x = h[row, column] + bias[column]
            k = (x * _INVERSE_PI + _ROUND) - _ROUND
            r = ((x - k * _PI_1) - k * _PI_2) - k * _PI_3
            odd = np.int32(k) & np.int32(1)
            q = r * r
            series = q * (_C3 + q * (_C5 + q * (_C7 + q * (_C9 + q * _C11))))
            y = r + r * series
            h[row, column] = -y if odd else y


@kernel(nogil=True, error_model="numpy")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def relu(h, bias):
    """Replace ``h`` (point, unit) by ``max(h + bias, 0)``; ``bias`` is (unit,); contiguous float32."""
    for row in range(h.shape[0]):
        for column in range(h.shape[1]):
            x = h[row, column] + bias[column]
            h[row, column] = x if x > _ZERO else _ZERO


@kernel(nogil=True, error_model="numpy")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def add_heads(points, first, hidden, biases, heads, has_head, rectified, out, one, other):
    """Evaluate consecutive layers on a tile of points at a time, and add the outputs of their heads to ``out``.

    Contiguous float32: points (N, 3); weights first (3, W) and hidden (L - 1, W, W); biases (L, W); heads (L, W, C),
    used where ``has_head`` (L,); out (N, C); one and other (tile, W), buffers for activations. The activation is the
    sine, or ReLU with ``rectified``.
    """
    for start in range(0, len(points), len(one)):
        count = min(len(one), len(points) - start)
        h, g = one[:count], other[:count]
        np.dot(points[start : start + count], first, h)
        for k in range(len(biases)):
            if k > 0:
                np.dot(h, hidden[k - 1], g)
                h, g = g, h
            if rectified:
                relu(h, biases[k])
            else:
                sine(h, biases[k])
            if has_head[k]:
                out[start : start + count] += np.dot(h, heads[k])
