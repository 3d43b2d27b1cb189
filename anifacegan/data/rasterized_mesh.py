"""One mesh rasterized from one camera on the CPU: projected vertices and the nearest triangle of every pixel.

Meshes are in model units (see :data:`anifacegan.geometry.conventions.WORLD_PER_MODEL_UNIT`), cameras in world units;
pixel coordinates are integers at pixel centres, with the upper left one at (0, 0).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from anifacegan.geometry.cameras import Camera
from anifacegan.geometry.conventions import WORLD_PER_MODEL_UNIT
from anifacegan.geometry.rasterization.numba_kernels import draw_triangles


@dataclass(frozen=True)
class RasterizedMesh:
    """A mesh's projected vertices and z-buffer for one camera."""

    x_px: Float[np.ndarray, " vertex"]
    """Column of each vertex in the image, a real number that is an integer at pixel centres."""
    y_px: Float[np.ndarray, " vertex"]
    """Row of each vertex in the image, a real number that is an integer at pixel centres."""
    inverse_depth: Float[np.ndarray, " vertex"]
    """1 / distance of each vertex along the camera's axis, in 1 / world units; positive in front of the camera."""
    triangle: Int[np.ndarray, "size size"]
    """Index of the nearest triangle at every pixel, -1 where there is none."""
    nearest: Float[np.ndarray, "size size"]
    """Inverse depth, 1 / world units, of the nearest triangle at every pixel. Where no triangle covers the pixel, it is
    the inverse depth of the surface ``behind`` that :func:`rasterize_mesh` was given, or 0 without such a surface."""


def rasterize_mesh(
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    world_offset: Float[np.ndarray, "3"],
    camera: Camera,
    behind: Float[np.ndarray, "size size"] | None = None,
) -> RasterizedMesh:
    """Project a mesh and find the nearest triangle of every pixel.

    Args:
        vertices: positions in model units.
        triangles: vertex indices.
        world_offset: position of the mesh's origin, in world units.
        camera: one camera (batch size 1).
        behind: inverse depth, 1 / world units, at every pixel of one more surface, such as a background plane. The
            surface hides parts of the mesh that are farther away. None: no such surface.
    """
    rotation, translation = camera.rotation[0].numpy(), camera.translation[0].numpy()
    to_camera, origin = WORLD_PER_MODEL_UNIT * rotation, world_offset @ rotation + translation
    in_camera = vertices @ to_camera + origin  # (N, 3)
    x_px, y_px, inverse_depth = camera.pixels(in_camera)
    triangle = np.full((camera.size, camera.size), -1, np.int32)
    nearest = np.zeros((camera.size, camera.size), np.float32) if behind is None else behind.copy()
    draw_triangles(x_px, y_px, inverse_depth, triangles, triangle, nearest)
    return RasterizedMesh(x_px, y_px, inverse_depth, triangle, nearest)


def visible_corners(
    triangles: Int[np.ndarray, "triangle 3"], visible: Int[np.ndarray, " pixel"], count: int
) -> Bool[np.ndarray, " vertex"]:
    """Mark which of a mesh's ``count`` vertices are corners of visible triangles.

    ``visible`` are the indices of the visible triangles, such as those of all pixels; an index may occur several times.
    """
    is_corner = np.zeros(count, bool)
    is_corner[triangles[np.unique(visible)].ravel()] = True
    return is_corner


def camera_frame_rays(camera: Camera) -> Float[np.ndarray, "size size 3"]:
    """Return the ray direction of every pixel in the camera's frame, scaled to z = -1."""
    offsets = _pixel_offsets(camera)
    x, y = np.meshgrid(offsets, -offsets)
    return np.stack([x, y, -np.ones_like(x)], axis=-1)


def world_rays(camera: Camera) -> tuple[Float[np.ndarray, "3"], list[Float[np.ndarray, "size size"]]]:
    """Return the camera's position, world units, and x, y and z of every pixel's ray direction in the world, scaled to
    a depth of 1 along the camera's axis.
    """
    rotation, translation = camera.rotation[0].numpy(), camera.translation[0].numpy()
    offsets = _pixel_offsets(camera)
    rays = [offsets * right - (offsets * up)[:, None] - backward for right, up, backward in rotation]
    return -rotation @ translation, rays


def _pixel_offsets(camera: Camera) -> Float[np.ndarray, " size"]:
    """Return the tangents of the angles between the camera's axis and the rays of a row's pixels, left to right."""
    return (np.arange(camera.size) - camera.principal_px) / camera.focal_px
