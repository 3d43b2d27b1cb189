"""Drawing of strands: thin anti-aliased lines in front of and behind each other, over a z-buffer of solid surfaces.

A strand is thinner than a pixel, so a pixel shows many strands in part. Segments of strands are sorted by depth and
composited from the front to the back; where nothing behind would be seen any more, drawing stops. A segment covers the
samples along it by its width: the sum of its opacity is its width times its length, at any resolution.
"""

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float

from anifacegan.data.synthetic.strands.strands import Strands
from anifacegan.geometry.cameras import Camera
from anifacegan.geometry.conventions import WORLD_PER_MODEL_UNIT
from anifacegan.runtime.compiled import kernel

MODEL_UNITS_PER_MM = 0.01
TOWARDS_CAMERA = 0.003
"""Strands are drawn nearer to the camera by this much, model units: roots lie on the skin."""
TIP_OPACITY = np.float32(0.35)
"""Opacity of the tip of a strand as a share of that of the root: strands get thinner."""
DEPTH_BINS = 4096
"""Number of depths that the order of segments distinguishes."""
TILE = 8
"""Side of the square of samples for which one farthest solid depth is kept, to skip what is hidden."""
NOTHING_PASSES = np.float32(0.004)
"""Share of the light from behind at which a sample counts as covered."""


@dataclass(frozen=True)
class StrandImage:
    """Strands over an image; colours are linear light."""

    through: Float[np.ndarray, "row column"]
    """Share of what is behind the strands that is seen, 0 to 1."""
    total: Float[np.ndarray, "row column 3"]
    """Colour of the strands times their share of the sample, 1 - ``through``."""
    inverse_depth: Float[np.ndarray, "row column"]
    """Inverse depth, in world units, of the strand at which ``through`` falls below a half; 0 where it never does."""


def draw_strands(
    strands: list[Strands],
    colours: list[Float[np.ndarray, "_ _ 3"]],
    camera: Camera,
    world_offset: Float[np.ndarray, "3"],
    nearest: Float[np.ndarray, "row column"],
) -> StrandImage:
    """Draw strands over an image.

    Args:
        strands: strands in the head's frame, model units.
        colours: linear colours of the points of each of ``strands``.
        camera: camera of the (possibly supersampled) image; the first of its batch is used.
        world_offset: position of the head's origin, world units.
        nearest: z-buffer of the solid surfaces, the largest inverse depth of each sample in world units; 0 where
            nothing is solid.
    """
    size = camera.size
    canvas = np.zeros((size, size, 5), np.float32)
    canvas[..., 3] = 1
    total_points = sum(kind.points.shape[0] * kind.points.shape[1] for kind in strands)
    x, y, z, alpha = (np.empty(total_points, np.float32) for _ in range(4))
    flat = np.empty((total_points, 3), np.float32)
    rotation = camera.rotation[0].numpy().astype(np.float64)
    to_camera = (WORLD_PER_MODEL_UNIT * rotation).astype(np.float32)
    origin = (world_offset @ rotation + camera.translation[0].numpy()).astype(np.float32)
    lens = (np.float32(camera.focal_px), np.float32(camera.principal_px))
    first = 0
    for kind, colour in zip(strands, colours, strict=True):
        width = np.float32(kind.width_mm * MODEL_UNITS_PER_MM * WORLD_PER_MODEL_UNIT * camera.focal_px)
        _project(
            kind.points, kind.cover, colour, to_camera, origin, lens, width, first, (x, y, z, alpha, flat)
        )
        first += kind.points.shape[0] * kind.points.shape[1]
    order = _order(x, y, z, alpha, nearest, _farthest_in_tiles(nearest))
    _composite(order, x, y, z, alpha, flat, nearest, canvas)
    through = canvas[..., 3].copy()
    return StrandImage(through, canvas[..., :3], canvas[..., 4])


@kernel(fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _project(points, cover, colours, to_camera, origin, lens, width, first, out):
    """Project strands and append them to flat arrays: pixels, inverse depth, width times opacity (0 ends a strand)."""
    x, y, z, alpha, flat = out
    focal, principal = lens
    r = to_camera
    count = points.shape[1]
    near = np.float32(TOWARDS_CAMERA * WORLD_PER_MODEL_UNIT)
    for s in range(len(points)):
        for k in range(count):
            px, py, pz = points[s, k, 0], points[s, k, 1], points[s, k, 2]
            depth = -(px * r[0, 2] + py * r[1, 2] + pz * r[2, 2] + origin[2])
            inverse = np.float32(1) / depth
            i = first + s * count + k
            x[i] = principal + focal * (px * r[0, 0] + py * r[1, 0] + pz * r[2, 0] + origin[0]) * inverse
            y[i] = principal - focal * (px * r[0, 1] + py * r[1, 1] + pz * r[2, 1] + origin[1]) * inverse
            z[i] = np.float32(1) / (depth - near)
            f = np.float32(k) / np.float32(count - 1)
            alpha[i] = width * inverse * cover[s] * (np.float32(1) + (TIP_OPACITY - np.float32(1)) * f * f)
            flat[i, 0], flat[i, 1], flat[i, 2] = colours[s, k, 0], colours[s, k, 1], colours[s, k, 2]
        alpha[first + s * count + count - 1] = np.float32(-1)


@kernel(fastmath=True)
@no_type_check
def _farthest_in_tiles(nearest):
    """Return the smallest inverse depth of the solid surfaces in each tile."""
    rows = (nearest.shape[0] + TILE - 1) // TILE
    farthest = np.full((rows, rows), np.float32(1e9), np.float32)
    for row in range(nearest.shape[0]):
        for column in range(nearest.shape[1]):
            value = nearest[row, column]
            if value < farthest[row // TILE, column // TILE]:
                farthest[row // TILE, column // TILE] = value
    return farthest


@kernel(fastmath=True)
@no_type_check
def _order(x, y, z, alpha, nearest, farthest):
    """Return the first points of the segments that may be seen, from the front to the back."""
    size = nearest.shape[0]
    edge = np.float32(size) - np.float32(0.5)
    bins = np.full(len(x), -1, np.int32)
    low, high = np.float32(1e9), np.float32(0)
    for i in range(len(x)):
        low, high = min(low, z[i]), max(high, z[i])
    scale = np.float32(DEPTH_BINS - 1) / max(high - low, np.float32(1e-9))
    starts = np.zeros(DEPTH_BINS + 1, np.int64)
    for i in range(len(x) - 1):
        if alpha[i] <= 0:
            continue
        left, right = min(x[i], x[i + 1]), max(x[i], x[i + 1])
        top, bottom = min(y[i], y[i + 1]), max(y[i], y[i + 1])
        if right < 0 or bottom < 0 or left > edge or top > edge:
            continue
        front = max(z[i], z[i + 1])
        c0, c1 = max(int(left) - 1, 0) // TILE, min(int(right) + 2, size - 1) // TILE
        r0, r1 = max(int(top) - 1, 0) // TILE, min(int(bottom) + 2, size - 1) // TILE
        hidden = True
        for r in range(r0, r1 + 1):
            for c in range(c0, c1 + 1):
                if farthest[r, c] < front:
                    hidden = False
        if hidden:
            continue
        place = int((high - np.float32(0.5) * (z[i] + z[i + 1])) * scale)
        bins[i] = place
        starts[place + 1] += 1
    for place in range(DEPTH_BINS):
        starts[place + 1] += starts[place]
    order = np.empty(starts[DEPTH_BINS], np.int32)
    for i in range(len(x) - 1):
        if bins[i] >= 0:
            order[starts[bins[i]]] = i
            starts[bins[i]] += 1
    return order


@kernel(fastmath=True)
@no_type_check
def _composite(order, x, y, z, alpha, colours, nearest, canvas):
    """Composite segments from the front to the back; ``canvas`` (H, W, 5): colours, what passes, inverse depth."""
    size = nearest.shape[0]
    zero, one, half = np.float32(0), np.float32(1), np.float32(0.5)
    for n in range(len(order)):
        i = order[n]
        xa, ya, xb, yb = x[i], y[i], x[i + 1], y[i + 1]
        za, zb = z[i], z[i + 1]
        dx, dy = xb - xa, yb - ya
        steep = abs(dy) > abs(dx)
        # along the longer axis a, across it b
        a0, a1, b0, slope = (ya, yb, xa, dx) if steep else (xa, xb, ya, dy)
        run = a1 - a0
        if abs(run) < np.float32(1e-6):
            continue
        slope /= run
        # width across: the axis' sections of a slanted line are longer
        wide = alpha[i] * np.sqrt(one + slope * slope)
        peak, reach = min(wide, one), half * max(wide, one) + half
        start, stop = min(a0, a1), max(a0, a1)
        begin, end = max(int(np.ceil(start)), 0), min(int(np.ceil(stop)), size)
        inverse = one / run
        red, green, blue = colours[i, 0], colours[i, 1], colours[i, 2]
        red_step, green_step, blue_step = (
            colours[i + 1, 0] - red,
            colours[i + 1, 1] - green,
            colours[i + 1, 2] - blue,
        )
        for a in range(begin, end):
            f = (np.float32(a) - a0) * inverse
            b = b0 + slope * (np.float32(a) - a0)
            depth = za + f * (zb - za)
            lowest, highest = max(int(np.ceil(b - reach)), 0), min(int(np.floor(b + reach)), size - 1)
            for c in range(lowest, highest + 1):
                row, column = (a, c) if steep else (c, a)
                left = canvas[row, column, 3]
                if left < NOTHING_PASSES or depth <= nearest[row, column]:
                    continue
                share = left * peak * min(max(reach - abs(np.float32(c) - b), zero), one)
                canvas[row, column, 3] = left - share
                if left >= half and left - share < half:
                    canvas[row, column, 4] = depth
                canvas[row, column, 0] += share * (red + f * red_step)
                canvas[row, column, 1] += share * (green + f * green_step)
                canvas[row, column, 2] += share * (blue + f * blue_step)
