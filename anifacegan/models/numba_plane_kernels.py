"""Compiled loops of feature planes: gradients of table lookups, and template fields with planes at inference.

They are in a separate module because importing numba takes a second. The formulas are those of
:mod:`anifacegan.models.feature_planes`.
"""

from typing import no_type_check

import numpy as np

from anifacegan.models.numba_kernels import add_rows, sine
from anifacegan.runtime.compiled import kernel

_ZERO, _HALF, _ONE, _TWO = (np.float32(value) for value in (0, 0.5, 1, 2))
_TINY_LENGTH, _TINY_COSINE = np.float32(1e-12), np.float32(1e-6)


@kernel(nogil=True, error_model="numpy")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def add_to_rows(index, weight, values, rows):
    """Add ``weight[n, k] * values[n]`` to ``rows[index[n, k]]`` for all n and k, in this order.

    Contiguous: index (N, K) int64, the rest float32: weight (N, K), values (N, C), rows (R, C).
    """
    for n in range(index.shape[0]):
        for k in range(index.shape[1]):
            row, factor = index[n, k], weight[n, k]
            for channel in range(rows.shape[1]):
                rows[row, channel] += factor * values[n, channel]


@kernel(nogil=True, fastmath={"contract"}, error_model="numpy")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def between(position, count):
    """Return the first of the two neighbours of a ``position`` among ``count``, and the weight of the second."""
    position = min(max(position, _ZERO), np.float32(count - 1))
    first = min(max(int(position), 0), count - 2)  # also where the position is not a number
    return first, position - np.float32(first)


@kernel(nogil=True, fastmath={"contract"}, error_model="numpy")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def read_features(points, centre, depths, fade_z, radius, grid, planes, resolutions, out):
    """Write the features of feature planes at points (N, 3), world units, to ``out`` (N, K): those of the coarse grid,
    then those of each plane.

    Contiguous float32: centre (3,); depths (3,) are the grid's first depth, its cells per world unit of depth, and the
    number D of these cells; fade_z (2,); radius (G, G); grid (G * G * D, channel); planes (texel, channel). resolutions
    (L,) int64.
    """
    side, layers = radius.shape[0], int(depths[2])
    half = _HALF * np.float32(side)
    for n in range(points.shape[0]):
        x, y, z = points[n, 0] - centre[0], points[n, 1] - centre[1], points[n, 2] - centre[2]
        length = np.sqrt(x * x + y * y + z * z + _TINY_LENGTH)
        stretch = _ONE / (length * np.sqrt(_TWO * max(_ONE + z / length, _TINY_COSINE)))
        u, v = x * stretch, y * stretch

        i, fx = between((u + _ONE) * half - _HALF, side)
        j, fy = between((v + _ONE) * half - _HALF, side)
        upper = (_ONE - fx) * radius[j, i] + fx * radius[j, i + 1]
        lower = (_ONE - fx) * radius[j + 1, i] + fx * radius[j + 1, i + 1]
        surface = (_ONE - fy) * upper + fy * lower
        k, fz = between((length - surface - depths[0]) * depths[1], layers)
        first = out.shape[1] - len(resolutions) * planes.shape[1]  # number of features of the grid
        for channel in range(first):
            out[n, channel] = _ZERO
        for row in range(2):
            for column in range(2):
                factor = (fy if row else _ONE - fy) * (fx if column else _ONE - fx)
                near = ((j + row) * side + i + column) * layers + k
                for channel in range(first):
                    value = (_ONE - fz) * grid[near, channel] + fz * grid[near + 1, channel]
                    out[n, channel] += factor * value

        start = 0
        for level in range(len(resolutions)):
            texels = resolutions[level]
            half_plane = _HALF * np.float32(texels)
            i, fx = between((u + _ONE) * half_plane - _HALF, texels)
            j, fy = between((v + _ONE) * half_plane - _HALF, texels)
            a, b, c, d = (_ONE - fx) * (_ONE - fy), fx * (_ONE - fy), (_ONE - fx) * fy, fx * fy
            corner = start + j * texels + i
            below = corner + texels
            for channel in range(planes.shape[1]):
                out[n, first + channel] = (
                    a * planes[corner, channel]
                    + b * planes[corner + 1, channel]
                    + c * planes[below, channel]
                    + d * planes[below + 1, channel]
                )
            first += planes.shape[1]
            start += texels * texels

        strength = min(max((points[n, 2] - fade_z[0]) / (fade_z[1] - fade_z[0]), _ZERO), _ONE)
        if strength < _ONE:
            for feature in range(out.shape[1]):
                out[n, feature] *= strength


@kernel(nogil=True, error_model="numpy")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def add_heads_with_features(
    points,
    first,
    hidden,
    biases,
    heads,
    has_head,
    tables,
    inputs,
    has_input,
    skip,
    out,
    one,
    other,
    features,
):
    """Evaluate consecutive sine layers, some of which also take features of the point, and add the outputs of the
    layers' linear heads, and the features times ``skip``, to ``out``; as many points at a time as a buffer holds.

    As :func:`anifacegan.models.numba_kernels.add_heads`, with: ``tables``, the arguments of :func:`read_features`
    between points and out; the features' weights in each layer, inputs (L, K, W), used where ``has_input`` (L,); skip
    (K, C); features (tile, K), a buffer.
    """
    for start in range(0, len(points), len(one)):
        count = min(len(one), len(points) - start)
        h, g, f = one[:count], other[:count], features[:count]
        read_features(points[start : start + count], *tables, f)
        add_rows(out, start, np.dot(f, skip))
        np.dot(points[start : start + count], first, h)
        for k in range(len(biases)):
            if k > 0:
                np.dot(h, hidden[k - 1], g)
                h, g = g, h
            if has_input[k]:
                np.dot(f, inputs[k], g)
                add_rows(h, 0, g)
            sine(h, biases[k])
            if has_head[k]:
                add_rows(out, start, np.dot(h, heads[k]))
