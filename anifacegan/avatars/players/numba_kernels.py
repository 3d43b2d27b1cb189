"""Compiled loops of :mod:`anifacegan.avatars.players.numba_player`: projecting, rasterizing and compositing layers.

A core draws some rows of an image, layer by layer from the outermost inwards. Blocks of triangles that touch only
pixels behind which nothing is visible any more are skipped, so the inner layers of an opaque face cost little, and
transparent triangles are drawn only where they hide a part of their layer.

Indices of the innermost loops are unsigned: numba asks of every signed one whether it is negative, and counts from the
array's end then.
"""

import math
from typing import no_type_check

import numpy as np

from anifacegan.avatars.players.texture_kernels import bilinear_weights, interpolate
from anifacegan.geometry.rasterization.numba_kernels import corner_shares, corners_of
from anifacegan.geometry.rasterization.torch_backend import LARGEST_COORDINATE_PX, SUBPIXEL
from anifacegan.runtime.compiled import kernel

LEAST_TRANSMITTANCE = 1 / 1024
"""When the transmittance of a ray is smaller than this, everything farther along the ray is skipped."""
LEAST_SHOWING = 1 / 64
"""A point whose part of a ray's light is smaller may have a blurred colour."""
LEAST_DEPTH = np.float32(1e-3)
"""Nothing nearer to the camera than this is drawn; depth along the viewing axis, world units."""
BLOCK, TILE = 16, 4
"""Number of consecutive triangles that are skipped together, and height and width, in pixels, of the tiles in which
the pixels are counted that can still see something."""
SHIFT = SUBPIXEL.bit_length() - 1
"""Coordinates of corners are whole numbers of 2^-SHIFT pixels."""
NOWHERE = np.int32(-(2**31))
"""Such a coordinate of a vertex that cannot be drawn."""


@kernel(nogil=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def project(vertices, rotation, translation, focal, half, projected, corners):
    """Compute :meth:`anifacegan.geometry.cameras.Camera.pixels` in float32, and x and y rounded to 1 / SUBPIXEL pixels
    (``corners``, (vertex, 2) integers).

    Vertices too near or behind the camera get inverse depth 0, and these and those too far aside the coordinate
    NOWHERE; triangles with such a vertex are not drawn.
    """
    for v in range(len(vertices)):
        x, y, z = vertices[v, 0], vertices[v, 1], vertices[v, 2]
        right = x * rotation[0, 0] + y * rotation[1, 0] + z * rotation[2, 0] - translation[0]
        up = x * rotation[0, 1] + y * rotation[1, 1] + z * rotation[2, 1] - translation[1]
        backward = x * rotation[0, 2] + y * rotation[1, 2] + z * rotation[2, 2] - translation[2]
        inverse = np.float32(-1) / backward if backward < -LEAST_DEPTH else np.float32(0)
        column, row = half + focal * right * inverse, half - focal * up * inverse
        projected[0, v], projected[1, v], projected[2, v] = column, row, inverse
        drawn = inverse > 0 and max(abs(column), abs(row)) < LARGEST_COORDINATE_PX  # not NaN either
        corners[v, 0] = np.int32(np.rint(column * np.float32(SUBPIXEL))) if drawn else NOWHERE
        corners[v, 1] = np.int32(np.rint(row * np.float32(SUBPIXEL))) if drawn else NOWHERE


@kernel(nogil=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def bound_blocks(corners, triangles, layer_starts, layer, boxes):
    """Write the box around each block of a layer's triangles, least x and y, then largest, to ``boxes`` (block, 4).

    The block of triangle t is number t // BLOCK + layer, so that no two layers share one.
    """
    last = layer_starts[layer + 1]
    for block in range(layer_starts[layer] // BLOCK, -(-last // BLOCK)):
        left, top, right, bottom = np.int32(2**31 - 1), np.int32(2**31 - 1), NOWHERE, NOWHERE
        for t in range(max(block * BLOCK, layer_starts[layer]), min((block + 1) * BLOCK, last)):
            a, b, c = corners_of(triangles, np.uint32(t))
            left = min(left, corners[a, 0], corners[b, 0], corners[c, 0])
            top = min(top, corners[a, 1], corners[b, 1], corners[c, 1])
            right = max(right, corners[a, 0], corners[b, 0], corners[c, 0])
            bottom = max(bottom, corners[a, 1], corners[b, 1], corners[c, 1])
        box = boxes[block + layer]
        box[0], box[1], box[2], box[3] = left, top, right, bottom


@kernel(inline="always")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _pixels_between(least, largest, first, end):
    """Return the first and the last pixel from ``first`` to before ``end`` whose centres lie between two coordinates of
    corners."""
    return max(first, -((-least) >> SHIFT)), min(end - 1, largest >> SHIFT)


@kernel(inline="always")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _owned(step_x, step_y):
    """Return 0 if pixels on an edge belong to the triangle whose edge it is, else -1: as
    :func:`anifacegan.geometry.rasterization.numba_kernels.owns_edge`, from the steps of the edge's function."""
    return np.int64((step_x > 0) | ((step_x == 0) & (step_y > 0))) - 1


@kernel(inline="always")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _any_tile(tiles, least, first_row, left, right, top, bottom):
    """Return whether one of the tiles that a box, pixels, touches has at least a value."""
    found = False
    for row in range((top - first_row) // TILE, (bottom - first_row) // TILE + 1):
        for column in range(left // TILE, right // TILE + 1):
            found |= tiles[np.uint32(row), np.uint32(column)] >= least
    return found


@kernel(nogil=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _select(scene, band, layer):
    """Write the triangles of a layer that may show something (0) or only hide something (1) to ``band.selected``, but
    for blocks of which no pixel of the rows can see anything; return their numbers."""
    scale, width, first_row = np.int64(band.scale), band.width, band.first_row
    end_row = first_row + band.maps.shape[1] // width
    first, last = scene.layer_starts[layer], scene.layer_starts[layer + 1]
    showing = hiding = 0
    for block in range(first // BLOCK, -(-last // BLOCK)):
        box = scene.boxes[block + layer]
        left, right = _pixels_between(box[0] * scale, box[2] * scale, 0, width)
        top, bottom = _pixels_between(box[1] * scale, box[3] * scale, first_row, end_row)
        if left > right or top > bottom:
            continue
        if _any_tile(band.open_in_tile, 1, first_row, left, right, top, bottom):
            for t in range(max(block * BLOCK, first), min((block + 1) * BLOCK, last)):
                is_clear = scene.is_clear[np.uint32(t)]
                band.selected[1 if is_clear else 0, hiding if is_clear else showing] = t
                hiding += is_clear
                showing += not is_clear
    return showing, hiding


@kernel(nogil=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _draw_layer(scene, band, layer):
    """Rasterize a layer's triangles in some rows, those whose outside faces the camera (0) and those that face away
    from it (1), to ``band.maps``; return the number of pixels that are met, which ``band.met`` lists.

    Pixels are met by triangles that face the camera and may show something. All others, which hide these or by which
    rays leave the layer, are drawn afterwards and in such pixels only.
    """
    corners, triangles, inverse_depth = scene.corners, scene.triangles, scene.inverse_depth
    first_row, scale, width = band.first_row, np.int64(band.scale), band.width
    end_row = first_row + band.maps.shape[1] // width
    met = 0
    counts = _select(scene, band, layer)
    number, later = counts[0], counts[1]
    for is_later in range(2):
        for k in range(number if is_later == 0 else later):
            t = np.uint32(band.selected[is_later, k])
            a, b, c = corners_of(triangles, t)
            xa, ya = corners[a, 0] * scale, corners[a, 1] * scale
            xb, yb = corners[b, 0] * scale, corners[b, 1] * scale
            xc, yc = corners[c, 0] * scale, corners[c, 1] * scale
            left, right = _pixels_between(min(xa, xb, xc), max(xa, xb, xc), 0, width)
            top, bottom = _pixels_between(min(ya, yb, yc), max(ya, yb, yc), first_row, end_row)
            area = (xb - xa) * (yc - ya) - (yb - ya) * (xc - xa)
            # One jump for all that is not drawn: processors cannot foresee which triangles of a pixel's size meet one.
            if (
                (left > right) | (top > bottom) | (area == 0)
                | (corners[a, 0] == NOWHERE) | (corners[b, 0] == NOWHERE) | (corners[c, 0] == NOWHERE)
            ):  # fmt: skip
                continue
            side = np.int64(area > 0)  # y runs down: negative if seen from outside
            if is_later == 0 and side == 1:
                band.selected[1, later] = t
                later += 1
                continue
            tiles, least = (band.open_in_tile, 1) if is_later == 0 else (band.met_in_tile, layer + 1)
            if not _any_tile(tiles, least, first_row, left, right, top, bottom):
                continue
            turn = 2 * side - 1  # so that the area is positive
            za, zb, zc = inverse_depth[a], inverse_depth[b], inverse_depth[c]
            # The edge opposite each corner: step along x, step along y, and -1 where a pixel on the edge is not ours.
            ax, ay = turn * (yb - yc), turn * (xc - xb)
            bx, by = turn * (yc - ya), turn * (xa - xc)
            cx, cy = turn * (ya - yb), turn * (xb - xa)
            own_a, own_b, own_c = _owned(ax, ay), _owned(bx, by), _owned(cx, cy)
            inverse_area = 1.0 / (turn * area)
            for row in range(top, bottom + 1):
                x, y = left << SHIFT, row << SHIFT
                wa = (x - xb) * ax + (y - yb) * ay
                wb = (x - xc) * bx + (y - yc) * by
                wc = (x - xa) * cx + (y - ya) * cy
                start = (row - first_row) * width
                for place in range(start + left, start + right + 1):
                    pixel = np.uint32(place)
                    is_inside = ((wa + own_a) | (wb + own_b) | (wc + own_c)) >= 0  # none is negative
                    is_new = band.maps[0, pixel] < 0
                    if is_inside & (band.is_open[pixel] if is_later == 0 else not is_new):
                        here = np.float32((wa * za + wb * zb + wc * zc) * inverse_area)
                        if here > band.nearest[side, pixel]:
                            band.met[met] = pixel
                            met += is_new
                            band.met_in_tile[(row - first_row) // TILE, (place - start) // TILE] = layer + 1
                            band.nearest[side, pixel] = here
                            band.maps[side, pixel] = t
                    wa += ax << SHIFT
                    wb += bx << SHIFT
                    wc += cx << SHIFT
    return met


@kernel(inline="always")
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _forget(band, pixel):
    """Prepare a pixel that was met for the next layer."""
    for side in range(2):
        band.maps[side, pixel] = -1
        band.nearest[side, pixel] = 0


@kernel(nogil=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def enter_layers(scene, band, entered):
    """Write the triangles through which the rays of some rows enter each layer to ``entered`` (layer, H, W)."""
    for layer in range(len(scene.layer_starts) - 1):
        for k in range(_draw_layer(scene, band, layer)):
            pixel = band.met[k]
            entered[layer, band.first_row + pixel // band.width, pixel % band.width] = band.maps[0, pixel]
            _forget(band, pixel)


@kernel(nogil=True, fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _start_rays(band, rays, number):
    """Set out at the pixels of some rows that are drawn: nothing is met, everything is visible."""
    width = band.width
    half = np.float32((len(number) - 1) / 2)
    for pixel in range(len(band.is_open)):
        row, column = band.first_row + pixel // width, pixel % width
        is_drawn = number[row, column] >= 0
        band.is_open[pixel] = is_drawn
        if is_drawn:
            band.open_in_tile[(row - band.first_row) // TILE, column // TILE] += 1
            dx, dy = rays.tangent * (column / half - 1), rays.tangent * (1 - row / half)
            band.length[pixel] = math.sqrt(dx * dx + dy * dy + 1)
            along_z = rays.axes[2, 0] * dx + rays.axes[2, 1] * dy - rays.axes[2, 2]
            band.to_plane[pixel] = (rays.plane_z - rays.origin[2]) / along_z
            light = band.light[pixel]
            light[0] = 1
            light[1] = light[2] = light[3] = light[4] = 0


@kernel(nogil=True, fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _composite_layer(scene, band, surface, rays, layer, count, visible):
    """Composite the ``count`` pixels of some rows that a layer meets over what lies before it."""
    x_px, y_px, inverse_depth = scene.x_px, scene.y_px, scene.inverse_depth
    triangles, texels, texture = scene.triangles, surface.texels, surface.textures[layer]
    texture_height, texture_width, _ = texture.shape
    factors = surface.factors
    width, scale = band.width, np.float32(1) / np.float32(band.scale)
    for k in range(count):
        pixel = np.uint32(band.met[k])
        t, t_back = band.maps[0, pixel], band.maps[1, pixel]
        _forget(band, pixel)
        if scene.is_clear[np.uint32(t)]:
            continue
        band_row = pixel // np.uint32(width)
        row = scale * np.float32(band.first_row + band_row)
        column = scale * np.float32(pixel - band_row * np.uint32(width))
        length, light = band.length[pixel], band.light[pixel]
        a, b, c = corners_of(triangles, np.uint32(t))
        wa, wb, wc, depth = corner_shares(x_px, y_px, inverse_depth, a, b, c, column, row)
        enters = depth * length
        if enters < rays.near or enters > rays.far or depth > band.to_plane[pixel]:
            continue
        if t_back >= 0:
            d, e, f = corners_of(triangles, np.uint32(t_back))
            leaves = length * corner_shares(x_px, y_px, inverse_depth, d, e, f, column, row)[3]
            if leaves > enters and (
                np.floor((leaves - rays.near) / rays.spacing) == np.floor((enters - rays.near) / rays.spacing)
            ):
                continue
        u = wa * texels[a, 0] + wb * texels[b, 0] + wc * texels[c, 0]
        v = wa * texels[a, 1] + wb * texels[b, 1] + wc * texels[c, 1]
        i, j, weights = bilinear_weights(u, v, texture_width, texture_height)
        opacity = interpolate(texture, i, j, weights, 3)
        if opacity <= 0:
            continue
        transmittance = light[0]
        red = interpolate(texture, i, j, weights, 0)
        green = interpolate(texture, i, j, weights, 1)
        blue = interpolate(texture, i, j, weights, 2)
        if len(factors):
            factor = wa * factors[a] + wb * factors[b] + wc * factors[c]
            red, green, blue = (
                min(factor * red, opacity),
                min(factor * green, opacity),
                min(factor * blue, opacity),
            )
        light[1] += transmittance * red
        light[2] += transmittance * green
        light[3] += transmittance * blue
        light[4] += transmittance * opacity * enters
        if visible.shape[1] and transmittance * opacity > LEAST_TRANSMITTANCE:
            visible[0, t] = True
            if t_back >= 0:
                visible[1, t_back] = True
            if transmittance * opacity > LEAST_SHOWING:
                visible[2, t] = True
        transmittance *= np.float32(1) - opacity
        light[0] = transmittance
        if transmittance < LEAST_TRANSMITTANCE:
            band.is_open[pixel] = False
            band.open_in_tile[pixel // width // TILE, pixel % width // TILE] -= 1


@kernel(nogil=True, fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def draw_rows(scene, band, surface, rays, number, planes, visible):
    """Draw the wanted pixels of some rows of an image into ``planes`` (8, wanted): rgb, opacity, premultiplied
    foreground and depth. ``number`` (H, W) has the number of each wanted pixel, and -1 elsewhere."""
    _start_rays(band, rays, number)
    for layer in range(len(scene.layer_starts) - 1):
        count = _draw_layer(scene, band, layer)
        _composite_layer(scene, band, surface, rays, layer, count, visible)
    origin, axes, background = rays.origin, rays.axes, surface.background
    side, width = len(background), band.width
    half = np.float32((len(number) - 1) / 2)
    for pixel in range(len(band.is_open)):
        row, column = band.first_row + pixel // width, pixel % width
        wanted = number[row, column]
        if wanted < 0:
            continue
        light, to_plane = band.light[pixel], band.to_plane[pixel]
        transmittance, red, green, blue = light[0], light[1], light[2], light[3]
        planes[3, wanted] = 1 - transmittance
        planes[4, wanted], planes[5, wanted], planes[6, wanted] = red, green, blue
        planes[7, wanted] = light[4] + transmittance * to_plane * band.length[pixel]
        if transmittance >= LEAST_TRANSMITTANCE:
            dx, dy = rays.tangent * (column / half - 1), rays.tangent * (1 - row / half)
            x = origin[0] + to_plane * (axes[0, 0] * dx + axes[0, 1] * dy - axes[0, 2])
            y = origin[1] + to_plane * (axes[1, 0] * dx + axes[1, 1] * dy - axes[1, 2])
            u = (x / surface.background_reach + 1) / 2 * (side - 1)
            v = (1 - y / surface.background_reach) / 2 * (side - 1)
            i, j, weights = bilinear_weights(u, v, side, side)
            red += transmittance * interpolate(background, i, j, weights, 0)
            green += transmittance * interpolate(background, i, j, weights, 1)
            blue += transmittance * interpolate(background, i, j, weights, 2)
        planes[0, wanted], planes[1, wanted], planes[2, wanted] = red, green, blue
