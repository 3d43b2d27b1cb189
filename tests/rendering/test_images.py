"""Conversion of images to bytes, and PNG files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from anifacegan.rendering.images import depth_levels, over_white, straight_alpha, to_bytes, write_png
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.image_files import encoded_image, read_image


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_bytes_are_the_nearest_levels() -> None:
    levels = torch.tensor([[[0.0, 1.0, 0.5 / 255 - 1e-4, 0.5 / 255 + 1e-4, -0.2, 1.3]]])
    assert to_bytes(levels)[0, :, 0].tolist() == [0, 255, 0, 1, 0, 255]


def test_channels_come_last() -> None:
    image = torch.rand(3, 4, 5)
    assert np.array_equal(to_bytes(image)[2, 3], (image[:, 2, 3] * 255).round().numpy().astype(np.uint8))


@pytest.mark.parametrize("channels", [3, 4])
def test_png_is_lossless(tmp_path: Path, channels: int) -> None:
    pixels = noise(7, 9, channels)
    write_png(tmp_path / "a.png", pixels)
    assert np.array_equal(read_image(tmp_path / "a.png"), pixels)


def test_straight_alpha_over_the_background_is_the_image() -> None:
    rng = torch.Generator().manual_seed(0)
    foreground = torch.rand(1, 6, 6, generator=rng)
    head, background = torch.rand(3, 6, 6, generator=rng), torch.rand(3, 6, 6, generator=rng)
    premultiplied = foreground * head
    rgba = straight_alpha(premultiplied, foreground)
    blended = rgba[3:] * rgba[:3] + (1 - rgba[3:]) * background
    assert torch.allclose(blended, premultiplied + (1 - foreground) * background, atol=1e-6)
    assert torch.allclose(rgba[:3], head, atol=1e-5)  # not darkened by its opacity


def test_zero_opacity_gives_transparent_black() -> None:
    assert straight_alpha(torch.zeros(3, 2, 2), torch.zeros(1, 2, 2)).count_nonzero() == 0


def test_over_white_mixes_by_opacity() -> None:
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [100, 100, 100, 51]]], np.uint8)
    assert over_white(rgba).tolist() == [[[10, 20, 30], [255, 255, 255], [224, 224, 224]]]


def test_depth_survives_the_file(tmp_path: Path) -> None:
    depth = torch.linspace(0.88, 1.2, 64).reshape(1, 8, 8)
    write_png(tmp_path / "depth.png", depth_levels(depth, 0.88, 1.2))
    with Image.open(tmp_path / "depth.png") as image:
        levels = np.asarray(image).astype(np.float64)
    assert np.abs(0.88 + levels / 65535 * 0.32 - depth[0].numpy()).max() < 5e-6


def test_depth_beyond_the_range_is_clipped() -> None:
    assert depth_levels(torch.tensor([[[0.1, 0.88, 9.0]]]), 0.88, 1.2).tolist() == [[0, 0, 65535]]


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.9])
def test_a_broken_image_is_an_error_of_one_line(share: float) -> None:
    content = encoded_image(noise(40, 40, 3))
    with pytest.raises(OSError, match=r"^.+$"):
        read_image(content[: int(share * len(content))])


def test_colours_that_are_no_numbers_do_not_become_black() -> None:
    image = torch.tensor([0.0, float("inf"), -float("inf")])[:, None, None]
    assert to_bytes(image).tolist() == [[[0, 255, 0]]]
    image[0] = float("nan")
    with pytest.raises(InputError, match="colours that are not numbers"):
        to_bytes(image)
