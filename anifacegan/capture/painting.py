"""Carries a photograph's pixels to the texels of a posed layer that the photograph shows.

Every texel belongs to a triangle. The triangle's place in the photograph's view gives the texel's pixel, and a z-buffer
of the layer says whether it is seen there. So the photograph's view comes out as the photograph, whatever the
expression did to the mesh.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import ndimage

from anifacegan.geometry.cameras import Camera
from anifacegan.geometry.rasterization.numba_kernels import draw_triangles
from anifacegan.geometry.rasterization.texels import TexelOwners
from anifacegan.geometry.resampling import read_pixels

DEPTH_MARGIN = 1.5e-3
"""A texel is seen if it is at most this far behind the layer's nearest point near its pixel, world units."""


@dataclass(frozen=True)
class SeenTexels:
    """What a view says about the texels of a layer; arrays are (height, width), 0 where a texel belongs to nothing."""

    owned: Float[np.ndarray, "height width"]
    """1 where a triangle has the texel."""
    seen: Float[np.ndarray, "height width"]
    """1 where the view sees the texel."""
    facing: Float[np.ndarray, "height width"]
    """Cosine of the angle between the surface and the viewing direction; negative where it faces away."""
    places: Float[np.ndarray, "height width 2"]
    """Pixel of the texel in the view."""

    def read(
        self, image: Float[np.ndarray, "size size channel"]
    ) -> Float[np.ndarray, "height width channel"]:
        """Read an image of the view at the texels' pixels; 0 at texels that are not seen."""
        source = torch.from_numpy(np.ascontiguousarray(image, np.float32)).permute(2, 0, 1)[None]
        at = torch.from_numpy(self.places)[None].float()
        values = read_pixels(source, at, beyond="border")[0].permute(1, 2, 0).numpy()
        return values * self.seen[..., None]


def seen_texels(
    owners: TexelOwners,
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    camera: Camera,
    size: int,
) -> SeenTexels:
    """Find where a camera sees the texels of a posed layer; ``size`` is that of the texture."""
    in_camera = camera.to_camera(torch.from_numpy(vertices).double()[None])[0]
    x, y, inverse = (axis.numpy() for axis in camera.pixels(in_camera))
    nearest = layer_depth(x, y, inverse, triangles, camera.size)
    weights = owners.shares / inverse[owners.corners]
    depth = weights.sum(axis=1)
    weights /= depth[:, None]
    places = np.stack([(weights * axis[owners.corners]).sum(axis=1) for axis in (x, y)], axis=-1)
    farthest = _farthest_near(nearest)
    column, row = np.rint(places).astype(int).clip(0, camera.size - 1).T
    inside = ((places > -0.5) & (places < camera.size - 0.5)).all(axis=1)
    facing = _facing(in_camera.numpy(), triangles)
    cosine = (owners.shares * facing[owners.corners]).sum(axis=1)
    near = depth < farthest[row, column] + DEPTH_MARGIN
    seen = inside & near & (cosine > 0)

    def grid(values: np.ndarray) -> np.ndarray:
        whole = np.zeros((size * size, *values.shape[1:]), np.float32)
        whole[owners.flat] = values
        return whole.reshape(size, size, *values.shape[1:])

    return SeenTexels(grid(np.ones(len(owners.flat))), grid(seen), grid(cosine), grid(places))


def layer_depth(
    x: np.ndarray, y: np.ndarray, inverse: np.ndarray, triangles: Int[np.ndarray, "triangle 3"], size: int
) -> Float[np.ndarray, "size size"]:
    """Draw a layer's depth along the viewing axis, world units; infinite where nothing is."""
    nearest = np.zeros((size, size), np.float32)
    planes = (np.ascontiguousarray(axis, np.float32) for axis in (x, y, inverse))
    draw_triangles(*planes, np.ascontiguousarray(triangles), np.full((size, size), -1, np.int32), nearest)
    return np.divide(1, nearest, out=np.full_like(nearest, np.inf), where=nearest > 0)


def _farthest_near(depth: Float[np.ndarray, "size size"]) -> Float[np.ndarray, "size size"]:
    """Return the largest finite depth in the 3 x 3 pixels around each pixel."""
    return ndimage.maximum_filter(np.where(np.isfinite(depth), depth, -np.inf), size=3)


def _facing(
    in_camera: Float[np.ndarray, "vertex 3"], triangles: Int[np.ndarray, "triangle 3"]
) -> Float[np.ndarray, "vertex"]:
    """Return, for each vertex, the cosine between its normal and the direction to the camera."""
    a, b, c = in_camera[triangles].transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    summed = np.stack(
        [
            sum(np.bincount(triangles[:, k], normal[:, axis], len(in_camera)) for k in range(3))
            for axis in range(3)
        ],
        axis=-1,
    )
    towards = -in_camera
    length = np.linalg.norm(summed, axis=1) * np.linalg.norm(towards, axis=1)
    return (summed * towards).sum(axis=1) / np.maximum(length, 1e-20)
