"""Unknown pixels take the colours of known ones; known ones stay."""

import numpy as np
import pytest
from scipy import ndimage

from anifacegan.capture.filling import blurred, mirrored_filled, nearest_filled, push_pull_filled


def half_known(size: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """A red and a blue half; only pixels near the left and right edges are known."""
    image = np.zeros((size, size, 3), np.float32)
    image[:, : size // 2, 0], image[:, size // 2 :, 2] = 1, 1
    known = np.zeros((size, size), bool)
    known[:, :8] = known[:, -8:] = True
    return image, known


@pytest.mark.parametrize(
    "fill", [lambda i, k: push_pull_filled(i, k.astype(np.float32)), nearest_filled, mirrored_filled]
)
def test_known_pixels_stay_and_unknown_ones_take_the_near_side(fill) -> None:
    image, known = half_known()
    result = fill(np.where(known[..., None], image, 0.7), known)
    np.testing.assert_allclose(result[known], image[known], atol=1e-6)
    assert result[20, 11, 0] > 0.8 and result[20, 11, 2] < 0.2
    assert result[20, -12, 2] > 0.8 and result[20, -12, 0] < 0.2
    assert result.min() >= 0 and result.max() <= 1 + 1e-6


def test_partly_known_pixels_are_partly_filled() -> None:
    weight, image = np.ones((16, 16), np.float32), np.zeros((16, 16, 1), np.float32)
    weight[6, 7], image[6, 7] = 0.25, 1
    result = push_pull_filled(image, weight)[..., 0]
    assert 0.25 < result[6, 7] < 0.5
    assert not np.delete(result.ravel(), 6 * 16 + 7).any()


def test_without_known_pixels_nothing_is_made_up() -> None:
    image = np.ones((9, 7, 2), np.float32)
    assert not nearest_filled(image, np.zeros((9, 7), bool)).any()
    assert not push_pull_filled(image, np.zeros((9, 7), np.float32)).any()


def test_wide_blurs_on_a_smaller_image_are_blurs() -> None:
    image = np.random.default_rng(0).uniform(size=(96, 80, 1)).astype(np.float32)
    image = ndimage.gaussian_filter(image, (3, 3, 0))
    direct = ndimage.gaussian_filter(image[..., 0], 8.0)
    inside = (slice(20, -20), slice(20, -20))
    apart = (blurred(image, 8.0)[..., 0] - direct)[inside]
    assert np.abs(apart).max() < 0.1 * np.ptp(image)
    np.testing.assert_allclose(blurred(np.full((30, 31, 2), 0.3, np.float32), 9.0), 0.3, atol=1e-6)


def test_fine_detail_goes_on_without_streaks() -> None:
    rng = np.random.default_rng(0)
    image = (0.5 + 0.02 * rng.standard_normal((60, 120, 1))).astype(np.float32)
    known = np.zeros((60, 120), bool)
    known[:, :60] = True
    beyond = mirrored_filled(image, known)[:, 70:100, 0]
    replicated = nearest_filled(image, known)[:, 70:100, 0]
    across = [np.abs(np.diff(part, axis=1)).mean() for part in (beyond, replicated)]
    assert across[0] > 0.5 * np.abs(np.diff(image[:, :60, 0], axis=1)).mean() > across[1]
    assert abs(beyond.mean() - 0.5) < 0.01
