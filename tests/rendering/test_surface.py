"""Visible surfaces and normals of spheres, which are known in closed form."""

import math

import pytest
import torch

from anifacegan.rendering.surface import camera_normals, visible_surface
from tests.fixtures.sphere_views import RADIUS, RAY_SAMPLING, SIZE, ball, image_of, red


@pytest.mark.parametrize("yaw", [0.0, 0.5])
def test_the_visible_surface_of_a_sphere_is_on_the_sphere(yaw: float) -> None:
    surface = visible_surface(image_of(ball(), yaw), yaw=yaw, pitch=0.0, ray_sampling=RAY_SAMPLING)
    radii = surface.points[surface.mask].norm(dim=-1)
    torch.testing.assert_close(radii, torch.full_like(radii, RADIUS), atol=2e-5, rtol=0)
    expected = math.tan(math.asin(RADIUS)) / math.tan(math.radians(6)) * (SIZE - 1) / 2
    assert float(surface.mask.sum()) == pytest.approx(math.pi * expected**2, rel=0.03)


def test_a_half_transparent_sphere_is_where_it_is_and_not_on_the_way_to_the_background() -> None:
    glass = ball(radiance=lambda x: (red(x)[0], torch.full_like(x[..., 0], 0.6)))
    surface = visible_surface(image_of(glass, 0.3), yaw=0.3, pitch=0.0, ray_sampling=RAY_SAMPLING)
    assert surface.mask.any()
    radii = surface.points[surface.mask].norm(dim=-1)
    torch.testing.assert_close(radii, torch.full_like(radii, RADIUS), atol=2e-5, rtol=0)


@pytest.mark.parametrize("yaw", [0.0, 0.5])
def test_normals_of_a_sphere_point_from_its_centre(yaw: float) -> None:
    surface = visible_surface(image_of(ball(), yaw), yaw=yaw, pitch=0.0, ray_sampling=RAY_SAMPLING)
    normals = camera_normals(surface, yaw=yaw, pitch=0.0)
    centre = SIZE // 2
    torch.testing.assert_close(normals[centre, centre], torch.tensor([0.0, 0.0, 1.0]), atol=1e-3, rtol=0)
    assert float(normals[centre, centre + 8, 0]) > 0.3  # to the right
    assert float(normals[centre - 8, centre, 1]) > 0.3  # up
    assert not normals[0, 0].any()
