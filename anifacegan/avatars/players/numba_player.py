"""Draw a layered mesh on the CPU: textured layers over the background, front to back, without any network.

A frame is drawn in two steps, both on all cores. First every layer is rasterized separately, to find the triangles
through which each pixel's ray enters and leaves the layer. As in the renderer of the networks, a ray sees only the
nearest point of a layer. Then each pixel samples the textures of its layers from the outermost inwards and composites

    rgb = sum_l c_l prod_{k<l} (1 - a_k) + background prod_k (1 - a_k),       c premultiplied by a,

until the transmittance is almost 0. The renderer of the networks finds a manifold only if one of its samples along the
ray lies inside the manifold. Near the edge of a layer, many rays are inside for less than the distance between two
samples, and the renderer does not show the layer there; this player does not show it, either.

A pixel is one ray. For smooth outlines, pixels of high contrast get the mean of nine samples
(:mod:`anifacegan.rendering.sharp_edges`): the samples between pixels are pixels of an image of the doubled size, which
is drawn at these places only.

All loops are compiled by numba and run in the threads of :mod:`anifacegan.runtime.cpu`. Matrix products of numpy or
PyTorch are avoided, because their threads keep the cores busy for milliseconds after a product.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from anifacegan.avatars.layered_mesh import LayeredMesh, Pose
from anifacegan.avatars.players import numba_kernels
from anifacegan.avatars.players.edge_kernels import mean_weights, samples_around, smooth
from anifacegan.avatars.players.view import View
from anifacegan.geometry.rasterization.numba_kernels import BLOCK, TILE, mark_boxes
from anifacegan.rendering.frame import RenderedImage
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
    down. With ``antialias``, outlines are smooth; otherwise a pixel is one ray.
    """
    view = View(yaw=yaw, pitch=pitch, size=size, fov_deg=layered_mesh.ray_sampling.fov_deg)
    drawn = _rasterize(
        pose.vertices, layered_mesh.triangles, layered_mesh.layer_starts, view, with_boxes=antialias
    )
    planes = _composite(layered_mesh, pose, view, drawn).reshape(-1, size, size)
    if antialias:
        planes = _with_smooth_edges(layered_mesh, pose, view, drawn, planes)
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
    drawn = _rasterize(pose.vertices, layered_mesh.triangles, layered_mesh.layer_starts, view)
    visible = np.zeros((2, len(layered_mesh.triangles)), np.bool_)
    _composite(layered_mesh, pose, view, drawn, visible)
    return visible


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
    entered = drawn.maps[0].reshape(-1, view.size, view.size)
    layer, row, column = (entered >= 0).nonzero()
    found = np.full_like(entered, -1)
    found[layer, row, column] = drawn.order[drawn.firsts[0, layer] + entered[layer, row, column]]
    return found


class _Rasterized(NamedTuple):
    """All layers of a view, each rasterized separately, at all pixels or some."""

    x_px: Float[np.ndarray, "vertex"]
    y_px: Float[np.ndarray, "vertex"]
    inverse_depth: Float[np.ndarray, "vertex"]
    """1 / depth of each vertex along the viewing axis; 0 if it is too near or behind the camera."""
    order: Int[np.ndarray, "triangle"]
    """Index of each triangle in the mesh, layer by layer; in each layer, triangles whose outside faces the camera come
    first."""
    firsts: Int[np.ndarray, "2 layer"]
    """Position in ``order`` of the first triangle of each layer that faces the camera (0) or faces away from it (1)."""
    lasts: Int[np.ndarray, "2 layer"]
    """Position in ``order`` after the last of these triangles."""
    boxes: Float[np.ndarray, "block 4"]
    """Least and largest x, then y, of blocks of triangles (:func:`order_by_facing` has the indices), if wanted."""
    number: Int[np.ndarray, "size size"]
    """Number of each pixel that is drawn, and -1 elsewhere."""
    maps: Int[np.ndarray, "2 layer pixel"]
    """Triangles through which each pixel's ray enters (0) and leaves (1) each layer, or -1: positions in ``order``,
    counted from ``firsts``."""


class _Surface(NamedTuple):
    """Triangles and textures of a posed layered mesh."""

    triangles: Int[np.ndarray, "triangle 3"]
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
    vertices: np.ndarray,
    triangles: np.ndarray,
    layer_starts: np.ndarray,
    view: View,
    with_boxes: bool = False,
) -> _Rasterized:
    """Rasterize all layers of a view; ``with_boxes``, which takes longer, is needed by :func:`_rasterize_doubled`."""
    x_px, y_px, inverse_depth = _projected(vertices, view)
    layers = len(layer_starts) - 1
    order = np.empty(len(triangles), np.int32)
    firsts, lasts = np.empty((2, 2, layers), np.int32)
    maps = np.full((2, layers, view.size, view.size), -1, np.int32)
    boxes = np.full((len(triangles) // BLOCK + layers if with_boxes else 0, 4), np.inf, np.float32)
    boxes[:, 1::2] = -np.inf
    number = np.arange(view.size**2, dtype=np.int32).reshape(view.size, view.size)

    def draw(layer: int) -> None:
        numba_kernels.order_by_facing(x_px, y_px, triangles, layer_starts, layer, order, firsts, lasts, boxes)
        numba_kernels.draw_layer(x_px, y_px, inverse_depth, triangles, order, firsts, lasts, layer, maps)

    on_all_cores(range(layers), draw)
    return _Rasterized(
        x_px, y_px, inverse_depth, order, firsts, lasts, boxes, number, maps.reshape(2, layers, -1)
    )


def _rasterize_doubled(
    drawn: _Rasterized, triangles: np.ndarray, wanted: Bool[np.ndarray, "doubled doubled"]
) -> _Rasterized:
    """Rasterize a view that is drawn already again at the doubled size, at the ``wanted`` pixels only."""
    x_px, y_px = 2 * drawn.x_px, 2 * drawn.y_px  # pixel centres are integers, the first one is 0
    number = np.full(wanted.shape, -1, np.int32)
    number[wanted] = np.arange(np.count_nonzero(wanted))
    tiles = -(-len(wanted) // TILE)
    padded = np.zeros((tiles * TILE, tiles * TILE), np.bool_)
    padded[: len(wanted), : len(wanted)] = wanted
    marked = padded.reshape(tiles, TILE, tiles, TILE).any(axis=(1, 3))
    near = np.empty(len(drawn.boxes), np.bool_)
    mark_boxes(2 * drawn.boxes, marked, near)
    again = drawn._replace(
        x_px=x_px,
        y_px=y_px,
        number=number,
        maps=np.full((*drawn.maps.shape[:2], np.count_nonzero(wanted)), -1, np.int32),
    )

    def draw(layer: int) -> None:
        numba_kernels.draw_layer_at(
            x_px, y_px, again.inverse_depth, triangles, again.order, again.firsts, again.lasts, layer, near, number,
            again.maps,
        )  # fmt: skip

    on_all_cores(range(again.maps.shape[1]), draw)
    return again


def _with_smooth_edges(
    layered_mesh: LayeredMesh,
    pose: Pose,
    view: View,
    drawn: _Rasterized,
    image: Float[np.ndarray, "8 size size"],
) -> Float[np.ndarray, "8 size size"]:
    """Move the pixels of high contrast of an image towards the mean of their samples; ``drawn`` is its rasterized
    view."""
    weight = mean_weights(image)
    around = samples_around(weight)
    again = _rasterize_doubled(drawn, layered_mesh.triangles, around)
    samples = _composite(layered_mesh, pose, replace(view, size=len(around)), again)
    return smooth(image, weight, again.number, samples)


def _composite(
    layered_mesh: LayeredMesh,
    pose: Pose,
    view: View,
    drawn: _Rasterized,
    visible: Bool[np.ndarray, "2 marked"] | None = None,
) -> Float[np.ndarray, "8 pixel"]:
    """Composite the pixels of a rasterized view, on all cores; return the eight planes of the image. Mark visible
    triangles in ``visible``."""
    sampling = layered_mesh.ray_sampling
    surface = _Surface(
        layered_mesh.triangles, pose.texels, layered_mesh.textures, layered_mesh.background,
        np.float32(layered_mesh.background_reach),
    )  # fmt: skip
    spacing = (sampling.far - sampling.near) / (sampling.samples - 1)
    limits = (
        np.float32(x) for x in (view.tangent, sampling.near, sampling.far, spacing, sampling.background_z)
    )
    rays = _PixelRays(*view.origin_and_axes, *limits)
    planes = np.empty((8, drawn.maps.shape[2]), np.float32)
    marks = np.zeros((2, 0), np.bool_) if visible is None else visible
    on_all_cores(
        range(0, view.size, BLOCK_ROWS),
        lambda row: numba_kernels.composite(
            drawn, surface, rays, row, min(row + BLOCK_ROWS, view.size), planes, marks
        ),
    )
    return planes


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
