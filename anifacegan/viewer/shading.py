"""Rendered images as the colours that a page shows: colours, distances or normals."""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from anifacegan.geometry.config import RaySamplingConfig
from anifacegan.rendering.frame import RenderedImage
from anifacegan.rendering.images import to_bytes
from anifacegan.rendering.surface import camera_normals, visible_surface

Pixels = UInt8[np.ndarray, "height width 3"]
WHITE_DISTANCE, BLACK_DISTANCE = 0.88, 1.04
"""Distances from the camera that are white and black, world units: the tip of a nose and the ears lie between them."""


def shaded(
    image: RenderedImage,
    shown: Literal["colour", "depth", "normals"],
    *,
    yaw: float,
    pitch: float,
    ray_sampling: RaySamplingConfig,
) -> Pixels:
    """Return the pixels that show one side of a rendered image.

    Args:
        image: the image; for depth and normals, rendered without anti-aliasing.
        shown: colours with the background; distances, near ones white, the background black; or normals in camera
            axes (red: right, green: up, blue: toward the camera), the background white.
        yaw, pitch: camera of the image, radians from frontal.
        ray_sampling: field of view and background plane of the image.
    """
    if shown == "colour":
        return to_bytes(image.rgb)
    surface = visible_surface(image, yaw=yaw, pitch=pitch, ray_sampling=ray_sampling)
    if shown == "depth":
        share = (BLACK_DISTANCE - surface.distance) / (BLACK_DISTANCE - WHITE_DISTANCE)
        grey = torch.where(surface.mask, share.clamp(0.05, 1), 0.0)
        return to_bytes(grey[None].expand(3, -1, -1))
    return to_bytes(_normal_colours(camera_normals(surface, yaw=yaw, pitch=pitch)))


def _normal_colours(normals: Float[Tensor, "height width 3"]) -> Float[Tensor, "3 height width"]:
    known = normals.any(dim=-1, keepdim=True)
    return torch.where(known, 0.5 + 0.5 * normals, 1.0).permute(2, 0, 1)
