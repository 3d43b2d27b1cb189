"""Drawing of strands: thin anti-aliased lines in front of and behind each other, over a z-buffer of solid surfaces.

A strand is thinner than a pixel, so a pixel shows many strands in part. Segments of strands are sorted by depth and
composited from the front to the back. Drawing stops at a sample when the strands there are opaque. A segment covers
each sample along it in proportion to its width. So the sum of its opacity over the samples is its width times its
length, at any resolution.
"""

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float

from anifacegan.data.synthetic.strands.lighting import (
    COLOURED,
    FIRST_POINT,
    StrandLight,
    colour_point,
    flat_strands,
    no_light,
    unknown_colours,
)
from anifacegan.data.synthetic.strands.strands import Strands
from anifacegan.geometry.cameras import Camera
from anifacegan.geometry.conventions import WORLD_PER_MODEL_UNIT
from anifacegan.runtime.compiled import kernel

MODEL_UNITS_PER_MM = 0.01
TOWARDS_CAMERA = 0.003
"""Distance, model units, by which strands are drawn nearer to the camera, so that skin does not hide their roots."""
TIP_OPACITY = np.float32(0.35)
"""Opacity of the tip of a strand divided by the opacity of the root; strands are thinner at the tip."""
DEPTH_BINS = 4096
"""Number of depths that are distinguished when segments of strands are sorted by depth."""
TILE = 8
"""Side of the square tiles of samples for which the farthest solid depth is kept, to skip hidden strands."""
NOTHING_PASSES = np.float32(0.02)
"""Transmittance of the strands at a sample (1 - opacity) below which they count as opaque."""


@dataclass(frozen=True)
class StrandImage:
    """An image of strands to lay over another image; colours are linear light."""

    through: Float[np.ndarray, "row column"]
    """Transmittance of the strands, 1 - opacity: 0 (opaque) to 1 (no strands)."""
    total: Float[np.ndarray, "row column 3"]
    """Colour of the strands multiplied by their opacity, which is 1 - ``through``."""
    inverse_depth: Float[np.ndarray, "row column"]
    """Inverse depth, 1 / world units, at which the strands, added up from the front, cover half of the pixel; 0 where
    all strands together cover less than half."""


def draw_strands(
    strands: list[Strands],
    light: StrandLight | None,
    camera: Camera,
    world_offset: Float[np.ndarray, "3"],
    nearest: Float[np.ndarray, "row column"],
) -> StrandImage:
    """Draw strands that are in front of solid surfaces.

    Args:
        strands: strands in the head's frame, model units.
        light: light on the strands; None leaves them black.
        camera: camera of the (possibly supersampled) image; the first of its batch is used.
        world_offset: position of the head's origin, world units.
        nearest: z-buffer of the solid surfaces, the largest inverse depth of each sample in world units; 0 where
            nothing is solid.
    """
    size = camera.size
    flat = flat_strands(strands)
    projected = np.empty((len(flat.points), 4), np.float32)
    rotation = camera.rotation[0].numpy().astype(np.float64)
    to_camera = (WORLD_PER_MODEL_UNIT * rotation).astype(np.float32)
    origin = (world_offset @ rotation + camera.translation[0].numpy()).astype(np.float32)
    lens = (np.float32(camera.focal_px), np.float32(camera.principal_px))
    for kind, row in zip(strands, flat.kinds, strict=True):
        width = np.float32(kind.width_mm * MODEL_UNITS_PER_MM * WORLD_PER_MODEL_UNIT * camera.focal_px)
        first, count = int(row[FIRST_POINT]), kind.points.shape[0] * kind.points.shape[1]
        part = projected[first : first + count].reshape(*kind.points.shape[:2], 4)
        _project(kind.points, kind.cover, to_camera, origin, lens, width, part)
    farthest = _farthest_in_tiles(nearest)
    order, segments = _order(projected, nearest, farthest)
    image = StrandImage(
        np.ones((size, size), np.float32),
        np.zeros((size, size, 3), np.float32),
        np.zeros((size, size), np.float32),
    )
    colours = unknown_colours(len(flat.points) if light is not None else 0)
    _composite(
        order, segments, nearest, farthest, image.through, image.total, image.inverse_depth,
        flat, light or no_light(), colours, light is not None,
    )  # fmt: skip
    _cover(image.through, image.total)
    return image


@kernel(fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _project(points, cover, to_camera, origin, lens, width, out):
    """Project strands to ``out`` (N, K, 4): column, row, inverse depth, width times opacity (-1 ends a strand)."""
    focal, principal = lens
    r = to_camera
    count = points.shape[1]
    near = np.float32(TOWARDS_CAMERA * WORLD_PER_MODEL_UNIT)
    for s in range(len(points)):
        for k in range(count):
            px, py, pz = points[s, k, 0], points[s, k, 1], points[s, k, 2]
            depth = -(px * r[0, 2] + py * r[1, 2] + pz * r[2, 2] + origin[2])
            inverse = np.float32(1) / depth
            out[s, k, 0] = (
                principal + focal * (px * r[0, 0] + py * r[1, 0] + pz * r[2, 0] + origin[0]) * inverse
            )
            out[s, k, 1] = (
                principal - focal * (px * r[0, 1] + py * r[1, 1] + pz * r[2, 1] + origin[1]) * inverse
            )
            out[s, k, 2] = np.float32(1) / (depth - near)
            f = np.float32(k) / np.float32(count - 1)
            out[s, k, 3] = (
                width * inverse * cover[s] * (np.float32(1) + (TIP_OPACITY - np.float32(1)) * f * f)
            )
        out[s, count - 1, 3] = np.float32(-1)


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
def _order(projected, nearest, farthest):
    """Sort the segments that may be seen from the front to the back.

    Returns their first points, and what is drawn of each, (S, 7): column, row, inverse depth and width of the first
    point, then column, row and inverse depth of the second.
    """
    size = nearest.shape[0]
    edge = np.float32(size) - np.float32(0.5)
    p, count = projected, len(projected)
    bins = np.full(count, -1, np.int32)
    low, high = np.float32(1e9), np.float32(0)
    for i in range(count):
        low, high = min(low, p[i, 2]), max(high, p[i, 2])
    scale = np.float32(DEPTH_BINS - 1) / max(high - low, np.float32(1e-9))
    starts = np.zeros(DEPTH_BINS + 1, np.int64)
    for i in range(count - 1):
        if p[i, 3] <= 0:
            continue
        left, right = min(p[i, 0], p[i + 1, 0]), max(p[i, 0], p[i + 1, 0])
        top, bottom = min(p[i, 1], p[i + 1, 1]), max(p[i, 1], p[i + 1, 1])
        if right < 0 or bottom < 0 or left > edge or top > edge:
            continue
        front = max(p[i, 2], p[i + 1, 2])
        c0, c1 = max(int(left) - 1, 0) // TILE, min(int(right) + 2, size - 1) // TILE
        r0, r1 = max(int(top) - 1, 0) // TILE, min(int(bottom) + 2, size - 1) // TILE
        hidden = True
        for r in range(r0, r1 + 1):
            for c in range(c0, c1 + 1):
                if farthest[r, c] < front:
                    hidden = False
        if hidden:
            continue
        place = int((high - np.float32(0.5) * (p[i, 2] + p[i + 1, 2])) * scale)
        bins[i] = place
        starts[place + 1] += 1
    for place in range(DEPTH_BINS):
        starts[place + 1] += starts[place]
    order, segments = np.empty(starts[DEPTH_BINS], np.int32), np.empty((starts[DEPTH_BINS], 7), np.float32)
    for i in range(count - 1):
        if bins[i] >= 0:
            n = starts[bins[i]]
            starts[bins[i]] += 1
            order[n] = i
            for k in range(7):
                segments[n, k] = p[i, k] if k < 4 else p[i + 1, k - 4]
    return order, segments


@kernel(fastmath=True)
@no_type_check
def _cover(through, total):
    """Let nothing pass where samples count as covered."""
    for row in range(through.shape[0]):
        for column in range(through.shape[1]):
            left = through[row, column]
            if left < NOTHING_PASSES:
                scale = np.float32(1) / (np.float32(1) - left)
                for k in range(3):
                    total[row, column, k] *= scale
                through[row, column] = np.float32(0)


@kernel(fastmath=True)
@no_type_check
def _composite(order, segments, nearest, farthest, through, total, middle, strands, light, colours, coloured):
    """Composite segments from the front to the back; points get their colours when a sample first shows them.

    A segment is followed tile by tile: where a tile lets nothing pass any more, or what is solid hides the segment, the
    whole tile is skipped.
    """
    size, rgb, known = nearest.shape[0], colours.rgb, colours.known
    zero, one, half = np.float32(0), np.float32(1), np.float32(0.5)
    passing = np.full(
        farthest.shape, TILE * TILE, np.int32
    )  # samples of each tile that something is seen through
    for n in range(len(order)):
        i = np.int64(order[n])
        xa, ya, xb, yb = segments[n, 0], segments[n, 1], segments[n, 4], segments[n, 5]
        za, zb = segments[n, 2], segments[n, 6]
        dx, dy = xb - xa, yb - ya
        steep = abs(dy) > abs(dx)
        # along the longer axis a, across it b
        a0, a1, b0, slope = (ya, yb, xa, dx) if steep else (xa, xb, ya, dy)
        run = a1 - a0
        if abs(run) < np.float32(1e-6):
            continue
        slope /= run
        # width across: the axis' sections of a slanted line are longer
        wide = segments[n, 3] * np.sqrt(one + slope * slope)
        peak, reach = min(wide, one), half * max(wide, one) + half
        start, stop = min(a0, a1), max(a0, a1)
        begin, end = max(int(np.ceil(start)), 0), min(int(np.ceil(stop)), size)
        inverse = one / run
        ready = not coloured
        red = green = blue = red_step = green_step = blue_step = zero
        chunk = begin
        while chunk < end:
            first, chunk = chunk, min((chunk // TILE + 1) * TILE, end)
            b, b_last = b0 + slope * (np.float32(first) - a0), b0 + slope * (np.float32(chunk - 1) - a0)
            low = max(int(min(b, b_last) - reach), 0) // TILE
            high = min(int(max(b, b_last) + reach), size - 1) // TILE
            tile, front, hidden = first // TILE, max(za, zb), True
            for other in range(low, high + 1):
                r, c = (tile, other) if steep else (other, tile)
                if passing[r, c] > 0 and farthest[r, c] < front:
                    hidden = False
            if hidden:
                continue
            for a in range(first, chunk):
                f = (np.float32(a) - a0) * inverse
                b = b0 + slope * (np.float32(a) - a0)
                depth = za + f * (zb - za)
                lowest, highest = max(int(np.ceil(b - reach)), 0), min(int(np.floor(b + reach)), size - 1)
                for c in range(lowest, highest + 1):
                    row, column = (a, c) if steep else (c, a)
                    left = through[row, column]
                    if left < NOTHING_PASSES or depth <= nearest[row, column]:
                        continue
                    share = left * peak * min(max(reach - abs(np.float32(c) - b), zero), one)
                    if not ready:
                        for end_point in (i, i + 1):
                            if not known[end_point] & COLOURED:
                                colour_point(end_point, strands, light, colours)
                        red, green, blue = rgb[i, 0], rgb[i, 1], rgb[i, 2]
                        red_step, green_step, blue_step = (
                            rgb[i + 1, 0] - red,
                            rgb[i + 1, 1] - green,
                            rgb[i + 1, 2] - blue,
                        )
                        ready = True
                    through[row, column] = left - share
                    if left - share < NOTHING_PASSES:
                        passing[row // TILE, column // TILE] -= 1
                    if left >= half and left - share < half:
                        middle[row, column] = depth
                    total[row, column, 0] += share * (red + f * red_step)
                    total[row, column, 1] += share * (green + f * green_step)
                    total[row, column, 2] += share * (blue + f * blue_step)
