"""Averages over neighbouring vertices of a mesh, for light that scatters in skin, hollows, and compression of skin."""

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float, Int

from anifacegan.runtime.compiled import kernel

SHARE = 0.6
"""Largest share of a vertex's value that an averaging step takes from its neighbours."""
SCATTERING_STEPS = (6, 3, 1)
"""Numbers of averaging steps for red, green and blue light: red goes farthest in the skin, about 4 mm."""
STEP_LENGTH = 0.03
"""Length of edges, in model units, up to which an averaging step takes the full share ``SHARE`` from the neighbours.
Along longer edges a step takes less, so that light goes no farther on coarser parts of the mesh."""


@dataclass(frozen=True)
class Neighbours:
    """The neighbours of each vertex of a mesh (those that share an edge with it), in one list for all vertices."""

    first: Int[np.ndarray, " vertex_and_one"]
    """Index in ``neighbour`` at which the neighbours of each vertex start, and at the end the length of the list."""
    neighbour: Int[np.ndarray, " entry"]
    """Vertex indices of the neighbours, vertex by vertex."""
    share: Float[np.ndarray, " vertex"]
    """Share that an averaging step takes from the mean of a vertex's neighbours, 0 to 1; the rest is its own value."""

    def averaged(
        self,
        values: Float[np.ndarray, "vertex 3"],
        active: Bool[np.ndarray, " vertex"],
        steps: tuple[int, int, int],
    ) -> Float[np.ndarray, "vertex 3"]:
        """Smooth three values of each vertex by steps that average them with those of the neighbours.

        Only ``active`` vertices change. ``steps`` are the numbers of steps for the first, second and third value.
        """
        return _averaged(values, self.first, self.neighbour, self.share * active, np.array(steps))

    def compression(
        self,
        neutral: Float[np.ndarray, "vertex 3"],
        moved: Float[np.ndarray, "vertex 3"],
        active: Bool[np.ndarray, " vertex"],
    ) -> Float[np.ndarray, "vertex 2"]:
        """Compute by how much edges around each vertex are shorter than on a neutral face: horizontally and vertically.

        0.1 is a tenth of the length; negative values mean stretching; the result is 0 where not ``active``. ``neutral``
        and ``moved`` are the vertices of the neutral face and of the same face with an expression.
        """
        out = np.zeros((len(neutral), 2), np.float32)
        _compression(neutral, moved, active, self.first, self.neighbour, out)
        return out


def neighbours(points: Float[np.ndarray, "vertex 3"], triangles: Int[np.ndarray, "triangle 3"]) -> Neighbours:
    """List the neighbours of each vertex of a mesh: the vertices with which it shares an edge. ``points`` are the
    vertices, model units.
    """
    count = len(points)
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]).astype(
        np.int64
    )
    keys = np.unique(np.concatenate([pairs[:, 0] * count + pairs[:, 1], pairs[:, 1] * count + pairs[:, 0]]))
    start, end = keys // count, keys % count
    squares = np.square(points[start] - points[end]).sum(axis=1)
    mean_square = np.bincount(start, squares, count) / np.maximum(np.bincount(start, minlength=count), 1)
    share = SHARE * np.minimum(1, STEP_LENGTH**2 / np.maximum(mean_square, 1e-12))
    first = np.searchsorted(start, np.arange(count + 1))
    return Neighbours(first.astype(np.int32), end.astype(np.int32), share.astype(np.float32))


@kernel(fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _averaged(values, first, neighbour, share, steps):
    now, new = values.copy(), values.copy()
    for step in range(steps.max()):
        for i in range(len(share)):
            count = first[i + 1] - first[i]
            if share[i] == 0 or count == 0:
                continue
            inverse = share[i] / np.float32(count)
            x = y = z = np.float32(0)
            for j in range(first[i], first[i + 1]):
                other = neighbour[j]
                x += now[other, 0]
                y += now[other, 1]
                z += now[other, 2]
            keep = np.float32(1) - share[i]
            new[i, 0] = keep * now[i, 0] + inverse * x if step < steps[0] else now[i, 0]
            new[i, 1] = keep * now[i, 1] + inverse * y if step < steps[1] else now[i, 1]
            new[i, 2] = keep * now[i, 2] + inverse * z if step < steps[2] else now[i, 2]
        now, new = new, now
    return now


@kernel(fastmath=True)
@no_type_check
def _compression(neutral, moved, active, first, neighbour, out):
    for i in range(len(neutral)):
        if not active[i]:
            continue
        horizontal = vertical = across = along = np.float32(1e-9)
        for j in range(first[i], first[i + 1]):
            other = neighbour[j]
            x, y, z = (
                neutral[other, 0] - neutral[i, 0],
                neutral[other, 1] - neutral[i, 1],
                neutral[other, 2] - neutral[i, 2],
            )
            before = x * x + y * y + z * z + np.float32(1e-12)
            u, v, w = (
                moved[other, 0] - moved[i, 0],
                moved[other, 1] - moved[i, 1],
                moved[other, 2] - moved[i, 2],
            )
            shorter = np.float32(1) - np.sqrt((u * u + v * v + w * w) / before)
            up = y * y / before
            vertical += up * up * shorter
            along += up * up
            horizontal += (1 - up) * (1 - up) * shorter
            across += (1 - up) * (1 - up)
        out[i, 0], out[i, 1] = horizontal / across, vertical / along
