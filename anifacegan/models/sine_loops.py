"""The loops of :mod:`anifacegan.models.fused_sine`. Apart from it, as importing numba takes a second."""

from typing import no_type_check

import numba
import numpy as np

_INVERSE_PI = np.float32(1 / np.pi)
_PI_1 = np.float32(3.140625)                                           # 8 bits: k * _PI_1 is exact
_PI_2 = np.float32(0.0009670257568359375)                              # the next 11
_PI_3 = np.float32(np.pi - 3.140625 - 0.0009670257568359375)
_ROUND = np.float32(12582912.0)                                        # 1.5 * 2^23: adding it rounds to an integer
_C3, _C5, _C7, _C9, _C11 = (
    np.float32(c) for c in (-1 / 6, 1 / 120, -1 / 5040, 1 / 362880, -1 / 39916800)
)
_ZERO = np.float32(0)


@numba.njit(cache=True, nogil=True, fastmath={"contract", "nnan", "ninf", "nsz"}, error_model="numpy")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def sine(h, bias):
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


@numba.njit(cache=True, nogil=True, error_model="numpy")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def relu(h, bias):
    for row in range(h.shape[0]):
        for column in range(h.shape[1]):
            x = h[row, column] + bias[column]
            h[row, column] = x if x > _ZERO else _ZERO
