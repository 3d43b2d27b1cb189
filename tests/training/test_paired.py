"""Rays of images in memory, on images whose colours say which item and which pixel they are."""

import dataclasses

import numpy as np
import pytest
import torch

from anifacegan.data.dataset import CoefficientTable
from anifacegan.data.synthetic.geometry_buffers import DEPTH_STEPS, GeometryBuffers
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.geometry.rays import image_rays, pixel_rays
from anifacegan.runtime.errors import InputError
from anifacegan.training.paired import PairedData, inside_polygons
from tests.fixtures.tiny_training_set import packed, random_latents

COUNT, HELD_OUT, SIZE = 9, 3, 40
FOV = 12.0


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def coordinates() -> torch.Tensor:
    """(item, SIZE, SIZE, 3) images with colours (x, y, item)."""
    item, y, x = torch.meshgrid(torch.arange(COUNT), torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    return torch.stack([x, y, item], dim=-1).to(torch.uint8)


@pytest.fixture(scope="module")
def surfaces() -> GeometryBuffers:
    """Blobs with holes: some pixels have neighbours of both kinds, some have not."""
    random = np.random.default_rng(0)
    coarse = random.random((COUNT, SIZE // 4, SIZE // 4)) < 0.6
    covered = coarse.repeat(4, axis=1).repeat(4, axis=2)
    steps = random.integers(35_000, 45_000, covered.shape)
    return GeometryBuffers(np.where(covered, steps, 0).astype(np.uint16), packed(np.ones((COUNT, 16), bool)))


@pytest.fixture(scope="module")
def latents() -> CoefficientTable:
    return random_latents(COUNT)


@pytest.fixture(scope="module")
def data(latents: CoefficientTable, surfaces: GeometryBuffers) -> PairedData:
    return PairedData(coordinates(), latents, surfaces, FOV, HELD_OUT)


def test_held_out_images_are_never_drawn_and_all_others_are(data: PairedData) -> None:
    draw = rng()
    drawn = {
        round(item)
        for _ in range(40)
        for item in (data.draw(4, 2, draw).rgb[..., 2] * 255).flatten().tolist()
    }
    assert drawn == set(range(COUNT - HELD_OUT))
    assert set(data.draw_items(500, draw).tolist()) == set(range(COUNT - HELD_OUT))


def test_a_ray_goes_through_the_pixel_whose_colour_it_has(
    data: PairedData, latents: CoefficientTable
) -> None:
    batch = data.draw(5, 20, rng(1))
    x, y, item = (batch.rgb * 255).round().unbind(-1)
    items = item[:, 0].long()
    assert (item == item[:, :1]).all()
    pitch, yaw = latents.pose[items].unbind(-1)
    expected = pixel_rays(yaw=yaw, pitch=pitch, x_px=x, y_px=y, size=SIZE, fov_deg=FOV)
    assert torch.equal(batch.rays.origins, expected.origins)
    assert torch.equal(batch.rays.directions, expected.directions)
    ahead = batch.rays.at(torch.ones(5, 20, 1))[:, :, 0]
    assert torch.allclose(
        orbit_camera(yaw=yaw, pitch=pitch, size=SIZE, fov_deg=FOV).project(ahead),
        torch.stack([x, y], -1),
        atol=1e-3,
    )


def test_codes_are_those_of_the_image(data: PairedData, latents: CoefficientTable) -> None:
    batch = data.draw(6, 2, rng(2))
    items = (batch.rgb[:, 0, 2] * 255).round().long()
    assert latents.noise is not None
    assert torch.equal(batch.z_id, latents.id[items]) and torch.equal(batch.z_exp, latents.exp[items])
    assert torch.equal(batch.z_noise, latents.noise[items])


def test_distance_and_certainty_agree_with_a_slow_reference(
    data: PairedData, surfaces: GeometryBuffers
) -> None:
    batch = data.draw(8, 60, rng(3))
    pixels = (batch.rgb * 255).round().int()
    uncertain = 0
    for b, r in np.ndindex(8, 60):
        x, y, item = pixels[b, r].tolist()
        steps = int(surfaces.distance[item, y, x])
        expected = steps / DEPTH_STEPS if steps else float("inf")
        around = [
            surfaces.distance[item, row, column] > 0
            for row in range(max(y - 1, 0), min(y + 2, SIZE))
            for column in range(max(x - 1, 0), min(x + 2, SIZE))
        ]
        assert batch.distance[b, r].item() == pytest.approx(expected)
        assert batch.inside[b, r].item() == (all(around) or not any(around))
        uncertain += not batch.inside[b, r].item()
    assert 50 < uncertain < 430  # both kinds were tried


def test_points_inside_a_polygon_are_left_of_all_its_sides() -> None:
    """Of convex polygons, whose corners go round against the clock; in other places and sizes for each of the batch."""
    angle = torch.arange(8) * torch.pi / 4
    octagon = torch.stack([3 * angle.cos(), 2 * angle.sin()], dim=-1)
    corners = torch.stack([octagon + 4, 0.5 * octagon + 2, 0 * octagon + 1])
    x, y = 8 * torch.rand(2, 3, 500, generator=rng(2))
    points = torch.stack([x, y], dim=-1)[:, :, None]
    side, away = corners.roll(-1, dims=1) - corners, points - corners[:, None]
    left = side[:, None, :, 0] * away[..., 1] - side[:, None, :, 1] * away[..., 0]
    inside = inside_polygons(x, y, corners)
    assert torch.equal(inside, (left > 0).all(dim=-1))
    assert inside[0].sum() > inside[1].sum() > 10 and not inside[2].any()


def test_rays_between_the_lips_are_known(latents: CoefficientTable, surfaces: GeometryBuffers) -> None:
    data = PairedData(coordinates(), latents, surfaces, FOV, HELD_OUT)
    height = torch.tensor([30.0, 28, 27, 28, 30, 33, 34, 33])
    width = torch.tensor([10.0, 14, 20, 26, 30, 26, 20, 14])
    data.landmarks_px[:, 60 - 17 :] = (
        torch.stack([width, height], dim=-1) + torch.arange(COUNT)[:, None, None]
    )
    batch = data.draw(8, 300, rng(3))
    x, y, item = (batch.rgb * 255).round().unbind(-1)
    corners = data.landmarks_px[item[:, 0].long(), 60 - 17 :]
    assert torch.equal(batch.in_mouth, inside_polygons(x, y, corners))
    assert 20 < batch.in_mouth.sum() < 2000


def test_half_of_the_rays_look_at_brows_eyes_nose_and_mouth(
    latents: CoefficientTable, surfaces: GeometryBuffers
) -> None:
    """Inner landmarks at pixel (10, 30), the jaw's at (35, 5); lm68 is in pixels of 224, y down."""
    scale = 223 / (SIZE - 1)
    lm68 = torch.empty(COUNT, 68, 2)
    lm68[:, :17] = torch.tensor([35 * scale, 5 * scale])
    lm68[:, 17:] = torch.tensor([10 * scale, 30 * scale])
    data = PairedData(coordinates(), dataclasses.replace(latents, lm68=lm68), surfaces, FOV, HELD_OUT)
    pixels = (data.draw(40, 50, rng(4)).rgb[..., :2] * 255).round()
    anywhere, about = pixels[:, :25].reshape(-1, 2), pixels[:, 25:].reshape(-1, 2)
    assert torch.allclose(about.mean(0), torch.tensor([10.0, 30.0]), atol=0.3)
    assert torch.allclose(about.std(0), torch.tensor([1.6, 1.6]), atol=0.2)  # 0.04 image heights
    assert anywhere.min() == 0 and anywhere.max() == SIZE - 1
    assert torch.allclose(anywhere.mean(0), torch.full((2,), (SIZE - 1) / 2), atol=1.5)  # 4 deviations


def test_landmarks_outside_the_image_give_rays_at_its_edge(
    latents: CoefficientTable, surfaces: GeometryBuffers
) -> None:
    data = PairedData(
        coordinates(),
        dataclasses.replace(latents, lm68=torch.full((COUNT, 68, 2), 900.0)),
        surfaces,
        FOV,
        HELD_OUT,
    )
    pixels = (data.draw(3, 10, rng()).rgb[:, 5:, :2] * 255).round()
    assert (pixels == SIZE - 1).all()


def test_draws_come_from_the_generator_alone(data: PairedData) -> None:
    first, same, other = (data.draw(2, 8, rng(seed)).rgb for seed in (1, 1, 2))
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_held_out_images_do_not_scale_the_codes(latents: CoefficientTable, surfaces: GeometryBuffers) -> None:
    """Whatever is in them, the scale is the same; a change in a training image does count."""
    scales = []
    for item in (None, COUNT - HELD_OUT, COUNT - HELD_OUT - 1):
        images = coordinates()
        if item is not None:
            images[item] = 255 - images[item]
        scales.append(PairedData(images, latents, surfaces, FOV, HELD_OUT).visible_scale())
    assert scales[0].shape == (160,)
    assert torch.equal(scales[0], scales[1]) and not torch.equal(scales[0], scales[2])


def test_a_held_out_view_is_the_image_with_its_own_latents_and_rays(
    data: PairedData, latents: CoefficientTable
) -> None:
    view_latents, rays, image = data.held_out_view(1, SIZE)
    item = COUNT - HELD_OUT + 1
    assert torch.equal(image, coordinates()[item].float() / 255)
    assert torch.equal(view_latents.z_exp, latents.exp[item : item + 1]) and len(view_latents) == 1
    expected = image_rays(
        yaw=latents.pose[item : item + 1, 1], pitch=latents.pose[item : item + 1, 0], size=SIZE, fov_deg=FOV
    )
    assert torch.equal(rays.directions, expected.directions)


def test_a_small_held_out_view_shows_the_same_frame(data: PairedData) -> None:
    _, rays, image = data.held_out_view(0, 5)
    assert image.shape == (5, 5, 3) and len(rays) == 25
    whole = (image * 255).round()
    assert whole[0, 0, :2].tolist() == [0, 0] and whole[-1, -1, :2].tolist() == [SIZE - 1, SIZE - 1]
    assert (whole[:, 0, 1].diff() > 0).all() and (whole[0, :, 0].diff() > 0).all()


def test_data_without_appearance_codes_are_refused(
    latents: CoefficientTable, surfaces: GeometryBuffers
) -> None:
    with pytest.raises(InputError, match="every .mat has to hold 'noise'"):
        PairedData(coordinates(), dataclasses.replace(latents, noise=None), surfaces, FOV, HELD_OUT)


def test_a_set_that_is_held_out_as_a_whole_is_refused(
    latents: CoefficientTable, surfaces: GeometryBuffers
) -> None:
    with pytest.raises(InputError, match="9 images, expected more than the 9 held out"):
        PairedData(coordinates(), latents, surfaces, FOV, COUNT)
