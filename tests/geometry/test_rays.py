"""Rays of the generator's camera."""

import math

import torch
from torch import Tensor

from anifacegan.geometry.cameras import orbit_camera
from anifacegan.geometry.rays import Rays, image_rays, pixel_rays

PITCH = torch.tensor([0.0, 0.25, -0.4], dtype=torch.float64)
YAW = torch.tensor([0.0, 0.35, -0.9], dtype=torch.float64)


def random_pixels(count: int, size: int) -> tuple[Tensor, Tensor]:
    """(3, count) index pixels x and y, not whole numbers."""
    rng = torch.Generator().manual_seed(0)
    x, y = (size - 1) * torch.rand(2, 3, count, generator=rng, dtype=torch.float64)
    return x, y


def test_points_along_a_ray_project_to_its_pixel() -> None:
    x_px, y_px = random_pixels(20, size=48)
    rays = pixel_rays(yaw=YAW, pitch=PITCH, x_px=x_px, y_px=y_px, size=48)
    camera = orbit_camera(yaw=YAW, pitch=PITCH, size=48)
    for t in (0.5, 0.88, 1.12, 3.0):
        pixels = camera.project(rays.at(torch.full((3, 20, 1), t, dtype=torch.float64))[:, :, 0])
        torch.testing.assert_close(pixels, torch.stack([x_px, y_px], dim=-1), atol=1e-9, rtol=0)


def test_rays_and_camera_agree_in_another_field_of_view() -> None:
    x_px, y_px = random_pixels(4, size=9)
    rays = pixel_rays(yaw=YAW, pitch=PITCH, x_px=x_px, y_px=y_px, size=9, fov_deg=30.0)
    pixels = orbit_camera(yaw=YAW, pitch=PITCH, size=9, fov_deg=30.0).project(rays.origins + rays.directions)
    torch.testing.assert_close(pixels, torch.stack([x_px, y_px], dim=-1), atol=1e-9, rtol=0)


def test_rays_start_at_the_camera_and_have_unit_length() -> None:
    rays = image_rays(yaw=YAW, pitch=PITCH, size=7)
    at_origin = orbit_camera(yaw=YAW, pitch=PITCH, size=7).to_camera(rays.origins)
    torch.testing.assert_close(at_origin, torch.zeros_like(at_origin), atol=1e-12, rtol=0)
    torch.testing.assert_close(rays.directions.norm(dim=-1), torch.ones(3, 49).double(), atol=1e-12, rtol=0)


def test_distance_runs_along_the_ray() -> None:
    origins, directions = torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([[[0.0, 0.6, -0.8]]])
    points = Rays(origins, directions).at(torch.tensor([[[0.0, 5.0]]]))
    torch.testing.assert_close(points, torch.tensor([[[[1.0, 2.0, 3.0], [1.0, 5.0, -1.0]]]]))


def test_image_rays_run_row_by_row_from_the_top_left() -> None:
    """Centres of the corner pixels lie on the edge of the field of view."""
    tan = math.tan(math.radians(6))
    directions = image_rays(yaw=YAW[:1], pitch=PITCH[:1], size=3).directions[0]
    grid = [[x * tan, y * tan, -1.0] for y in (1, 0, -1) for x in (-1, 0, 1)]
    expected = torch.nn.functional.normalize(torch.tensor(grid, dtype=torch.float64), dim=-1)
    torch.testing.assert_close(directions, expected, atol=1e-12, rtol=0)


def test_image_rays_are_the_rays_of_all_pixels() -> None:
    size = 5
    rays = image_rays(yaw=YAW, pitch=PITCH, size=size)
    for k in range(size * size):
        x_px, y_px = torch.full((3, 1), k % size).double(), torch.full((3, 1), k // size).double()
        one = pixel_rays(yaw=YAW, pitch=PITCH, x_px=x_px, y_px=y_px, size=size)
        torch.testing.assert_close(one.directions, rays[k : k + 1].directions, atol=1e-12, rtol=0)
        torch.testing.assert_close(one.origins, rays[k : k + 1].origins, atol=1e-12, rtol=0)


def test_a_batch_equals_its_poses_one_by_one() -> None:
    together = image_rays(yaw=YAW, pitch=PITCH, size=4)
    for k in range(3):
        single = image_rays(yaw=YAW[k : k + 1], pitch=PITCH[k : k + 1], size=4)
        torch.testing.assert_close(together.origins[k : k + 1], single.origins, atol=1e-12, rtol=0)
        torch.testing.assert_close(together.directions[k : k + 1], single.directions, atol=1e-12, rtol=0)


def test_a_slice_of_rays_is_a_slice_of_each_pose() -> None:
    rays = image_rays(yaw=YAW, pitch=PITCH, size=4)
    part = rays[5:9]
    assert (len(rays), len(part)) == (16, 4)
    assert torch.equal(part.directions, rays.directions[:, 5:9])
    assert torch.equal(part.origins, rays.origins[:, 5:9])
