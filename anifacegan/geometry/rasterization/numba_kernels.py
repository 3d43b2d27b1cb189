"""Compiled loops of the rasterizer on a CPU: triangles into a z-buffer, and the weights of a triangle's corners."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float, Float32, Int, Int32

from anifacegan.geometry.rasterization.torch_backend import LARGEST_COORDINATE_PX, SUBPIXEL
from anifacegan.runtime.compiled import kernel


@kernel(inline="always")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def covered_box(x_px, y_px, inverse_depth, a, b, c, width, height):
    """Round a triangle's corners to SUBPIXEL parts of a pixel; return its first and last column and row of pixels, and
    the corners (x, y, inverse depth) turned to positive area, which is returned, too.

    Arrays as for :func:`draw_triangles`. The first column lies behind the last one where nothing is to be drawn.
    """
    za, zb, zc = inverse_depth[a], inverse_depth[b], inverse_depth[c]
    farthest = max(
        max(abs(x_px[a]), abs(x_px[b]), abs(x_px[c])), max(abs(y_px[a]), abs(y_px[b]), abs(y_px[c]))
    )
    drawn = za > 0 and zb > 0 and zc > 0 and farthest < LARGEST_COORDINATE_PX  # not NaN either
    xa = np.int64(np.rint(x_px[a] * SUBPIXEL)) if drawn else np.int64(0)
    ya = np.int64(np.rint(y_px[a] * SUBPIXEL)) if drawn else np.int64(0)
    xb = np.int64(np.rint(x_px[b] * SUBPIXEL)) if drawn else np.int64(0)
    yb = np.int64(np.rint(y_px[b] * SUBPIXEL)) if drawn else np.int64(0)
    xc = np.int64(np.rint(x_px[c] * SUBPIXEL)) if drawn else np.int64(0)
    yc = np.int64(np.rint(y_px[c] * SUBPIXEL)) if drawn else np.int64(0)
    left = max(0, -(-min(xa, xb, xc) // SUBPIXEL))
    right = min(width - 1, max(xa, xb, xc) // SUBPIXEL)
    top = max(0, -(-min(ya, yb, yc) // SUBPIXEL))
    bottom = min(height - 1, max(ya, yb, yc) // SUBPIXEL)
    area = (xb - xa) * (yc - ya) - (yb - ya) * (xc - xa)
    if area == 0:
        right = left - 1
    if area < 0:  # a back face: swap two corners
        xb, yb, zb, xc, yc, zc = xc, yc, zc, xb, yb, zb
        area = -area
    return left, right, top, bottom, xa, ya, za, xb, yb, zb, xc, yc, zc, area


@kernel(inline="always")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def owns_edge(xa, ya, xb, yb):
    """Return 0 if pixels on the edge from a to b belong to the triangle whose edge it is, else -1."""
    return 0 if (yb < ya or (yb == ya and xb > xa)) else -1


def draw_triangles(
    x_px: Float[np.ndarray, " vertex"],
    y_px: Float[np.ndarray, " vertex"],
    inverse_depth: Float[np.ndarray, " vertex"],
    triangles: Int[np.ndarray, "triangle 3"],
    triangle_map: Int32[np.ndarray, "row column"],
    nearest: Float32[np.ndarray, "row column"],
) -> None:
    """Draw triangles into the z-buffer of one image.

    Args:
        x_px, y_px: pixel coordinates, integers at pixel centres.
        inverse_depth: positive before the camera.
        triangles: vertex indices, either orientation.
        triangle_map: contiguous, -1 at the start; receives the index of the nearest triangle.
        nearest: contiguous, 0 at the start; receives the largest inverse depth.
    """
    # Equal types and layouts: each combination would be compiled for itself, which takes two seconds.
    x_px, y_px, inverse_depth = (np.ascontiguousarray(of, np.float64) for of in (x_px, y_px, inverse_depth))
    _draw(x_px, y_px, inverse_depth, np.ascontiguousarray(triangles, np.int32), triangle_map, nearest)


@kernel(nogil=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _draw(x_px, y_px, inverse_depth, triangles, triangle_map, nearest):
    """Draw as :func:`draw_triangles` does."""
    height, width = triangle_map.shape
    for t in range(len(triangles)):
        left, right, top, bottom, xa, ya, za, xb, yb, zb, xc, yc, zc, area = covered_box(
            x_px, y_px, inverse_depth, triangles[t, 0], triangles[t, 1], triangles[t, 2], width, height
        )
        if left > right or top > bottom:
            continue
        # The edge opposite each corner: step along x, step along y, and -1 where a pixel on the edge is not ours.
        ax, ay, own_a = -(yc - yb), xc - xb, owns_edge(xb, yb, xc, yc)
        bx, by, own_b = -(ya - yc), xa - xc, owns_edge(xc, yc, xa, ya)
        cx, cy, own_c = -(yb - ya), xb - xa, owns_edge(xa, ya, xb, yb)
        inverse_area = 1.0 / area
        for row in range(top, bottom + 1):
            x, y = left * SUBPIXEL, row * SUBPIXEL
            wa = (x - xb) * ax + (y - yb) * ay
            wb = (x - xc) * bx + (y - yc) * by
            wc = (x - xa) * cx + (y - ya) * cy
            for column in range(left, right + 1):
                if wa + own_a >= 0 and wb + own_b >= 0 and wc + own_c >= 0:
                    here = np.float32((wa * za + wb * zb + wc * zc) * inverse_area)
                    if here > nearest[row, column]:
                        nearest[row, column] = here
                        triangle_map[row, column] = t
                wa += ax * SUBPIXEL
                wb += bx * SUBPIXEL
                wc += cx * SUBPIXEL


@kernel(inline="always")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def corners_of(triangles, t):
    """Return the vertices at a triangle's corners, unsigned: numba need not ask whether such indices are negative."""
    return np.uint32(triangles[t, 0]), np.uint32(triangles[t, 1]), np.uint32(triangles[t, 2])


@kernel(inline="always")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def corner_shares(x_px, y_px, inverse_depth, a, b, c, column, row):
    """Compute the three perspective-correct weights of a triangle's corners at a pixel, and the triangle's depth there.

    x_px, y_px and inverse_depth are (V,) projected vertices; a, b, c are vertex indices of the corners. Depth is
    measured along the viewing axis. As corners are rounded, a pixel slightly outside the triangle may be drawn; its
    weights are clamped to the triangle. Weights and depth of a triangle without area are 0.
    """
    wa = (x_px[b] - column) * (y_px[c] - row) - (y_px[b] - row) * (x_px[c] - column)
    wb = (x_px[c] - column) * (y_px[a] - row) - (y_px[c] - row) * (x_px[a] - column)
    wc = (x_px[a] - column) * (y_px[b] - row) - (y_px[a] - row) * (x_px[b] - column)
    turn = np.float32(-1) if wa + wb + wc < 0 else np.float32(1)
    wa, wb, wc = max(turn * wa, np.float32(0)), max(turn * wb, np.float32(0)), max(turn * wc, np.float32(0))
    total = wa + wb + wc
    wa, wb, wc = wa * inverse_depth[a], wb * inverse_depth[b], wc * inverse_depth[c]
    share = 1 / max(wa + wb + wc, np.float32(1e-30))
    return wa * share, wb * share, wc * share, total * share
