"""Compiled loops of :mod:`anifacegan.avatars.players.numba_player`: projecting, rasterizing and compositing layers."""

import math
from typing import no_type_check

import numpy as np

from anifacegan.geometry.rasterization.numba_kernels import (
    BLOCK,
    corner_shares,
    draw_triangles,
    draw_triangles_at,
)
from anifacegan.runtime.compiled import kernel

LEAST_TRANSMITTANCE = 1 / 1024
"""When the transmittance of a ray is smaller than this, everything farther along the ray is skipped."""
LEAST_DEPTH = np.float32(1e-3)
"""Nothing nearer to the camera than this is drawn; depth along the viewing axis, world units."""


@kernel(nogil=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def project(vertices, rotation, translation, focal, half, projected):
    """Compute :meth:`anifacegan.geometry.cameras.Camera.pixels` in float32.

    Vertices too near or behind the camera get inverse depth 0; triangles with such a vertex are not drawn.
    """
    for v in range(len(vertices)):
        x, y, z = vertices[v, 0], vertices[v, 1], vertices[v, 2]
        right = x * rotation[0, 0] + y * rotation[1, 0] + z * rotation[2, 0] - translation[0]
        up = x * rotation[0, 1] + y * rotation[1, 1] + z * rotation[2, 1] - translation[1]
        backward = x * rotation[0, 2] + y * rotation[1, 2] + z * rotation[2, 2] - translation[2]
        inverse = np.float32(-1) / backward if backward < -LEAST_DEPTH else np.float32(0)
        projected[0, v] = half + focal * right * inverse
        projected[1, v] = half - focal * up * inverse
        projected[2, v] = inverse


@kernel(nogil=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def order_by_facing(x_px, y_px, triangles, layer_starts, layer, order, firsts, lasts, boxes):
    """Write a layer's triangles to its part of ``order``, first those whose outside faces the camera (0), then those
    that face away from it (1); write where they begin and end to ``firsts`` and ``lasts`` (2, layer).

    Enlarge ``boxes`` (triangle / BLOCK + layer, 4), least and largest x, then y, to the triangles; an index has the
    layer added, so that no two layers share a box. Without boxes nothing is enlarged.
    """
    front, back = layer_starts[layer], layer_starts[layer + 1]
    for t in range(layer_starts[layer], layer_starts[layer + 1]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        if len(boxes):
            box = boxes[t // BLOCK + layer]
            box[0], box[1] = min(box[0], x_px[a], x_px[b], x_px[c]), max(box[1], x_px[a], x_px[b], x_px[c])
            box[2], box[3] = min(box[2], y_px[a], y_px[b], y_px[c]), max(box[3], y_px[a], y_px[b], y_px[c])
        area = (x_px[b] - x_px[a]) * (y_px[c] - y_px[a]) - (y_px[b] - y_px[a]) * (x_px[c] - x_px[a])
        if area < 0:  # y runs down: seen from outside
            order[front] = t
            front += 1
        else:
            back -= 1
            order[back] = t
    firsts[0, layer], lasts[0, layer] = layer_starts[layer], front
    firsts[1, layer], lasts[1, layer] = front, layer_starts[layer + 1]


@kernel(nogil=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def draw_layer(x_px, y_px, inverse_depth, triangles, order, firsts, lasts, layer, maps):
    """Rasterize a layer's triangles that face the camera (0) and those that face away from it (1): in ``order``, those
    from ``firsts`` to ``lasts`` (2, layer). ``maps`` (2, layer, H, W).
    """
    for side in range(2):
        chosen = triangles[order[firsts[side, layer] : lasts[side, layer]]]
        nearest = np.zeros(maps.shape[2:], np.float32)
        draw_triangles(x_px, y_px, inverse_depth, chosen, maps[side, layer], nearest)


@kernel(nogil=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def draw_layer_at(x_px, y_px, inverse_depth, triangles, order, firsts, lasts, layer, near, number, maps):
    """Rasterize a layer as :func:`draw_layer` at some pixels only: ``number`` has their numbers, and ``near`` says
    which boxes of :func:`order_by_facing` may touch one; ``maps`` is (2, layer, wanted).
    """
    for side in range(2):
        chosen = order[firsts[side, layer] : lasts[side, layer]]
        nearest = np.zeros(maps.shape[2], np.float32)
        draw_triangles_at(
            x_px, y_px, inverse_depth, triangles, chosen, near[layer:], number, maps[side, layer], nearest
        )


@kernel(nogil=True, fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _bilinear_weights(u, v, width, height):
    """Return the lower column and row of the four texels around (u, v), and the four weights; outside of the texture
    its edge is repeated."""
    u, v = min(max(u, 0), width - 1), min(max(v, 0), height - 1)
    i, j = min(int(u), width - 2), min(int(v), height - 2)
    u, v = u - i, v - j
    return i, j, ((1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v)


@kernel(nogil=True, fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _interpolate(texture, i, j, weights, channel):
    """Return the weighted sum of four texels in one channel."""
    w00, w01, w10, w11 = weights
    return (
        w00 * texture[j, i, channel] + w01 * texture[j, i + 1, channel]
        + w10 * texture[j + 1, i, channel] + w11 * texture[j + 1, i + 1, channel]
    )  # fmt: skip


@kernel(nogil=True, fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def composite(drawn, surface, rays, first_row, end_row, planes, visible):
    """Composite the wanted pixels of some rows of an image into ``planes`` (8, wanted): rgb, opacity, premultiplied
    foreground and depth. ``drawn.number`` (H, W) has the number of each wanted pixel, and -1 elsewhere."""
    x_px, y_px, inverse_depth = drawn.x_px, drawn.y_px, drawn.inverse_depth
    triangles, texels, background = surface.triangles, surface.texels, surface.background
    origin, axes = rays.origin, rays.axes
    layers, size = drawn.maps.shape[1], len(drawn.number)
    _, texture_height, texture_width, _ = surface.textures.shape
    background_side = background.shape[0]
    half = np.float32((size - 1) / 2)
    for row in range(first_row, end_row):
        dy = rays.tangent * (1 - row / half)
        for column in range(size):
            pixel = drawn.number[row, column]
            if pixel < 0:
                continue
            dx = rays.tangent * (column / half - 1)
            length = math.sqrt(dx * dx + dy * dy + 1)  # of the ray between depths 0 and 1
            along_x = axes[0, 0] * dx + axes[0, 1] * dy - axes[0, 2]
            along_y = axes[1, 0] * dx + axes[1, 1] * dy - axes[1, 2]
            along_z = axes[2, 0] * dx + axes[2, 1] * dy - axes[2, 2]
            to_plane = (rays.plane_z - origin[2]) / along_z  # depth along the viewing axis
            transmittance = np.float32(1)
            red = green = blue = distance = np.float32(0)
            for layer in range(layers):
                position = drawn.maps[0, layer, pixel]
                if position < 0:
                    continue
                t = drawn.order[drawn.firsts[0, layer] + position]
                a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                wa, wb, wc, depth = corner_shares(x_px, y_px, inverse_depth, a, b, c, column, row)
                enters = depth * length
                if enters < rays.near or enters > rays.far or depth > to_plane:
                    continue
                position, t_back = drawn.maps[1, layer, pixel], -1
                if position >= 0:
                    t_back = drawn.order[drawn.firsts[1, layer] + position]
                    d, e, f = triangles[t_back, 0], triangles[t_back, 1], triangles[t_back, 2]
                    leaves = length * corner_shares(x_px, y_px, inverse_depth, d, e, f, column, row)[3]
                    if leaves > enters and (
                        (leaves - rays.near) // rays.spacing == (enters - rays.near) // rays.spacing
                    ):
                        continue
                u = wa * texels[a, 0] + wb * texels[b, 0] + wc * texels[c, 0]
                v = wa * texels[a, 1] + wb * texels[b, 1] + wc * texels[c, 1]
                i, j, weights = _bilinear_weights(u, v, texture_width, texture_height)
                texture = surface.textures[layer]
                opacity = _interpolate(texture, i, j, weights, 3) / 255
                if opacity <= 0:
                    continue
                factor = transmittance / 255
                red += factor * _interpolate(texture, i, j, weights, 0)
                green += factor * _interpolate(texture, i, j, weights, 1)
                blue += factor * _interpolate(texture, i, j, weights, 2)
                distance += transmittance * opacity * enters
                if visible.shape[1] and transmittance * opacity > LEAST_TRANSMITTANCE:
                    visible[0, t] = True
                    if t_back >= 0:
                        visible[1, t_back] = True
                transmittance *= 1 - opacity
                if transmittance < LEAST_TRANSMITTANCE:
                    break
            planes[3, pixel] = 1 - transmittance
            planes[4, pixel], planes[5, pixel], planes[6, pixel] = red, green, blue
            planes[7, pixel] = distance + transmittance * to_plane * length
            if transmittance >= LEAST_TRANSMITTANCE:
                x, y = origin[0] + to_plane * along_x, origin[1] + to_plane * along_y
                u = (x / surface.background_reach + 1) / 2 * (background_side - 1)
                v = (1 - y / surface.background_reach) / 2 * (background_side - 1)
                i, j, weights = _bilinear_weights(u, v, background_side, background_side)
                factor = transmittance / 255
                red += factor * _interpolate(background, i, j, weights, 0)
                green += factor * _interpolate(background, i, j, weights, 1)
                blue += factor * _interpolate(background, i, j, weights, 2)
            planes[0, pixel], planes[1, pixel], planes[2, pixel] = red, green, blue
