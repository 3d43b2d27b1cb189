"""The triangles of a layered mesh that are transparent everywhere: a compiled loop."""

from typing import no_type_check

import numpy as np

from anifacegan.runtime.compiled import kernel


@kernel(nogil=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def mark_clear(triangles, texels, layer_starts, textures, moving, is_clear):
    """Mark the triangles all of whose texels are transparent; none with a vertex from ``moving`` on, whose texels move
    with the expression."""
    _, height, width, _ = textures.shape
    for layer in range(len(textures)):
        for t in range(layer_starts[layer], layer_starts[layer + 1]):
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            is_clear[t] = max(a, b, c) < moving
            left = max(min(texels[a, 0], texels[b, 0], texels[c, 0]) - 1, np.float32(0))
            right = min(max(texels[a, 0], texels[b, 0], texels[c, 0]) + 2, np.float32(width))
            top = max(min(texels[a, 1], texels[b, 1], texels[c, 1]) - 1, np.float32(0))
            bottom = min(max(texels[a, 1], texels[b, 1], texels[c, 1]) + 2, np.float32(height))
            for row in range(min(int(top), height - 1), max(int(bottom), 1)):
                for column in range(min(int(left), width - 1), max(int(right), 1)):
                    is_clear[t] &= textures[layer, row, column, 3] == 0
