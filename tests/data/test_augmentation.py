"""Augmented images: landmarks and coefficients follow what happens to the pixels."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.ndimage
import torch

from anifacegan.data.augmentation import (
    Augmentation,
    add_noise_,
    augment,
    augmented_coefficients,
    blur_,
    compress_,
    draw_augmentation,
    warp,
    warped_pixels,
)
from anifacegan.data.config import NO_AUGMENTATION, AugmentationConfig
from anifacegan.face_model.regressed import FaceLandmarks, Reconstruction, coefficient_camera
from anifacegan.geometry.cameras import euler_rotation
from anifacegan.geometry.spherical_harmonics import shade
from tests.fixtures.tiny_head import tiny_model

SIZE = 128
FOCAL = coefficient_camera(torch.zeros(1, 3), torch.zeros(1, 3), SIZE, "generator").focal_px
ALWAYS = AugmentationConfig(jitter_share=1.0, gain_share=1.0, blur_share=1.0, noise_share=1.0, jpeg_share=1.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(config: AugmentationConfig, batch: int = 6, seed: int = 0) -> Augmentation:
    return draw_augmentation(config, batch, SIZE, FOCAL, generator(seed))


def faces(batch: int = 6) -> Reconstruction:
    rng = generator(3)

    def normal(scale: float, dim: int) -> torch.Tensor:
        return scale * torch.randn(batch, dim, generator=rng)

    return Reconstruction(
        normal(1, 80), normal(1, 64), normal(1, 80), normal(0.2, 3), normal(0.05, 27), normal(0.1, 3)
    )


def spots(centres: torch.Tensor) -> torch.Tensor:
    """Images (B, 3, S, S) with a soft spot of 2 px about each centre (B, 3, 2), one a channel."""
    axis = torch.arange(SIZE, dtype=torch.float32)
    x = torch.exp(-0.5 * ((axis - centres[..., :1]) / 2).square())
    y = torch.exp(-0.5 * ((axis - centres[..., 1:]) / 2).square())
    return y[..., None] * x[..., None, :]


def centres_of(images: torch.Tensor) -> torch.Tensor:
    axis = torch.arange(SIZE, dtype=torch.float32)
    total = images.sum(dim=(2, 3))
    return torch.stack(
        [(images.sum(2) * axis).sum(-1) / total, (images.sum(3) * axis).sum(-1) / total], dim=-1
    )


# ------------------------------------------------------------------------------------------------------- crop jitter
def test_jitter_moves_landmarks_as_it_moves_pixels() -> None:
    """Far from the centre, where roll and zoom show; 0.03 px is what sampling between pixels costs."""
    centres = torch.tensor([[40.0, 50.0], [90.0, 35.0], [64.0, 95.0]]).expand(6, 3, 2)
    moves = drawn(ALWAYS)
    found = centres_of(warp(spots(centres), moves, FOCAL))
    assert float((found - centres).norm(dim=-1).max()) > 3
    torch.testing.assert_close(found, warped_pixels(centres, moves, SIZE, FOCAL), atol=0.03, rtol=0)


def test_what_a_turned_camera_sees_comes_from_where_its_pixels_were() -> None:
    """Images whose colours are their coordinates, read at the moved pixels: they are back where they were."""
    axis = torch.linspace(0, 1, SIZE)
    coordinates = torch.stack(
        [axis.expand(SIZE, SIZE), axis[:, None].expand(SIZE, SIZE), torch.zeros(SIZE, SIZE)]
    )
    moves = drawn(ALWAYS)
    seen = warp(coordinates.expand(6, -1, -1, -1), moves, FOCAL)
    pixels = torch.tensor([[30.0, 40.0], [100.0, 50.0], [64.0, 90.0]]).expand(6, 3, 2)
    there = warped_pixels(pixels, moves, SIZE, FOCAL)
    grid = (there * (2 / (SIZE - 1)) - 1)[:, :, None]
    found = torch.nn.functional.grid_sample(seen, grid, align_corners=True)[:, :2, :, 0].transpose(1, 2)
    torch.testing.assert_close(found * (SIZE - 1), pixels, atol=2e-3, rtol=0)
    assert float((there - pixels).norm(dim=-1).min()) > 0.3


def test_the_given_images_stay_as_they_are() -> None:
    images = torch.rand(6, 3, SIZE, SIZE, generator=generator())
    original = images.clone()
    for config in (NO_AUGMENTATION, ALWAYS, dataclasses.replace(ALWAYS, jitter_share=0.0)):
        augment(images, drawn(config), FOCAL, generator())
        assert torch.equal(images, original)


def test_jitter_reaches_its_limits_and_not_further() -> None:
    config = AugmentationConfig(jitter_share=1.0, shift=0.1, roll_deg=0.0, zoom=0.0)
    middle = torch.full((500, 1, 2), (SIZE - 1) / 2)
    shift = (warped_pixels(middle, drawn(config, 500), SIZE, FOCAL) - middle).abs()[:, 0]
    limit = 0.1 * (SIZE - 1)
    assert bool((shift <= limit + 0.05).all()) and bool((shift.amax(dim=0) > 0.97 * limit).all())


@pytest.mark.parametrize("kind", ["generator", "deep3dfacerecon"])
def test_coefficients_follow_a_turned_camera_exactly(kind: str) -> None:
    landmarks = FaceLandmarks(tiny_model(), kind)
    focal = coefficient_camera(torch.zeros(1, 3), torch.zeros(1, 3), SIZE, kind).focal_px
    moves = draw_augmentation(dataclasses.replace(ALWAYS, zoom=0.0), 6, SIZE, focal, generator())
    face = faces()
    before, after = landmarks.pixels(face, SIZE), landmarks.pixels(augmented_coefficients(face, moves), SIZE)
    assert float((after - before).norm(dim=-1).mean()) > 1
    torch.testing.assert_close(
        after, warped_pixels(before, moves, SIZE, focal), atol=2e-3, rtol=0
    )  # float32 angles


def test_coefficients_follow_a_zoom_within_a_sixth_of_a_pixel() -> None:
    """The face comes closer instead of being magnified; the tiny head is about 1 unit deep."""
    landmarks, face = FaceLandmarks(tiny_model(), "generator"), faces()
    moves = drawn(dataclasses.replace(ALWAYS, shift=0.0, roll_deg=0.0, zoom=0.05))
    before, after = landmarks.pixels(face, SIZE), landmarks.pixels(augmented_coefficients(face, moves), SIZE)
    error = (after - warped_pixels(before, moves, SIZE, FOCAL)).norm(dim=-1)
    assert float((after - before).norm(dim=-1).max()) > 1
    assert float(error.max()) < 1 / 6


def test_a_shift_of_four_percent_turns_the_camera_by_half_a_degree() -> None:
    assert math.degrees(math.atan(0.04 * (SIZE - 1) / FOCAL)) == pytest.approx(0.48, abs=0.01)


# ------------------------------------------------------------------------------------------------------------- light
def test_a_gain_of_the_colours_is_a_gain_of_the_light() -> None:
    face, moves = faces(), drawn(ALWAYS)
    normals = torch.nn.functional.normalize(torch.randn(6, 9, 3, generator=generator(5)), dim=-1)
    albedo = torch.rand(6, 9, 3, generator=generator(6))
    lit = shade(albedo, normals, face.gamma) * moves.gain[:, None]
    torch.testing.assert_close(shade(albedo, normals, augmented_coefficients(face, moves).gamma), lit)
    assert float((moves.gain - 1).abs().max()) > 0.1


# ------------------------------------------------------------------------------------------------------- the image
def test_what_is_drawn_unchanged_changes_nothing() -> None:
    images, face, moves = torch.rand(6, 3, SIZE, SIZE, generator=generator()), faces(), drawn(NO_AUGMENTATION)
    assert torch.equal(augment(images, moves, FOCAL, generator()), images)
    torch.testing.assert_close(augmented_coefficients(face, moves).rows(), face.rows(), atol=1e-5, rtol=0)
    points = torch.rand(6, 4, 2) * SIZE
    torch.testing.assert_close(warped_pixels(points, moves, SIZE, FOCAL), points, atol=1e-4, rtol=0)


def test_images_are_augmented_each_in_its_own_way_and_again_the_same() -> None:
    images = torch.rand(1, 3, SIZE, SIZE, generator=generator()).expand(4, -1, -1, -1)
    moves = draw_augmentation(ALWAYS, 4, SIZE, FOCAL, generator(1))
    first, again = (augment(images, moves, FOCAL, generator(2)) for _ in range(2))
    assert torch.equal(first, again)
    assert float((first[0] - first[1]).abs().mean()) > 0.01
    assert 0 <= float(first.min()) and float(first.max()) <= 1
    other = draw_augmentation(ALWAYS, 4, SIZE, FOCAL, generator(3))
    assert not torch.equal(other.rotation, moves.rotation)


def test_blur_is_gaussian() -> None:
    image = torch.rand(2, 3, 40, 40, generator=generator())
    got = blur_(image.clone(), torch.tensor([0.0, 0.04]))
    assert torch.equal(got[0], image[0])
    expected = scipy.ndimage.gaussian_filter(image[1].numpy(), (0, 1.6, 1.6), mode="mirror", truncate=3.2)
    np.testing.assert_allclose(got[1].numpy(), expected, atol=2e-6)  # both cut off after 5 px


def test_noise_has_the_deviation_that_was_drawn() -> None:
    grey = torch.full((3, 3, 64, 64), 0.5)
    sigma = torch.tensor([0.0, 0.02, 0.05])
    spread = (add_noise_(grey.clone(), sigma, generator()) - grey).flatten(1).std(dim=1)
    torch.testing.assert_close(spread, sigma, atol=1e-3, rtol=0)


def test_jpeg_changes_only_the_selected_images_and_low_quality_shows() -> None:
    image = torch.rand(1, 3, 32, 32, generator=generator()).expand(3, -1, -1, -1)
    got = compress_(image.clone(), torch.tensor([0, 30, 95]))
    assert torch.equal(got[0], image[0])
    errors = (got - image).abs().mean(dim=(1, 2, 3))
    assert 0 < float(errors[2]) < float(errors[1])


def test_shares_are_kept() -> None:
    moves = draw_augmentation(AugmentationConfig(), 4000, SIZE, FOCAL, generator())
    shares = {
        "jitter_share": (moves.zoom != 1).float().mean(),
        "gain_share": (moves.gain != 1).any(dim=1).float().mean(),
        "blur_share": (moves.blur > 0).float().mean(),
        "noise_share": (moves.noise > 0).float().mean(),
        "jpeg_share": (moves.jpeg_quality > 0).float().mean(),
    }
    for name, share in shares.items():
        assert float(share) == pytest.approx(getattr(AugmentationConfig(), name), abs=0.03), name
    selected = moves.jpeg_quality[moves.jpeg_quality > 0]
    assert (int(selected.min()), int(selected.max())) == (30, 95)
    torch.testing.assert_close(
        moves.rotation @ moves.rotation.transpose(1, 2), torch.eye(3).expand(4000, 3, 3)
    )


@pytest.mark.parametrize(
    "change, message",
    [
        ({"blur_share": 1.5}, "blur_share is 1.5, expected 0 to 1"),
        ({"zoom": -0.1}, "zoom is -0.1, expected 0 to 0.5"),
        ({"jpeg_quality": 0}, "jpeg_quality is 0, expected 1 to 95"),
    ],
)
def test_impossible_augmentations_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AugmentationConfig(**change)


def test_the_turn_about_the_axis_is_the_roll_of_the_angle() -> None:
    """A camera that rolls by a sees the face rolled by a."""
    roll = torch.tensor([[0.0, 0.0, 0.1]])
    moves = dataclasses.replace(drawn(NO_AUGMENTATION, batch=1), rotation=euler_rotation(roll))
    face = dataclasses.replace(faces(1), angle=torch.tensor([[0.0, 0.0, 0.2]]))
    torch.testing.assert_close(augmented_coefficients(face, moves).angle, torch.tensor([[0.0, 0.0, 0.3]]))
