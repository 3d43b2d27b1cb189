"""The width of edges is that of a known blur, whatever the contrast."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from anifacegan.capture.sharpness import edge_width


def shapes(contrast: float) -> np.ndarray:
    """Grey squares with sharp edges."""
    rng, image = np.random.default_rng(0), np.full((256, 256), 120.0)
    for _ in range(12):
        x, y = rng.integers(50, 180, 2)
        image[y : y + 25, x : x + 25] += contrast * rng.choice([-1, 1])
    return image


@pytest.mark.parametrize("sigma", [1.5, 3.0, 5.0])
@pytest.mark.parametrize("contrast", [20.0, 50.0])
def test_a_known_blur_is_found(sigma: float, contrast: float) -> None:
    blurred = gaussian_filter(shapes(contrast), sigma).clip(0, 255)
    image = np.repeat(blurred[..., None], 3, axis=2).round().astype(np.uint8)
    assert edge_width(image) == pytest.approx(sigma, rel=0.25)


def test_an_image_without_edges_is_as_blurred_as_can_be() -> None:
    assert edge_width(np.full((256, 256, 3), 90, np.uint8)) == float("inf")
