"""Resizing keeps the centres of the corner pixels in place."""

import pytest
import torch

from anifacegan.geometry.resampling import resample, resampling_weights


def ramp(size: int) -> torch.Tensor:
    """(1, 3, size, size): x and y of each pixel's centre in [-1, 1], and 1."""
    axis = torch.linspace(-1, 1, size)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)])[None]


@pytest.mark.parametrize("size, new_size", [(256, 128), (24, 32), (20, 9)])
def test_resizing_keeps_positions_between_the_corner_pixels(size: int, new_size: int) -> None:
    """Within 0.01 of a new pixel, away from the border; fixed outer edges would be off by 0.2."""
    inside = slice(2, -2)
    error = (resample(ramp(size), new_size) - ramp(new_size))[..., inside, inside].abs()
    assert float(error.max()) * (new_size - 1) / 2 < 0.01


def test_an_image_of_the_right_size_is_left_alone() -> None:
    image = ramp(16)
    assert resample(image, 16) is image


@pytest.mark.parametrize("new_size", [5, 12, 40])
def test_the_weights_of_a_new_pixel_are_those_of_a_mean(new_size: int) -> None:
    weights = resampling_weights(12, new_size)
    assert bool((weights >= 0).all())
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(new_size))


def test_stripes_of_one_pixel_become_grey() -> None:
    """Sampling every second pixel would find only one of the two colours."""
    stripes = (torch.arange(64) % 2).float().expand(1, 1, 64, 64)
    assert float((resample(stripes, 32)[..., 2:-2] - 0.5).abs().max()) < 0.05
