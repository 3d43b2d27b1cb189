"""Resizing of images, and bilinear values between pixels, with the centres of the corner pixels fixed.

Pixel centres are ``linspace(-1, 1, size)``, as in GRAM (Deng et al. 2022), so a landmark at pixel x of an image of
``size`` pixels moves to ``x * (new_size - 1) / (size - 1)``. Image libraries fix the outer edges of the corner pixels
instead, which would move a landmark near the border by half a pixel.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def resample(
    images: Float[Tensor, "batch channel size size"], size: int
) -> Float[Tensor, "batch channel new_size new_size"]:
    """Resize square images with a triangle filter that prevents aliasing; differentiable."""
    if images.shape[-1] == size:
        return images
    weights = resampling_weights(images.shape[-1], size).to(images)
    return weights @ images @ weights.T


@lru_cache(maxsize=16)
def resampling_weights(size: int, new_size: int) -> Float[Tensor, "new_size size"]:
    """Compute the weight of each old pixel of a row in each new pixel: a triangle filter; the weights of a new pixel
    sum to 1."""
    step = (size - 1) / max(new_size - 1, 1)  # old pixels from one new centre to the next
    with torch.inference_mode(False):  # the cached tensor may be used where gradients are needed
        centres = step * torch.arange(new_size, dtype=torch.float64)
        distance = (centres[:, None] - torch.arange(size, dtype=torch.float64)).abs()
        weights = (1 - distance / max(step, 1.0)).clamp(min=0)
        return (weights / weights.sum(dim=1, keepdim=True)).float()


def to_grid(pixels: Float[Tensor, "*place 2"], width: int, height: int) -> Float[Tensor, "*place 2"]:
    """Convert index pixels (x right, y down) to the coordinates of ``grid_sample`` with ``align_corners``, -1 to 1."""
    return 2 * pixels / pixels.new_tensor([width - 1, height - 1]) - 1


def read_pixels(
    images: Float[Tensor, "batch channel height width"],
    pixels: Float[Tensor, "batch rows columns 2"],
    beyond: Literal["zeros", "border"] = "zeros",
) -> Float[Tensor, "batch channel rows columns"]:
    """Interpolate images bilinearly at index pixels (x right, y down).

    ``beyond`` sets what lies outside the image: zeros, or the nearest pixel of its border.
    """
    grid = to_grid(pixels, images.shape[3], images.shape[2])
    return torch.nn.functional.grid_sample(images, grid, "bilinear", beyond, align_corners=True)


def smoothstep(start: float, end: float, value: np.ndarray) -> np.ndarray:
    """Compute the Hermite step 3 t^2 - 2 t^3: 0 at ``start`` and before, 1 at ``end`` and after; it falls where end <
    start."""
    t = np.clip((value - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def smooth_share(start: float, end: float, value: float | np.floating) -> float:
    """Compute :func:`smoothstep` of one number."""
    return float(smoothstep(start, end, np.array([value]))[0])
