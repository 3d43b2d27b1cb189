"""Draw a layered mesh on the CPU: textured layers over the background, front to back, without any network.

Each core draws some rows of the image at a time, layer by layer from the outermost inwards. A layer is rasterized, to
find the triangles through which each pixel's ray enters and leaves it; as in the renderer of the networks, a ray sees
only the nearest point of a layer. Then the layer's texture is sampled and composited behind what came before,

    rgb = sum_l c_l prod_{k<l} (1 - a_k) + background prod_k (1 - a_k),       c premultiplied by a,

until the transmittance is almost 0. The colours are times the factor of the expression, at most as light as white. The
renderer of the networks finds a manifold only if one of its samples along the
ray lies inside the manifold. Near the edge of a layer, many rays are inside for less than the distance between two
samples, and the renderer does not show the layer there; this player does not show it, either.

A pixel is one ray. For smooth outlines, pixels of high contrast get the mean of nine samples
(:mod:`anifacegan.rendering.sharp_edges`): the samples between pixels are pixels of an image of the doubled size, which
is drawn at these places only.

All loops are compiled by numba and run in the threads of :mod:`anifacegan.runtime.cpu`. Matrix products of numpy or
PyTorch are avoided, because their threads keep the cores busy for milliseconds after a product.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from anifacegan.avatars.layered_mesh import LayeredMesh, Pose
from anifacegan.avatars.players import numba_kernels
from anifacegan.avatars.players.edge_kernels import mean_weights, numbered_samples, smooth
from anifacegan.avatars.players.numba_kernels import BLOCK, TILE
from anifacegan.avatars.players.view import View
from anifacegan.rendering.frame import RenderedImage
from anifacegan.runtime.cpu import on_all_cores

BLOCK_VERTICES, BAND_ROWS = 2**14, 32
"""Number of vertices that a core projects at a time, and number of image rows that a core draws at a time."""


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
    scene = _projected_scene(
        pose.vertices, layered_mesh.triangles, layered_mesh.layer_starts, layered_mesh.is_clear, view
    )
    planes = _drawn(layered_mesh, pose, view, scene, _every_pixel(size)).reshape(-1, size, size)
    if antialias:
        weight = mean_weights(planes)
        number = numbered_samples(weight)
        smooth(planes, weight, number, _drawn(layered_mesh, pose, view, scene, number, scale=2))
    image = torch.from_numpy(planes)
    return RenderedImage(rgb=image[:3], foreground=image[3:4], foreground_rgb=image[4:7], depth=image[7:])


def visible_triangles(
    layered_mesh: LayeredMesh, pose: Pose, *, yaw: float, pitch: float, size: int
) -> Bool[np.ndarray, "3 triangle"]:
    """Mark, row 0, the triangles that are visible in a view, row 1, those through which rays leave a visible layer,
    and, row 2, those that are so opaque that a blurred texture could be seen.

    ``pose`` are the vertices with an expression; angles are radians from frontal, ``size`` is pixels.
    """
    view = View(yaw=yaw, pitch=pitch, size=size, fov_deg=layered_mesh.ray_sampling.fov_deg)
    scene = _projected_scene(
        pose.vertices, layered_mesh.triangles, layered_mesh.layer_starts, layered_mesh.is_clear, view
    )
    visible = np.zeros((3, len(layered_mesh.triangles)), np.bool_)
    _drawn(layered_mesh, pose, view, scene, _every_pixel(size), visible=visible)
    return visible


def entered_triangles(
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    layer_starts: Int[np.ndarray, "layer_and_one"],
    view: View,
    shown: Bool[np.ndarray, "triangle"] | None = None,
) -> Int[np.ndarray, "layer size size"]:
    """Return the index of the triangle that each pixel's ray meets first in each layer of a mesh; -1 if it meets none.

    ``layer_starts`` are the indices of the layers' first triangles and the number of triangles; ``view`` is the camera.
    With ``shown``, the result is -1 also where the ray meets none of these triangles of the layer.
    """
    others = np.zeros(len(triangles), np.bool_) if shown is None else ~shown
    scene = _projected_scene(vertices, triangles, layer_starts, others, view)
    found = np.full((len(layer_starts) - 1, view.size, view.size), -1, np.int32)

    def enter(first_row: int) -> None:
        band = _band(scene, first_row, view.size)
        band.is_open[:] = True
        band.open_in_tile[:] = 1
        numba_kernels.enter_layers(scene, band, found)

    on_all_cores(range(0, view.size, BAND_ROWS), enter)
    return found


class _Scene(NamedTuple):
    """The triangles of all layers, projected into a view."""

    x_px: Float[np.ndarray, "vertex"]
    y_px: Float[np.ndarray, "vertex"]
    inverse_depth: Float[np.ndarray, "vertex"]
    """1 / depth of each vertex along the viewing axis; 0 if it is too near or behind the camera."""
    corners: Int[np.ndarray, "vertex 2"]
    """x and y in 1 / SUBPIXEL pixels."""
    triangles: Int[np.ndarray, "triangle 3"]
    layer_starts: Int[np.ndarray, "layer_and_one"]
    is_clear: Bool[np.ndarray, "triangle"]
    """Whether a triangle is transparent everywhere with every expression."""
    boxes: Int[np.ndarray, "block 4"]
    """Least x and y, then largest, of blocks of triangles (:func:`numba_kernels.bound_blocks`), as ``corners``."""


class _Surface(NamedTuple):
    """Textures of a posed layered mesh."""

    texels: Float[np.ndarray, "vertex 2"]
    factors: Float[np.ndarray, "vertex_or_none"]
    """Factors on the colours at the vertices; empty where they are all 1."""
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


class _Band(NamedTuple):
    """What is known about the pixels of some rows of an image while its layers are drawn."""

    first_row: int
    width: int
    scale: int
    """2 where the image has twice the pixels of the projected view, else 1."""
    maps: Int[np.ndarray, "2 pixel"]
    """Triangles through which each pixel's ray enters (0) and leaves (1) the layer, or -1."""
    nearest: Float[np.ndarray, "2 pixel"]
    """Inverse depth of each of them, or 0."""
    met: Int[np.ndarray, "pixel"]
    """Pixels that the layer meets."""
    is_open: Bool[np.ndarray, "pixel"]
    """Whether farther layers are visible."""
    open_in_tile: Int[np.ndarray, "tile_row tile_column"]
    """Number of these pixels in tiles of TILE x TILE pixels."""
    met_in_tile: Int[np.ndarray, "tile_row tile_column"]
    """1 + number of the last layer that a pixel of the tile meets."""
    selected: Int[np.ndarray, "2 triangle"]
    """Triangles of the layer that are drawn first (0) and afterwards (1)."""
    length: Float[np.ndarray, "pixel"]
    """Length of each pixel's ray between the depths 0 and 1."""
    to_plane: Float[np.ndarray, "pixel"]
    """Depth of the background on each ray."""
    light: Float[np.ndarray, "pixel 5"]
    """Transmittance, premultiplied rgb and weighted distance of what was met so far."""


def _band(scene: _Scene, first_row: int, size: int, scale: int = 1) -> _Band:
    """Prepare the rows from ``first_row`` on of an image of ``size`` x ``size`` pixels; nothing is open yet."""
    rows = min(BAND_ROWS, size - first_row)
    pixels, tiles = rows * size, (-(-rows // TILE), -(-size // TILE))
    return _Band(
        first_row, size, scale,
        maps=np.full((2, pixels), -1, np.int32),
        nearest=np.zeros((2, pixels), np.float32),
        met=np.empty(pixels, np.int32),
        is_open=np.zeros(pixels, np.bool_),
        open_in_tile=np.zeros(tiles, np.int32),
        met_in_tile=np.zeros(tiles, np.int32),
        selected=np.empty((2, np.diff(scene.layer_starts).max(initial=0)), np.int32),
        length=np.empty(pixels, np.float32),
        to_plane=np.empty(pixels, np.float32),
        light=np.empty((pixels, 5), np.float32),
    )  # fmt: skip


def _every_pixel(size: int) -> Int[np.ndarray, "size size"]:
    """Number all pixels of an image."""
    return np.arange(size**2, dtype=np.int32).reshape(size, size)


def _drawn(
    layered_mesh: LayeredMesh,
    pose: Pose,
    view: View,
    scene: _Scene,
    number: Int[np.ndarray, "side side"],
    *,
    scale: int = 1,
    visible: Bool[np.ndarray, "3 marked"] | None = None,
) -> Float[np.ndarray, "8 pixel"]:
    """Draw the numbered pixels of a projected view, on all cores; return the eight planes of the image.

    ``number`` has the number of each wanted pixel of an image with ``scale`` times the pixels of the view, and -1
    elsewhere. Visible triangles are marked in ``visible``.
    """
    sampling = layered_mesh.ray_sampling
    surface = _Surface(
        pose.texels,
        np.zeros(0, np.float32) if pose.factors is None else pose.factors,
        layered_mesh.textures,
        layered_mesh.background,
        np.float32(layered_mesh.background_reach),
    )
    spacing = (sampling.far - sampling.near) / (sampling.samples - 1)
    limits = (
        np.float32(x) for x in (view.tangent, sampling.near, sampling.far, spacing, sampling.background_z)
    )
    rays = _PixelRays(*view.origin_and_axes, *limits)
    planes = np.empty((8, int(number.max()) + 1), np.float32)
    marks = np.zeros((3, 0), np.bool_) if visible is None else visible
    on_all_cores(
        range(0, len(number), BAND_ROWS),
        lambda row: numba_kernels.draw_rows(
            scene, _band(scene, row, len(number), scale), surface, rays, number, planes, marks
        ),
    )
    return planes


def _projected_scene(
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    layer_starts: Int[np.ndarray, "layer_and_one"],
    is_clear: Bool[np.ndarray, "triangle"],
    view: View,
) -> _Scene:
    """Project the vertices of a layered mesh, in float32, and find the boxes around its blocks of triangles."""
    origin, axes = view.origin_and_axes
    rotation, translation = axes.astype(np.float32), (origin @ axes).astype(np.float32)
    half = np.float32((view.size - 1) / 2)
    focal = np.float32(half / view.tangent)
    projected, corners = np.empty((3, len(vertices)), np.float32), np.empty((len(vertices), 2), np.int32)
    blocks = [slice(first, first + BLOCK_VERTICES) for first in range(0, len(vertices), BLOCK_VERTICES)]
    on_all_cores(
        blocks,
        lambda block: numba_kernels.project(
            vertices[block], rotation, translation, focal, half, projected[:, block], corners[block]
        ),
    )
    layers = len(layer_starts) - 1
    boxes = np.empty((len(triangles) // BLOCK + layers + 1, 4), np.int32)
    on_all_cores(
        range(layers),
        lambda layer: numba_kernels.bound_blocks(corners, triangles, layer_starts, layer, boxes),
    )
    return _Scene(*projected, corners, triangles, layer_starts, is_clear, boxes)
