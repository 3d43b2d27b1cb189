"""Draw a layered mesh on the CPU: textured layers over the background, front to back, without any network.

A frame is drawn in two steps, both on all cores. First every layer is rasterized separately, to find the triangles
through which each pixel's ray enters and leaves the layer. As in the renderer of the networks, a ray sees only the
nearest point of a layer. Then each pixel samples the textures of its layers from the outermost inwards and composites

    rgb = sum_l c_l prod_{k<l} (1 - a_k) + background prod_k (1 - a_k),       c premultiplied by a,

until the transmittance is almost 0. The renderer of the networks finds a manifold only if one of its samples along the
ray lies inside the manifold. Near the edge of a layer, many rays are inside for less than the distance between two
samples, and the renderer does not show the layer there; this player does not show it, either.

All loops are compiled by numba and run in the threads of :mod:`anifacegan.runtime.cpu`. Matrix products of numpy or
PyTorch are avoided, because their threads keep the cores busy for milliseconds after a product.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, no_type_check

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from anifacegan.avatars.layered_mesh import LayeredMesh, Pose
from anifacegan.geometry.cameras import orbit_rotation
from anifacegan.geometry.rasterization.rasterizer import corner_shares, draw_triangles
from anifacegan.rendering.frame import RenderedImage
from anifacegan.runtime.compiled import kernel
from anifacegan.runtime.cpu import on_all_cores

LEAST_TRANSMITTANCE = 1 / 1024
"""When the transmittance of a ray is smaller than this, everything farther along the ray is skipped."""
LEAST_DEPTH = np.float32(1e-3)
"""Nothing nearer to the camera than this is drawn; depth along the viewing axis, world units."""
BLOCK_VERTICES, BLOCK_ROWS = 2**14, 16
"""Number of vertices that a core projects at a time, and number of image rows that a core composites at a time."""


def play(layered_mesh: LayeredMesh, pose: Pose, *, yaw: float, pitch: float, size: int) -> RenderedImage:
    """Draw one view of a layered mesh with its vertices at ``pose``, an image of ``size`` x ``size`` pixels.

    Angles are radians from frontal; at positive yaw the face turns to the image's right, at positive pitch it looks
    down.
    """
    view = View(yaw=yaw, pitch=pitch, size=size, fov_deg=layered_mesh.ray_sampling.fov_deg)
    planes, _ = _draw_view(layered_mesh, pose, view, marks_visible=False)
    image = torch.from_numpy(planes)
    return RenderedImage(rgb=image[:3], foreground=image[3:4], foreground_rgb=image[4:7], depth=image[7:])


def visible_triangles(
    layered_mesh: LayeredMesh, pose: Pose, *, yaw: float, pitch: float, size: int
) -> Bool[np.ndarray, "2 triangle"]:
    """Mark, row 0, the triangles that are visible in a view, and, row 1, those through which rays leave a visible
    layer.

    ``pose`` are the vertices with an expression; angles are radians from frontal, ``size`` is pixels.
    """
    view = View(yaw=yaw, pitch=pitch, size=size, fov_deg=layered_mesh.ray_sampling.fov_deg)
    return _draw_view(layered_mesh, pose, view, marks_visible=True)[1]


def entered_triangles(
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    layer_starts: Int[np.ndarray, "layer_and_one"],
    view: "View",
) -> Int[np.ndarray, "layer size size"]:
    """Return the index of the triangle that each pixel's ray meets first in each layer of a mesh; -1 if it meets none.

    ``layer_starts`` are the indices of the layers' first triangles and the number of triangles; ``view`` is the camera.
    """
    drawn = _rasterize(vertices, triangles, layer_starts, view)
    entered = drawn.maps[0]
    layer, row, column = (entered >= 0).nonzero()
    found = np.full_like(entered, -1)
    found[layer, row, column] = drawn.order[layer_starts[layer] + entered[layer, row, column]]
    return found


@dataclass(frozen=True, kw_only=True)
class View:
    """A camera of the generator, which looks at the origin from a distance of 1 world unit."""

    yaw: float
    """Yaw in radians from frontal."""
    pitch: float
    """Pitch in radians from frontal."""
    size: int
    """Height and width of the image, pixels."""
    fov_deg: float
    """Angle between the centres of the outermost pixels, degrees."""

    @cached_property
    def origin_and_axes(self) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3 3"]]:
        """Position of the camera in world units, and its axes (columns: right, up, backward)."""
        angles = torch.tensor([[self.pitch, self.yaw]], dtype=torch.float64)
        origin, axes = orbit_rotation(yaw=angles[:, 1], pitch=angles[:, 0])
        return origin[0].numpy(), axes[0].numpy()

    @property
    def tangent(self) -> float:
        """Tangent of half the field of view."""
        return math.tan(math.radians(self.fov_deg / 2))


class _Rasterized(NamedTuple):
    """All layers of a view, each rasterized separately."""

    x_px: Float[np.ndarray, "vertex"]
    y_px: Float[np.ndarray, "vertex"]
    inverse_depth: Float[np.ndarray, "vertex"]
    """1 / depth of each vertex along the viewing axis; 0 if it is too near or behind the camera."""
    order: Int[np.ndarray, "triangle"]
    """Index of each triangle in the mesh, layer by layer; in each layer, triangles whose outside faces the camera come
    first."""
    ends: Int[np.ndarray, "layer"]
    """Position in ``order`` after the last triangle of each layer whose outside faces the camera."""
    maps: Int[np.ndarray, "2 layer size size"]
    """Triangles through which each pixel's ray enters (0) and leaves (1) each layer, or -1: positions in the layer's
    part of ``order``, counted from its first triangle that faces the camera (0) or faces away from it (1)."""


class _Surface(NamedTuple):
    """Triangles and textures of a posed layered mesh."""

    triangles: Int[np.ndarray, "triangle 3"]
    layer_starts: Int[np.ndarray, "layer_and_one"]
    texels: Float[np.ndarray, "vertex 2"]
    textures: np.ndarray
    background: np.ndarray
    background_reach: np.float32


class _PixelRays(NamedTuple):
    """The rays of a view, and the range along the rays in which something is visible; world units."""

    origin: Float[np.ndarray, "3"]
    axes: Float[np.ndarray, "3 3"]
    tangent: np.float32
    near: np.float32
    far: np.float32
    spacing: np.float32
    plane_z: np.float32


def _rasterize(
    vertices: np.ndarray, triangles: np.ndarray, layer_starts: np.ndarray, view: View
) -> _Rasterized:
    x_px, y_px, inverse_depth = _projected(vertices, view)
    order, ends = np.empty(len(triangles), np.int32), np.empty(len(layer_starts) - 1, np.int32)
    maps = np.full((2, len(ends), view.size, view.size), -1, np.int32)

    def draw(layer: int) -> None:
        _order_by_facing(x_px, y_px, triangles, layer_starts, layer, order, ends)
        _draw_layer(x_px, y_px, inverse_depth, triangles, order, layer_starts, ends, layer, maps)

    on_all_cores(range(len(ends)), draw)
    return _Rasterized(x_px, y_px, inverse_depth, order, ends, maps)


def _draw_view(
    layered_mesh: LayeredMesh, pose: Pose, view: View, marks_visible: bool
) -> tuple[Float[np.ndarray, "8 size size"], Bool[np.ndarray, "2 marked"]]:
    """Return the eight planes of an image and, if ``marks_visible``, which triangles are visible."""
    sampling, triangles = layered_mesh.ray_sampling, layered_mesh.triangles
    drawn = _rasterize(pose.vertices, triangles, layered_mesh.layer_starts, view)
    planes = np.empty((8, view.size, view.size), np.float32)
    visible = np.zeros((2, len(triangles) if marks_visible else 0), np.bool_)
    surface = _Surface(
        triangles, layered_mesh.layer_starts, pose.texels, layered_mesh.textures, layered_mesh.background,
        np.float32(layered_mesh.background_reach),
    )  # fmt: skip
    spacing = (sampling.far - sampling.near) / (sampling.samples - 1)
    limits = (
        np.float32(x) for x in (view.tangent, sampling.near, sampling.far, spacing, sampling.background_z)
    )
    rays = _PixelRays(*view.origin_and_axes, *limits)
    on_all_cores(
        range(0, view.size, BLOCK_ROWS),
        lambda row: _composite(drawn, surface, rays, row, min(row + BLOCK_ROWS, view.size), planes, visible),
    )
    return planes, visible


def _projected(
    vertices: Float[np.ndarray, "vertex 3"], view: View
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x and y (pixels, integers at pixel centres) and the inverse depth along the viewing axis of each vertex,
    float32."""
    origin, axes = view.origin_and_axes
    rotation, translation = axes.astype(np.float32), (origin @ axes).astype(np.float32)
    half = np.float32((view.size - 1) / 2)
    focal = np.float32(half / view.tangent)
    projected = np.empty((3, len(vertices)), np.float32)
    blocks = [slice(first, first + BLOCK_VERTICES) for first in range(0, len(vertices), BLOCK_VERTICES)]
    on_all_cores(
        blocks,
        lambda block: _project(vertices[block], rotation, translation, focal, half, projected[:, block]),
    )
    return projected[0], projected[1], projected[2]


@kernel(nogil=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _project(vertices, rotation, translation, focal, half, projected):
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
def _order_by_facing(x_px, y_px, triangles, layer_starts, layer, order, ends):
    """Write a layer's triangles to its part of ``order``, first those whose outside faces the camera, and write the
    position after the last of these to ``ends``."""
    front, back = layer_starts[layer], layer_starts[layer + 1]
    for t in range(layer_starts[layer], layer_starts[layer + 1]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        area = (x_px[b] - x_px[a]) * (y_px[c] - y_px[a]) - (y_px[b] - y_px[a]) * (x_px[c] - x_px[a])
        if area < 0:  # y runs down: seen from outside
            order[front] = t
            front += 1
        else:
            back -= 1
            order[back] = t
    ends[layer] = front


@kernel(nogil=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _draw_layer(x_px, y_px, inverse_depth, triangles, order, layer_starts, ends, layer, maps):
    """Rasterize a layer's triangles that face the camera (0) and those that face away from it (1)."""
    for side in range(2):
        first, last = (
            (layer_starts[layer], ends[layer]) if side == 0 else (ends[layer], layer_starts[layer + 1])
        )
        nearest = np.zeros(maps.shape[2:], np.float32)
        draw_triangles(x_px, y_px, inverse_depth, triangles[order[first:last]], maps[side, layer], nearest)


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
def _composite(drawn, surface, rays, first_row, end_row, planes, visible):
    """Composite some rows of an image: rgb, opacity, premultiplied foreground and depth, one plane each."""
    x_px, y_px, inverse_depth = drawn.x_px, drawn.y_px, drawn.inverse_depth
    triangles, texels, background = surface.triangles, surface.texels, surface.background
    origin, axes = rays.origin, rays.axes
    _, layers, size, _ = drawn.maps.shape
    _, texture_height, texture_width, _ = surface.textures.shape
    background_side = background.shape[0]
    half = np.float32((size - 1) / 2)
    for row in range(first_row, end_row):
        dy = rays.tangent * (1 - row / half)
        for column in range(size):
            dx = rays.tangent * (column / half - 1)
            length = math.sqrt(dx * dx + dy * dy + 1)  # of the ray between depths 0 and 1
            along_x = axes[0, 0] * dx + axes[0, 1] * dy - axes[0, 2]
            along_y = axes[1, 0] * dx + axes[1, 1] * dy - axes[1, 2]
            along_z = axes[2, 0] * dx + axes[2, 1] * dy - axes[2, 2]
            to_plane = (rays.plane_z - origin[2]) / along_z  # depth along the viewing axis
            transmittance = np.float32(1)
            red = green = blue = distance = np.float32(0)
            for layer in range(layers):
                position = drawn.maps[0, layer, row, column]
                if position < 0:
                    continue
                t = drawn.order[surface.layer_starts[layer] + position]
                a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                wa, wb, wc, depth = corner_shares(x_px, y_px, inverse_depth, a, b, c, column, row)
                enters = depth * length
                if enters < rays.near or enters > rays.far or depth > to_plane:
                    continue
                position, t_back = drawn.maps[1, layer, row, column], -1
                if position >= 0:
                    t_back = drawn.order[drawn.ends[layer] + position]
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
            planes[3, row, column] = 1 - transmittance
            planes[4, row, column], planes[5, row, column], planes[6, row, column] = red, green, blue
            planes[7, row, column] = distance + transmittance * to_plane * length
            if transmittance >= LEAST_TRANSMITTANCE:
                x, y = origin[0] + to_plane * along_x, origin[1] + to_plane * along_y
                u = (x / surface.background_reach + 1) / 2 * (background_side - 1)
                v = (1 - y / surface.background_reach) / 2 * (background_side - 1)
                i, j, weights = _bilinear_weights(u, v, background_side, background_side)
                factor = transmittance / 255
                red += factor * _interpolate(background, i, j, weights, 0)
                green += factor * _interpolate(background, i, j, weights, 1)
                blue += factor * _interpolate(background, i, j, weights, 2)
            planes[0, row, column], planes[1, row, column], planes[2, row, column] = red, green, blue
