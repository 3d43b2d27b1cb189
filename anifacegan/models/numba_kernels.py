"""Compiled loops of :mod:`anifacegan.models.numba_fields`. They are in a separate module because importing numba takes
a second.

All layers of a field are evaluated in one call: threads that make many small Python calls would mostly wait for the
interpreter lock. Matrix products use SciPy's BLAS, which :func:`anifacegan.runtime.cpu.one_blas_thread` keeps on one
core; at these sizes it was a quarter faster than PyTorch's.

The sine adds a bias in place, in one pass over memory (:mod:`anifacegan.models.sine_kernels`).
"""

from typing import no_type_check

import numpy as np

from anifacegan.models.sine_kernels import sine as sine_of
from anifacegan.runtime.compiled import kernel

_ZERO = np.float32(0)


@kernel(nogil=True, fastmath={"contract", "nnan", "ninf", "nsz"}, error_model="numpy")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def sine(h, bias):
    """Replace ``h`` (point, unit) by ``sin(h + bias)``; ``bias`` is (unit,); contiguous float32."""
    for row in range(h.shape[0]):
        for column in range(h.shape[1]):
            h[row, column] = sine_of(h[row, column] + bias[column])


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
def add_rows(out, start, added):
    """Add ``added`` (n, C) to the rows of ``out`` (N, C) from ``start`` on.

    As a loop: ``out[start:] += added`` takes numba six seconds to compile.
    """
    for row in range(added.shape[0]):
        for column in range(added.shape[1]):
            out[start + row, column] += added[row, column]


@kernel(nogil=True, error_model="numpy")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def add_heads(points, first, hidden, biases, heads, has_head, rectified, out, one, other):
    """Evaluate consecutive layers of a network, as many points at a time as a buffer holds, and add the outputs of the
    layers' linear heads to ``out``.

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
                add_rows(out, start, np.dot(h, heads[k]))
