"""Plays a layered avatar on the CPU: textured sheets over the background, front to back, without any network.

Two passes over a frame, on all cores. First every sheet is drawn by itself into z-buffers, where a ray enters it and
where it leaves it again: a ray sees the nearest point of a sheet, as in the adaptive renderer. Then every pixel goes
through its sheets from the outermost inwards, reads their textures and blends, until no light is left:

    rgb = sum_l c_l prod_{k<l} (1 - a_k) + background prod_k (1 - a_k),       c premultiplied by a.

The adaptive renderer finds a manifold only if one of its samples along the ray is inside. At the edge of a sheet rays are
inside for less than a sample's distance, and many miss it; so they do here.

All loops are numba's, in the threads of :mod:`anifacegan.cores`. Products of numpy and PyTorch are kept out: threads of
theirs wait for more work for milliseconds, awake, on the cores that this needs.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from anifacegan.avatars.layered_mesh import LayeredMesh, Pose
from anifacegan.geometry.cameras import orbit_rotation
from anifacegan.geometry.rasterization.rasterizer import corner_shares, draw_triangles
from anifacegan.rendering.frame import RenderedImage
from anifacegan.runtime.compiled import kernel
from anifacegan.runtime.cpu import on_all_cores

DARK = 1 / 1024
"""Light that may be lost: what is behind it is not looked at."""
LEAST_DEPTH = np.float32(1e-3)
"""Along the viewing axis, world units; nothing nearer to the camera is drawn."""
VERTICES, ROWS = 2**14, 16
"""That a core projects, and rows of an image that it blends, at a time."""


def play(avatar: LayeredMesh, pose: Pose, *, yaw: float, pitch: float, size: int) -> RenderedImage:
    """One view of an avatar with its vertices where an expression has them (:meth:`LayeredMesh.posed`).

    Angles are radians from frontal, with the signs of :meth:`anifacegan.library.Face.image`.
    """
    planes, _ = _drawn(avatar, pose, yaw=yaw, pitch=pitch, size=size, notes_seen=False)
    image = torch.from_numpy(planes)
    return RenderedImage(rgb=image[:3], foreground=image[3:4], foreground_rgb=image[4:7], depth=image[7:])


def seen_triangles(
    avatar: LayeredMesh, pose: Pose, *, yaw: float, pitch: float, size: int
) -> Bool[np.ndarray, "2 triangle"]:
    """Triangles that reach the eye in some pixel of a view (0), and those where rays leave these sheets again (1)."""
    return _drawn(avatar, pose, yaw=yaw, pitch=pitch, size=size, notes_seen=True)[1]


def entered_triangles(
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    starts: Int[np.ndarray, "layer_and_one"],
    view: "View",
) -> Int[np.ndarray, "layer size size"]:
    """The triangle of each sheet that the ray of each pixel meets first, -1 where there is none."""
    layers = _draw(vertices, triangles, starts, view)
    entered = layers.maps[0]
    layer, row, column = (entered >= 0).nonzero()
    found = np.full_like(entered, -1)
    found[layer, row, column] = layers.facing[starts[layer] + entered[layer, row, column]]
    return found


@dataclass(frozen=True, kw_only=True)
class View:
    """A camera of the generator: radians from frontal, pixels, and the field of view over them."""

    yaw: float
    pitch: float
    size: int
    fov_deg: float

    @cached_property
    def origin_and_axes(self) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3 3"]]:
        """Where it is, and its axes (columns: right, up, backward), world units."""
        angles = torch.tensor([[self.pitch, self.yaw]], dtype=torch.float64)
        origin, axes = orbit_rotation(yaw=angles[:, 1], pitch=angles[:, 0])
        return origin[0].numpy(), axes[0].numpy()

    @property
    def tangent(self) -> float:
        """Of half the field of view."""
        return math.tan(math.radians(self.fov_deg / 2))


@dataclass(frozen=True)
class _Layers:
    """Every sheet drawn by itself."""

    x_px: Float[np.ndarray, "vertex"]
    y_px: Float[np.ndarray, "vertex"]
    inverse_depth: Float[np.ndarray, "vertex"]
    facing: Int[np.ndarray, "triangle"]
    ends: Int[np.ndarray, "layer"]
    maps: Int[np.ndarray, "2 layer size size"]


def _draw(vertices: np.ndarray, triangles: np.ndarray, starts: np.ndarray, view: View) -> _Layers:
    x_px, y_px, inverse_depth = _projected(vertices, view)
    facing, ends = np.empty(len(triangles), np.int32), np.empty(len(starts) - 1, np.int32)
    maps = np.full((2, len(ends), view.size, view.size), -1, np.int32)

    def draw(layer: int) -> None:
        _by_facing(x_px, y_px, triangles, starts, layer, facing, ends)
        _draw_layer(x_px, y_px, inverse_depth, triangles, facing, starts, ends, layer, maps)

    on_all_cores(range(len(ends)), draw)
    return _Layers(x_px, y_px, inverse_depth, facing, ends, maps)


def _drawn(
    avatar: LayeredMesh,
    pose: Pose,
    *,
    yaw: float,
    pitch: float,
    size: int,
    notes_seen: bool,
) -> tuple[Float[np.ndarray, "8 size size"], Bool[np.ndarray, "2 noted"]]:
    ray_sampling = avatar.ray_sampling
    view = View(yaw=yaw, pitch=pitch, size=size, fov_deg=ray_sampling.fov_deg)
    layers = _draw(pose.vertices, avatar.triangles, avatar.starts, view)
    planes = np.empty((8, size, size), np.float32)
    seen = np.zeros((2, len(avatar.triangles) if notes_seen else 0), np.bool_)
    spacing = (ray_sampling.far - ray_sampling.near) / (ray_sampling.samples - 1)
    limits = np.array(
        [ray_sampling.near, ray_sampling.far, spacing, ray_sampling.background_z, avatar.background_reach],
        np.float32,
    )

    def blend(row: int) -> None:
        _blend(
            layers.x_px, layers.y_px, layers.inverse_depth, avatar.triangles, layers.facing, avatar.starts,
            layers.ends, layers.maps, pose.texels, avatar.textures, avatar.background, *view.origin_and_axes,
            view.tangent, limits, row, min(row + ROWS, size), planes, seen,
        )  # fmt: skip

    on_all_cores(range(0, size, ROWS), blend)
    return planes, seen


def _projected(
    vertices: Float[np.ndarray, "vertex 3"], view: View
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Index pixels and inverse depth along the viewing axis, float32."""
    origin, axes = view.origin_and_axes
    turn, move = axes.astype(np.float32), (origin @ axes).astype(np.float32)
    half = np.float32((view.size - 1) / 2)
    focal = np.float32(half / view.tangent)
    projected = np.empty((3, len(vertices)), np.float32)

    def project(first: int) -> None:
        block = slice(first, first + VERTICES)
        _project(vertices[block], turn, move, focal, half, projected[:, block])

    on_all_cores(range(0, len(vertices), VERTICES), project)
    return projected[0], projected[1], projected[2]


@kernel(nogil=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _project(vertices, turn, move, focal, half, projected):
    """:meth:`anifacegan.cameras.Camera.pixels` in float32, compiled. Vertices beside or behind the camera get inverse
    depth 0, and no triangle that has one is drawn."""
    for v in range(len(vertices)):
        x, y, z = vertices[v, 0], vertices[v, 1], vertices[v, 2]
        right = x * turn[0, 0] + y * turn[1, 0] + z * turn[2, 0] - move[0]
        up = x * turn[0, 1] + y * turn[1, 1] + z * turn[2, 1] - move[1]
        backward = x * turn[0, 2] + y * turn[1, 2] + z * turn[2, 2] - move[2]
        inverse = np.float32(-1) / backward if backward < -LEAST_DEPTH else np.float32(0)
        projected[0, v] = half + focal * right * inverse
        projected[1, v] = half - focal * up * inverse
        projected[2, v] = inverse


@kernel(nogil=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _by_facing(x_px, y_px, triangles, starts, layer, facing, ends):
    """Puts a layer's triangles into ``facing``, where it was: those that turn their outside to the camera first. These
    end at ``ends``.
    """
    front, back = starts[layer], starts[layer + 1]
    for t in range(starts[layer], starts[layer + 1]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        area = (x_px[b] - x_px[a]) * (y_px[c] - y_px[a]) - (y_px[b] - y_px[a]) * (x_px[c] - x_px[a])
        if area < 0:  # y runs down: seen from outside
            facing[front] = t
            front += 1
        else:
            back -= 1
            facing[back] = t
    ends[layer] = front


@kernel(nogil=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _draw_layer(x_px, y_px, inverse_depth, triangles, facing, starts, ends, layer, maps):
    """The triangles of a layer where each pixel's ray enters (0) and leaves (1) it, as places in that part of
    ``facing``.
    """
    for way in range(2):
        first, last = (starts[layer], ends[layer]) if way == 0 else (ends[layer], starts[layer + 1])
        nearest = np.zeros(maps.shape[2:], np.float32)
        draw_triangles(x_px, y_px, inverse_depth, triangles[facing[first:last]], maps[way, layer], nearest)


@kernel(nogil=True, fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _blend(
    x_px, y_px, inverse_depth, triangles, facing, starts, ends, maps, texels, textures, background,
    origin, axes, tangent, limits, first_row, end_row, planes, seen,
):  # fmt: skip
    """Colours of some rows: rgb, opacity, premultiplied foreground and depth, one plane each."""
    _, layers, size, _ = maps.shape
    texture_height, texture_width, back_side = textures.shape[1], textures.shape[2], background.shape[0]
    near, far, spacing, plane_z, reach = limits
    half = np.float32((size - 1) / 2)
    for row in range(first_row, end_row):
        dy = np.float32(tangent) * (1 - row / half)
        for column in range(size):
            dx = np.float32(tangent) * (column / half - 1)
            length = math.sqrt(dx * dx + dy * dy + 1)  # of the ray between depths 0 and 1
            along_x = axes[0, 0] * dx + axes[0, 1] * dy - axes[0, 2]
            along_y = axes[1, 0] * dx + axes[1, 1] * dy - axes[1, 2]
            along_z = axes[2, 0] * dx + axes[2, 1] * dy - axes[2, 2]
            to_plane = (plane_z - origin[2]) / along_z  # depth along the viewing axis
            light = np.float32(1)
            red = green = blue = distance = np.float32(0)
            for layer in range(layers):
                place = maps[0, layer, row, column]
                if place < 0:
                    continue
                t = facing[starts[layer] + place]
                a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                wa, wb, wc, depth = corner_shares(x_px, y_px, inverse_depth, a, b, c, column, row)
                enters = depth * length
                if enters < near or enters > far or depth > to_plane:
                    continue
                place, way_out = maps[1, layer, row, column], -1
                if place >= 0:
                    way_out = facing[ends[layer] + place]
                    d, e, f = triangles[way_out, 0], triangles[way_out, 1], triangles[way_out, 2]
                    leaves = length * corner_shares(x_px, y_px, inverse_depth, d, e, f, column, row)[3]
                    if leaves > enters and (leaves - near) // spacing == (enters - near) // spacing:
                        continue
                u = wa * texels[a, 0] + wb * texels[b, 0] + wc * texels[c, 0]
                v = wa * texels[a, 1] + wb * texels[b, 1] + wc * texels[c, 1]
                u, v = min(max(u, 0), texture_width - 1), min(max(v, 0), texture_height - 1)
                i, j = min(int(u), texture_width - 2), min(int(v), texture_height - 2)
                u, v = u - i, v - j
                w00, w01, w10, w11 = (1 - u) * (1 - v), u * (1 - v), (1 - u) * v, u * v
                texture = textures[layer]
                opacity = (
                    w00 * texture[j, i, 3] + w01 * texture[j, i + 1, 3]
                    + w10 * texture[j + 1, i, 3] + w11 * texture[j + 1, i + 1, 3]
                ) / 255  # fmt: skip
                if opacity <= 0:
                    continue
                factor = light / 255
                red += factor * (
                    w00 * texture[j, i, 0] + w01 * texture[j, i + 1, 0]
                    + w10 * texture[j + 1, i, 0] + w11 * texture[j + 1, i + 1, 0]
                )  # fmt: skip
                green += factor * (
                    w00 * texture[j, i, 1] + w01 * texture[j, i + 1, 1]
                    + w10 * texture[j + 1, i, 1] + w11 * texture[j + 1, i + 1, 1]
                )  # fmt: skip
                blue += factor * (
                    w00 * texture[j, i, 2] + w01 * texture[j, i + 1, 2]
                    + w10 * texture[j + 1, i, 2] + w11 * texture[j + 1, i + 1, 2]
                )  # fmt: skip
                distance += light * opacity * enters
                if seen.shape[1] and light * opacity > DARK:
                    seen[0, t] = True
                    if way_out >= 0:
                        seen[1, way_out] = True
                light *= 1 - opacity
                if light < DARK:
                    break
            planes[3, row, column] = 1 - light
            planes[4, row, column], planes[5, row, column], planes[6, row, column] = red, green, blue
            planes[7, row, column] = distance + light * to_plane * length
            if light >= DARK:
                x, y = origin[0] + to_plane * along_x, origin[1] + to_plane * along_y
                u = min(max((x / reach + 1) / 2 * (back_side - 1), 0), back_side - 1)
                v = min(max((1 - y / reach) / 2 * (back_side - 1), 0), back_side - 1)
                i, j = min(int(u), back_side - 2), min(int(v), back_side - 2)
                u, v = u - i, v - j
                factor = light / 255
                red += factor * (
                    (1 - v) * ((1 - u) * background[j, i, 0] + u * background[j, i + 1, 0])
                    + v * ((1 - u) * background[j + 1, i, 0] + u * background[j + 1, i + 1, 0])
                )
                green += factor * (
                    (1 - v) * ((1 - u) * background[j, i, 1] + u * background[j, i + 1, 1])
                    + v * ((1 - u) * background[j + 1, i, 1] + u * background[j + 1, i + 1, 1])
                )
                blue += factor * (
                    (1 - v) * ((1 - u) * background[j, i, 2] + u * background[j, i + 1, 2])
                    + v * ((1 - u) * background[j + 1, i, 2] + u * background[j + 1, i + 1, 2])
                )
            planes[0, row, column], planes[1, row, column], planes[2, row, column] = red, green, blue
