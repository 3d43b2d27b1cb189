"""Visible surface of a rendered head: distance, points and normals of its pixels, in world units.

The distance of a pixel is the expected distance of its ray without the background. A pixel has a surface where the
foreground opacity is at least 0.5.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from anifacegan.geometry.cameras import orbit_rotation
from anifacegan.geometry.config import RaySamplingConfig
from anifacegan.geometry.rays import image_rays
from anifacegan.rendering.frame import RenderedImage


@dataclass(frozen=True)
class VisibleSurface:
    """Visible surface of a head from one camera, in world units."""

    distance: Float[Tensor, "height width"]
    """Distance from the camera, world units; 0 where there is no surface."""
    points: Float[Tensor, "height width 3"]
    """Surface points, world coordinates; meaningless where there is no surface."""
    mask: Bool[Tensor, "height width"]
    """Whether the pixel shows a surface."""


def visible_surface(
    image: RenderedImage, *, yaw: float, pitch: float, ray_sampling: RaySamplingConfig
) -> VisibleSurface:
    """Reconstruct the visible surface of a head from a rendered image with depth.

    Args:
        image: the image, with opacity and expected distances, rendered without anti-aliasing: opacity and distance of a
            pixel must be of one ray.
        yaw, pitch: the camera with which the image was rendered, radians from frontal.
        ray_sampling: field of view and background plane with which it was rendered.
    """
    size = image.rgb.shape[-1]
    angles = torch.tensor([[pitch, yaw]]).to(image.depth)
    rays = image_rays(yaw=angles[:, 1], pitch=angles[:, 0], size=size, fov_deg=ray_sampling.fov_deg)
    origin, direction = rays.origins[0], rays.directions[0]  # (R, 3)
    to_plane = (ray_sampling.background_z - origin[:, 2]) / direction[:, 2]
    opacity, mean = image.foreground.flatten(), image.depth.flatten()
    mask = opacity >= 0.5
    distance = (mean - (1 - opacity) * to_plane) / opacity.clamp(min=0.5)
    distance = torch.where(mask, distance, 0.0)
    points = origin + distance[:, None] * direction
    return VisibleSurface(
        distance.reshape(size, size), points.reshape(size, size, 3), mask.reshape(size, size)
    )


def camera_normals(surface: VisibleSurface, *, yaw: float, pitch: float) -> Float[Tensor, "height width 3"]:
    """Compute unit normals in camera axes (right, up, toward the camera) from each pixel's four neighbours.

    ``yaw`` and ``pitch`` are the camera of the surface, radians from frontal. Normals are zero where the pixel or one
    of its neighbours shows no surface.
    """
    points, mask = surface.points, surface.mask
    right, down = torch.zeros_like(points), torch.zeros_like(points)
    right[:, 1:-1] = points[:, 2:] - points[:, :-2]
    down[1:-1] = points[2:] - points[:-2]
    known = torch.zeros_like(mask)
    known[1:-1, 1:-1] = mask[1:-1, 1:-1] & mask[1:-1, 2:] & mask[1:-1, :-2] & mask[2:, 1:-1] & mask[:-2, 1:-1]
    normals = torch.nn.functional.normalize(torch.linalg.cross(down, right), dim=-1)
    angles = torch.tensor([[pitch, yaw]]).to(points)
    _, axes = orbit_rotation(yaw=angles[:, 1], pitch=angles[:, 0])
    return torch.where(known[..., None], normals @ axes[0], 0.0)
