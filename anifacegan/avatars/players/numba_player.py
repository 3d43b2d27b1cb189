"""Draw a layered mesh on the CPU: textured layers over the background, front to back, without any network.

A frame is drawn in two steps, both on all cores. First every layer is rasterized separately, to find the triangles
through which each pixel's ray enters and leaves the layer. As in the renderer of the networks, a ray sees only the
nearest point of a layer. Then each pixel samples the textures of its layers from the outermost inwards and composites

    rgb = sum_l c_l prod_{k<l} (1 - a_k) + background prod_k (1 - a_k),       c premultiplied by a,

until the transmittance is almost 0. The renderer of the networks finds a manifold only if one of its samples along the
ray lies inside the manifold. Near the edge of a layer, many rays are inside for less than the distance between two
samples, and the renderer does not show the layer there; this player does not show it, either.

A pixel is one ray. For smooth outlines the layers are rasterized for an image of the doubled size, of which every
second pixel of every second row is a pixel of the image; where the contrast is high, the samples between are composited
too (:mod:`anifacegan.rendering.sharp_edges`).

All loops are compiled by numba and run in the threads of :mod:`anifacegan.runtime.cpu`. Matrix products of numpy or
PyTorch are avoided, because their threads keep the cores busy for milliseconds after a product.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anifacegan.avatars.layered_mesh import LayeredMesh, Pose
from anifacegan.avatars.players import numba_kernels
from anifacegan.avatars.players.view import View
from anifacegan.rendering.frame import RenderedImage
from anifacegan.rendering.sharp_edges import doubled, mean_weight, samples_around, with_smooth_edges
from anifacegan.runtime.cpu import on_all_cores

BLOCK_VERTICES, BLOCK_ROWS = 2**14, 16
"""Number of vertices that a core projects at a time, and number of image rows that a core composites at a time."""


def play(
    layered_mesh: LayeredMesh,
    pose: Pose,
    *,
    yaw: float,
    pitch: float,
    size: int,
    antialias: bool = False,
) -> RenderedImage:
    """Draw one view of a layered mesh with its vertices at ``pose``, an image of ``size`` x ``size`` pixels.

    Angles are radians from frontal; at positive yaw the face turns to the image's right, at positive pitch it looks
    down. With ``antialias``, outlines are smooth, which takes two to three times as long; otherwise a pixel is one ray.
    """
    fov_deg = layered_mesh.ray_sampling.fov_deg
    view = View(yaw=yaw, pitch=pitch, size=doubled(size) if antialias else size, fov_deg=fov_deg)
    if antialias:
        image = _smooth_view(layered_mesh, pose, view)
    else:
        image = torch.from_numpy(_draw_view(layered_mesh, pose, view, marks_visible=False)[0])
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
    view: View,
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
        numba_kernels.order_by_facing(x_px, y_px, triangles, layer_starts, layer, order, ends)
        numba_kernels.draw_layer(x_px, y_px, inverse_depth, triangles, order, layer_starts, ends, layer, maps)

    on_all_cores(range(len(ends)), draw)
    return _Rasterized(x_px, y_px, inverse_depth, order, ends, maps)


def _draw_view(
    layered_mesh: LayeredMesh, pose: Pose, view: View, marks_visible: bool
) -> tuple[Float[np.ndarray, "8 size size"], Bool[np.ndarray, "2 marked"]]:
    """Return the eight planes of an image and, if ``marks_visible``, which triangles are visible."""
    triangles = layered_mesh.triangles
    drawn = _rasterize(pose.vertices, triangles, layered_mesh.layer_starts, view)
    planes = np.empty((8, view.size, view.size), np.float32)
    visible = np.zeros((2, len(triangles) if marks_visible else 0), np.bool_)
    _composite_pixels(layered_mesh, pose, view, drawn, np.ones(planes.shape[1:], np.bool_), planes, visible)
    return planes, visible


def _smooth_view(layered_mesh: LayeredMesh, pose: Pose, view: View) -> Float[Tensor, "8 size size"]:
    """Draw an image with smooth outlines; ``view`` has its doubled size.

    Every second pixel of every second row is a pixel of the image. The others are drawn only where the contrast is
    high.
    """
    drawn = _rasterize(pose.vertices, layered_mesh.triangles, layered_mesh.layer_starts, view)
    planes, visible = np.empty((8, view.size, view.size), np.float32), np.zeros((2, 0), np.bool_)
    wanted = np.zeros(planes.shape[1:], np.bool_)
    wanted[::2, ::2] = True
    _composite_pixels(layered_mesh, pose, view, drawn, wanted, planes, visible)
    fine = torch.from_numpy(planes)
    weight = mean_weight(fine[:, ::2, ::2])
    around = samples_around(weight).numpy()
    _composite_pixels(layered_mesh, pose, view, drawn, around, planes, visible)
    return with_smooth_edges(fine, weight)


def _composite_pixels(
    layered_mesh: LayeredMesh,
    pose: Pose,
    view: View,
    drawn: _Rasterized,
    wanted: Bool[np.ndarray, "size size"],
    planes: Float[np.ndarray, "8 size size"],
    visible: Bool[np.ndarray, "2 marked"],
) -> None:
    """Composite the ``wanted`` pixels of a rasterized view into the eight ``planes`` of an image, on all cores, and
    mark visible triangles if ``visible`` has columns."""
    sampling, triangles = layered_mesh.ray_sampling, layered_mesh.triangles
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
        lambda row: numba_kernels.composite(
            drawn, surface, rays, row, min(row + BLOCK_ROWS, view.size), wanted, planes, visible
        ),
    )


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
        lambda block: numba_kernels.project(
            vertices[block], rotation, translation, focal, half, projected[:, block]
        ),
    )
    return projected[0], projected[1], projected[2]
