"""Resizing of images, and bilinear values between pixels, with the centres of the corner pixels fixed.

Pixel centres are ``linspace(-1, 1, size)``, as in GRAM (Deng et al. 2022), so a landmark at pixel x of an image of
``size`` pixels moves to ``x * (new_size - 1) / (size - 1)``. Image libraries fix the outer edges of the corner pixels
instead, which would move a landmark near the border by half a pixel.
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def resample(
    images: Float[Tensor, "batch channel size size"], size: int
) -> Float[Tensor, "batch channel new_size new_size"]:
    """Resize square images to ``size`` x ``size`` pixels with a triangle filter against aliasing; differentiable."""
    if images.shape[-1] == size:
        return images
    weights = resampling_weights(images.shape[-1], size, images.device).to(images)
    return weights @ images @ weights.T


def resampling_weights(
    size: int, new_size: int, device: torch.device | None = None
) -> Float[Tensor, "new_size size"]:
    """Compute the weights (triangle filter) by which a row of ``size`` pixels is resized to ``new_size`` pixels.

    Each row of the matrix holds the weights of the old pixels in one new pixel; they sum to 1. They are computed on
    ``device`` (None: the CPU), because a copy from the CPU would make a GPU wait.
    """
    step = (size - 1) / max(new_size - 1, 1)  # old pixels from one new centre to the next
    centres = step * torch.arange(new_size, dtype=torch.float64, device=device)
    distance = (centres[:, None] - torch.arange(size, dtype=torch.float64, device=device)).abs()
    weights = (1 - distance / max(step, 1.0)).clamp(min=0)
    return (weights / weights.sum(dim=1, keepdim=True)).float()


def to_grid(pixels: Float[Tensor, "*place 2"], width: int, height: int) -> Float[Tensor, "*place 2"]:
    """Convert pixel coordinates to those of ``torch.nn.functional.grid_sample`` with ``align_corners``.

    ``pixels`` are x (right) and y (down), integers at pixel centres. The results are -1 and 1 at the centres of the
    corner pixels of an image of ``width`` x ``height`` pixels.
    """
    return 2 * pixels / pixels.new_tensor([width - 1, height - 1]) - 1


def read_pixels(
    images: Float[Tensor, "batch channel height width"],
    pixels: Float[Tensor, "batch rows columns 2"],
    beyond: Literal["zeros", "border"] = "zeros",
) -> Float[Tensor, "batch channel rows columns"]:
    """Interpolate images bilinearly at pixel coordinates (x right, y down, integers at pixel centres).

    ``beyond`` sets what lies outside the image: zeros, or the nearest pixel of its border.
    """
    grid = to_grid(pixels, images.shape[3], images.shape[2])
    return torch.nn.functional.grid_sample(images, grid, "bilinear", beyond, align_corners=True)


def smoothstep(start: float, end: float, value: np.ndarray) -> np.ndarray:
    """Evaluate a smooth step (3 t^2 - 2 t^3) from 0 at ``start`` and before to 1 at ``end`` and beyond.

    ``end`` may be smaller than ``start``; the step then falls as ``value`` grows.
    """
    t = np.clip((value - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def smooth_share(start: float, end: float, value: float | np.floating) -> float:
    """Evaluate the smooth step from 0 at ``start`` to 1 at ``end`` (:func:`smoothstep`) for one number."""
    return float(smoothstep(start, end, np.array([value]))[0])
