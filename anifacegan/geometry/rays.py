"""Rays through the pixels of the generator's camera; world units."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.geometry.cameras import orbit_rotation
from anifacegan.geometry.conventions import FOV_DEG


@dataclass(frozen=True)
class Rays:
    """Rays ``origin + t * direction``, where t is the distance from the ray's origin in world units."""

    origins: Float[Tensor, "batch ray 3"]
    """Start of each ray, the camera's position, world units."""
    directions: Float[Tensor, "batch ray 3"]
    """Direction of each ray, a unit vector."""

    def at(self, t: Float[Tensor, "batch ray sample"]) -> Float[Tensor, "batch ray sample 3"]:
        """Compute the points of each ray at distances ``t`` from its origin, world units."""
        return self.origins[:, :, None] + t[..., None] * self.directions[:, :, None]

    def __len__(self) -> int:
        return self.origins.shape[1]

    def __getitem__(self, part: slice) -> "Rays":
        return Rays(self.origins[:, part], self.directions[:, part])


def pixel_rays(
    *,
    yaw: Float[Tensor, "batch"],
    pitch: Float[Tensor, "batch"],
    x_px: Float[Tensor, "batch ray"],
    y_px: Float[Tensor, "batch ray"],
    size: int,
    fov_deg: float = FOV_DEG,
) -> Rays:
    """Cast rays of the generator's camera through given places of an image.

    Args:
        yaw, pitch: camera pose, radians relative to frontal.
        x_px, y_px: pixel coordinates (x right, y down, integers at pixel centres).
        size: height and width of the image, pixels.
        fov_deg: field of view over the image height, degrees.
    """
    origin, axes = orbit_rotation(yaw=yaw, pitch=pitch)
    half = (size - 1) / 2
    tan = math.tan(math.radians(fov_deg / 2))
    in_camera = torch.stack(
        [(x_px / half - 1) * tan, (1 - y_px / half) * tan, -torch.ones_like(x_px)], dim=-1
    )  # (B, R, 3)
    directions = torch.nn.functional.normalize(in_camera, dim=-1) @ axes.transpose(1, 2)
    return Rays(origin[:, None].expand_as(directions), directions)


def image_rays(
    *, yaw: Float[Tensor, "batch"], pitch: Float[Tensor, "batch"], size: int, fov_deg: float = FOV_DEG
) -> Rays:
    """Cast rays of the generator's camera through all pixel centres of a square image, row by row from the top left.

    ``yaw`` and ``pitch`` are radians relative to frontal; ``size`` is the height and width of the image, pixels.
    """
    index = torch.arange(size, dtype=pitch.dtype, device=pitch.device)
    y_px, x_px = torch.meshgrid(index, index, indexing="ij")
    grid = (len(pitch), size * size)
    return pixel_rays(
        yaw=yaw,
        pitch=pitch,
        x_px=x_px.reshape(1, -1).expand(grid),
        y_px=y_px.reshape(1, -1).expand(grid),
        size=size,
        fov_deg=fov_deg,
    )
