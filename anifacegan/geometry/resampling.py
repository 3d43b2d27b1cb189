"""Images at another size or read between pixels; the centres of the corner pixels stay where they are.

Pixel centres are ``linspace(-1, 1, size)`` (method, section 1), so a landmark at pixel x of ``size`` pixels is at
``x * (new - 1) / (size - 1)`` of ``new``. Libraries keep the outer edges of the corner pixels instead, and a landmark
near the border would be half a pixel off.
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
    """Square images at another size, without aliasing; differentiable."""
    if images.shape[-1] == size:
        return images
    weights = resampling_weights(images.shape[-1], size).to(images)
    return weights @ images @ weights.T


@lru_cache(maxsize=16)
def resampling_weights(size: int, new_size: int) -> Float[Tensor, "new_size size"]:
    """Weights of the old pixels of a row in each new one: a triangle that reaches the neighbours' centres."""
    step = (size - 1) / max(new_size - 1, 1)  # old pixels from one new centre to the next
    with torch.inference_mode(False):  # kept for callers that need gradients, too
        centres = step * torch.arange(new_size, dtype=torch.float64)
        distance = (centres[:, None] - torch.arange(size, dtype=torch.float64)).abs()
        weights = (1 - distance / max(step, 1.0)).clamp(min=0)
        return (weights / weights.sum(dim=1, keepdim=True)).float()


def to_grid(pixels: Float[Tensor, "*place 2"], width: int, height: int) -> Float[Tensor, "*place 2"]:
    """Index pixels (x right, y down) as ``grid_sample`` with ``align_corners`` takes them: -1 to 1."""
    return 2 * pixels / pixels.new_tensor([width - 1, height - 1]) - 1


def read_pixels(
    images: Float[Tensor, "batch channel height width"],
    pixels: Float[Tensor, "batch rows columns 2"],
    beyond: Literal["zeros", "border"] = "zeros",
) -> Float[Tensor, "batch channel rows columns"]:
    """Bilinear values at index pixels (x right, y down); ``beyond`` the image, zeros or its border."""
    grid = to_grid(pixels, images.shape[3], images.shape[2])
    return torch.nn.functional.grid_sample(images, grid, "bilinear", beyond, align_corners=True)


def smoothstep(start: float, end: float, value: np.ndarray) -> np.ndarray:
    """0 before ``start``, 1 behind ``end``, an S between; falls where end < start."""
    t = np.clip((value - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)
