"""The surface that an image shows: where the head is, and which way it faces.

A pixel's surface is the mean of what its ray meets in front of the background, weighted as the colours are; it is there
where the head covers at least half of the pixel. World units.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from anifacegan.geometry.cameras import orbit_rotation
from anifacegan.geometry.rays import RaySamplingConfig, image_rays
from anifacegan.rendering.frame import RenderedImage


@dataclass(frozen=True)
class VisibleSurface:
    """One view of a head."""

    distance: Float[Tensor, "height width"]
    """From the camera; 0 where there is no surface."""
    points: Float[Tensor, "height width 3"]
    mask: Bool[Tensor, "height width"]
    """Where there is a surface."""


def visible_surface(
    image: RenderedImage, *, yaw: float, pitch: float, ray_sampling: RaySamplingConfig
) -> VisibleSurface:
    """The surface of an image that was drawn from this side (radians from frontal)."""
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
    """Unit normals toward the camera in its own axes (right, up, toward it), from the neighbours of each pixel; zero
    where one of them shows no surface."""
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
