"""What one step of training needs, whatever is trained: its precision and its learning rate."""

import math
from typing import Literal

import torch

Precision = Literal["float32", "bfloat16"]
"""Of matrix products and convolutions. bfloat16 is faster on processors that have it in hardware, slower on others."""


def matrix_precision(precision: Precision, device: torch.device) -> torch.autocast:
    """The precision of matrix products and convolutions inside this context."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def cosine_decay(progress: float, floor: float) -> float:
    """Share of the highest learning rate: from 1 at progress 0 down half a cosine to ``floor`` at 1 and beyond."""
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
