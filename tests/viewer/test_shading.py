"""Depth and normals of a sphere, whose truth is known."""

import numpy as np
import torch

from anifacegan.geometry.config import RaySamplingConfig
from anifacegan.geometry.rays import image_rays
from anifacegan.rendering.frame import RenderedImage
from anifacegan.viewer.shading import BLACK_DISTANCE, WHITE_DISTANCE, shaded

RADIUS, SIZE = 0.05, 65


def sphere() -> RenderedImage:
    """An opaque sphere about the origin, seen from the front."""
    zero = torch.zeros(1)
    rays = image_rays(yaw=zero, pitch=zero, size=SIZE, fov_deg=RaySamplingConfig().fov_deg)
    origin, direction = rays.origins[0], rays.directions[0]
    middle = -(origin * direction).sum(-1)
    inside = RADIUS**2 - (origin + middle[:, None] * direction).square().sum(-1)
    hit = inside > 0
    plane = (RaySamplingConfig().background_z - origin[:, 2]) / direction[:, 2]
    depth = torch.where(hit, middle - inside.clamp(min=0).sqrt(), plane)
    opacity = hit.float().reshape(1, SIZE, SIZE)
    rgb = torch.rand(3, SIZE, SIZE)
    return RenderedImage(rgb, opacity, rgb * opacity, depth.reshape(1, SIZE, SIZE))


def pixels(shown: str) -> np.ndarray:
    return shaded(sphere(), shown, yaw=0.0, pitch=0.0, ray_sampling=RaySamplingConfig())  # type: ignore[arg-type]


def test_near_is_white_and_the_background_black() -> None:
    depth, centre = pixels("depth"), SIZE // 2
    share = (BLACK_DISTANCE - (1 - RADIUS)) / (BLACK_DISTANCE - WHITE_DISTANCE)
    assert abs(depth[centre, centre] - 255 * share).max() < 1
    assert depth[0, 0].max() == 0 and 0 < depth[centre, centre + 10, 0] < depth[centre, centre, 0]


def test_normals_point_right_up_and_to_the_camera() -> None:
    normals, centre = pixels("normals"), SIZE // 2
    np.testing.assert_allclose(normals[centre, centre], (128, 128, 255), atol=2)
    assert normals[centre, centre + 8, 0] > 150 > 110 > normals[centre, centre - 8, 0]
    assert normals[centre - 8, centre, 1] > 150 > 110 > normals[centre + 8, centre, 1]
    assert (normals[0, 0] == 255).all()


def test_colours_are_those_of_the_image() -> None:
    image = pixels("colour")
    assert image.shape == (SIZE, SIZE, 3) and image.std() > 30
