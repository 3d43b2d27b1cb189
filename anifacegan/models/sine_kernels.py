"""Compiled sines of FiLM layers and their gradients, each in one pass over memory.

They are in a separate module because importing numba takes a second. Activations are float32, or bfloat16 as the uint16
of the same bits; everything else is float32, and so is all arithmetic.

The argument of sine and cosine is reduced to [-pi/2, pi/2] with pi in three parts. There an odd polynomial of degree 9
(minimax, fitted for this module) differs from the sine by at most 5e-9, for arguments up to 10^4.
"""

from typing import no_type_check

import numpy as np

from anifacegan.runtime.compiled import kernel, narrowed, widened

_INVERSE_PI = np.float32(1 / np.pi)
_PI_1 = np.float32(3.140625)  # 8 bits: k * _PI_1 is exact
_PI_2 = np.float32(0.0009670257568359375)  # the next 11
_PI_3 = np.float32(np.pi - 3.140625 - 0.0009670257568359375)
_ROUND = np.float32(12582912.0)  # 1.5 * 2^23: adding it rounds to an integer
_C3, _C5, _C7, _C9 = (
    np.float32(c)
    for c in (-0.16666657097770704, 0.008333017322633198, -1.980661738608827e-4, 2.600059341975e-6)
)
_HALF, _ZERO = np.float32(0.5), np.float32(0)
_FAST = {"contract", "nnan", "ninf", "nsz"}  # no reassociation: it would remove the rounding by _ROUND


@kernel(nogil=True, fastmath=_FAST, error_model="numpy")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def sine(z):
    """Compute the sine of a float32."""
    k = (z * _INVERSE_PI + _ROUND) - _ROUND
    r = ((z - k * _PI_1) - k * _PI_2) - k * _PI_3
    q = r * r
    y = r + r * (q * (_C3 + q * (_C5 + q * (_C7 + q * _C9))))
    return -y if np.int32(k) & np.int32(1) else y


@kernel(nogil=True, fastmath=_FAST, error_model="numpy")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def cosine(z):
    """Compute the cosine of a float32: the sine of the distance to the nearest odd multiple of pi/2, with its sign."""
    k = (z * _INVERSE_PI - _HALF + _ROUND) - _ROUND
    middle = k + _HALF
    r = ((z - middle * _PI_1) - middle * _PI_2) - middle * _PI_3
    q = r * r
    y = r + r * (q * (_C3 + q * (_C5 + q * (_C7 + q * _C9))))
    return y if np.int32(k) & np.int32(1) else -y


@kernel(nogil=True, fastmath=_FAST, error_model="numpy")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def modulated_sine(u, frequency, shift, out):
    """Write ``sin(frequency * u + shift)`` to ``out``; u and out are (face, point, unit), the others (face, unit)."""
    for face in range(u.shape[0]):
        f, s = frequency[face], shift[face]
        for point in range(u.shape[1]):
            row, target = u[face, point], out[face, point]
            for unit in range(u.shape[2]):
                target[unit] = narrowed(sine(f[unit] * widened(row[unit]) + s[unit]), target[unit])


@kernel(nogil=True, fastmath=_FAST, error_model="numpy")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def modulated_sine_gradients(u, frequency, shift, gradient, of_u, of_frequency, of_shift):
    """Write the gradients of u, frequency and shift, given the ``gradient`` of what ``modulated_sine`` has written."""
    for face in range(u.shape[0]):
        f, s, of_f, of_s = frequency[face], shift[face], of_frequency[face], of_shift[face]
        of_f[:] = _ZERO
        of_s[:] = _ZERO
        for point in range(u.shape[1]):
            row, above, below = u[face, point], gradient[face, point], of_u[face, point]
            for unit in range(u.shape[2]):
                value = widened(row[unit])
                of_z = widened(above[unit]) * cosine(f[unit] * value + s[unit])
                of_f[unit] += of_z * value
                of_s[unit] += of_z
                below[unit] = narrowed(of_z * f[unit], below[unit])


@kernel(nogil=True, fastmath=_FAST, error_model="numpy")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def sine_of_points(x, weight, bias, out):
    """Write ``sin(x @ weight + bias)`` to ``out`` (face, point, unit); x is (face, point, 3), weight (face, 3, unit)
    and bias (face, unit)."""
    for face in range(x.shape[0]):
        along_x, along_y, along_z = weight[face, 0], weight[face, 1], weight[face, 2]
        b = bias[face]
        for point in range(x.shape[1]):
            p, q, r = x[face, point, 0], x[face, point, 1], x[face, point, 2]
            target = out[face, point]
            for unit in range(out.shape[2]):
                z = p * along_x[unit] + (q * along_y[unit] + (r * along_z[unit] + b[unit]))
                target[unit] = narrowed(sine(z), target[unit])


@kernel(nogil=True, fastmath=_FAST, error_model="numpy")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def sine_of_points_gradients(x, weight, bias, gradient, of_x, of_weight, of_bias, row):
    """Write the gradients of x, weight and bias, given the ``gradient`` of what ``sine_of_points`` has written.

    An empty ``of_x`` is left out. ``row`` (unit,) is a buffer.
    """
    for face in range(x.shape[0]):
        along_x, along_y, along_z = weight[face, 0], weight[face, 1], weight[face, 2]
        of_along_x, of_along_y, of_along_z = of_weight[face, 0], of_weight[face, 1], of_weight[face, 2]
        b, of_b = bias[face], of_bias[face]
        of_weight[face] = _ZERO
        of_b[:] = _ZERO
        for point in range(x.shape[1]):
            p, q, r = x[face, point, 0], x[face, point, 1], x[face, point, 2]
            above = gradient[face, point]
            for unit in range(len(row)):
                z = p * along_x[unit] + (q * along_y[unit] + (r * along_z[unit] + b[unit]))
                of_z = widened(above[unit]) * cosine(z)
                of_along_x[unit] += of_z * p
                of_along_y[unit] += of_z * q
                of_along_z[unit] += of_z * r
                of_b[unit] += of_z
                row[unit] = of_z
            if len(of_x):
                _products(row, along_x, along_y, along_z, of_x[face, point])


@kernel(nogil=True, fastmath=True, error_model="numpy")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _products(row, along_x, along_y, along_z, out):
    """Write the scalar products of ``row`` with three others to ``out`` (3,)."""
    x, y, z = _ZERO, _ZERO, _ZERO
    for unit in range(len(row)):
        x += row[unit] * along_x[unit]
        y += row[unit] * along_y[unit]
        z += row[unit] * along_z[unit]
    out[0], out[1], out[2] = x, y, z
