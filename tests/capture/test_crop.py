"""A crop's coordinates go there and back, and its image shows what is at them."""

import numpy as np
import pytest
import torch

from anifacegan.capture import crop
from anifacegan.capture.crop import Crop, to_pixels

TURNED = Crop(x=40.0, y=25.0, side=30.0, roll=0.3)


def test_coordinates_go_there_and_back() -> None:
    unit = np.random.default_rng(0).uniform(-0.5, 0.5, (20, 2))
    np.testing.assert_allclose(TURNED.to_unit(TURNED.to_photograph(unit)), unit, atol=1e-12)


def test_a_similarity_describes_the_crop() -> None:
    centre, scale = np.array([33.0, 21.0]), 17.0
    similarity = TURNED.similarity(centre, scale)
    again = Crop.from_similarity(similarity, centre, scale)
    np.testing.assert_allclose(
        [again.x, again.y, again.side, again.roll], [TURNED.x, TURNED.y, TURNED.side, TURNED.roll]
    )
    pixels = np.random.default_rng(0).uniform(0, 60, (20, 2))
    a, b, c, d = similarity
    x, y = ((pixels - centre) / scale).T
    moved = np.stack([a * x - b * y + c, b * x + a * y + d], axis=-1)
    np.testing.assert_allclose(moved, TURNED.to_unit(pixels), atol=1e-12)


@pytest.mark.parametrize("side", [20.0, 63.0])
def test_the_image_of_a_ramp_is_a_ramp(side: float) -> None:
    rows, columns = np.mgrid[0:64, 0:96]
    photograph = np.stack([2 * columns, 3 * rows, 0 * rows], axis=-1).astype(np.uint8)
    crop = Crop(x=45.0, y=31.0, side=side)
    image = crop.cut(photograph, 16)
    places = crop.to_photograph(np.stack(np.meshgrid(*2 * [np.linspace(-0.5, 0.5, 16)]), axis=-1))
    inside = ((places > 2) & (places < [93, 61])).all(axis=-1)
    expected = np.concatenate([places * [2, 3], 0 * places[..., :1]], axis=-1)
    assert np.abs(image - expected)[inside].max() <= 1.0


def test_the_whole_photograph_is_its_own_crop() -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(Crop.whole(32).cut(photograph, 32), photograph)
    np.testing.assert_allclose(to_pixels(np.array([[-0.5, 0.5]]), 32), [[0, 31]])


def test_beyond_the_border_the_outermost_pixels_go_on() -> None:
    photograph = np.full((10, 10, 3), 77, np.uint8)
    assert (Crop(0.0, 0.0, 50.0, 1.0).cut(photograph, 20) == 77).all()


def test_only_the_part_of_a_photograph_that_is_seen_needs_memory() -> None:
    """A float copy of the whole one would be 12 TB."""
    photograph = np.broadcast_to(np.uint8(77), (1_000_000, 1_000_000, 3))
    assert (Crop(999_990.0, 3e5, 60.0, 0.3).cut(photograph, 20) == 77).all()
    assert (Crop(-50.0, 2e6, 3000.0, 0.3).cut(photograph, 20) == 77).all()


def test_a_large_photograph_is_averaged_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    """As float32, one of 169 megapixels would be 2 GB."""
    photograph = np.random.default_rng(0).integers(0, 256, (310, 400, 3), dtype=np.uint8)
    at_once = Crop(190.0, 160.0, 290.0, 0.2).cut(photograph, 24)
    average, pixels = torch.nn.functional.avg_pool2d, []

    def noted(image: torch.Tensor, factor: int) -> torch.Tensor:
        pixels.append(image[0, 0].numel())
        return average(image, factor)

    monkeypatch.setattr(torch.nn.functional, "avg_pool2d", noted)
    monkeypatch.setattr(crop, "STRIP_PIXELS", 10_000)
    assert (Crop(190.0, 160.0, 290.0, 0.2).cut(photograph, 24) == at_once).all()
    assert len(pixels) > 5 and max(pixels) <= 10_000


@pytest.mark.parametrize("side", [9.0, 70.0])
def test_a_crop_of_a_part_is_that_of_the_whole(side: float) -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (200, 240, 3), dtype=np.uint8)
    whole = Crop(130.0, 110.0, side, 0.4).cut(photograph, 16)
    x, y = np.array([13, 7]) * max(1, int(side / 15))  # averages begin at the photograph's corner
    part = Crop(130.0 - x, 110.0 - y, side, 0.4).cut(photograph[y:, x:], 16)
    assert np.abs(whole.astype(int) - part).max() <= 1  # coordinates are rounded
