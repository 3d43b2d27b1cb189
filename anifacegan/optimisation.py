"""What one step of training needs, whatever is trained: its precision, its learning rate, the size of its gradient."""

import math
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor

DATA, BACKWARD, OPTIMISER = "anifacegan: data", "anifacegan: backward", "anifacegan: optimiser"
"""Names of a training step's ranges (``torch.profiler.record_function``); the rest of a step is its forward pass."""

Precision = Literal["float32", "bfloat16"]
"""Of matrix products and convolutions. bfloat16 is faster on processors that have it in hardware, slower on others."""


def matrix_precision(precision: Precision, device: torch.device) -> torch.autocast:
    """The precision of matrix products and convolutions inside this context."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def cosine_decay(progress: float, floor: float) -> float:
    """Share of the highest learning rate: from 1 at progress 0 down half a cosine to ``floor`` at 1 and beyond."""
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def keep_gradient_norms(optimiser: torch.optim.Optimizer) -> None:
    """Write the norm of its gradient, as it is now, into every group of an optimiser: ``group["gradient_norm"]``. A
    group without a gradient keeps the one it had.
    """
    present = [group for group in optimiser.param_groups if any(p.grad is not None for p in group["params"])]
    norms = [_norm([p.grad for p in group["params"] if p.grad is not None]) for group in present]
    for group, norm in zip(present, torch.stack(norms).tolist() if norms else [], strict=True):
        group["gradient_norm"] = norm


def learning(optimisers: Iterable[torch.optim.Optimizer]) -> dict[str, float]:
    """Learning rate and last gradient norm of every group that has learnt, by the group's ``field``; of a field that
    is in several optimisers, the last one's."""
    values: dict[str, float] = {}
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            if "gradient_norm" in group and "field" in group:          # groups of older snapshots may have no field
                values[f"learning_rate/{group['field']}"] = group["lr"]
                values[f"gradient_norm/{group['field']}"] = group["gradient_norm"]
    return values


def _norm(tensors: list[Tensor]) -> Tensor:
    """Of all their entries together."""
    return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(tensor) for tensor in tensors]))
