"""Optimisation, whatever is trained: precision, learning rates, the optimiser's step, averaged weights."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

DATA, BACKWARD, OPTIMISER = "anifacegan: data", "anifacegan: backward", "anifacegan: optimiser"
"""Names of a training step's ranges (``torch.profiler.record_function``); the rest of a step is its forward pass."""

Precision = Literal["float32", "bfloat16"]
"""Of matrix products and convolutions. bfloat16 is faster on processors that have it in hardware, slower on others."""


def matrix_precision(precision: Precision, device: torch.device) -> torch.autocast:
    """The precision of matrix products and convolutions inside this context."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


# ----------------------------------------------------------------------------------------------------- learning rates
def cosine_decay(progress: float, floor: float) -> float:
    """Share of the highest learning rate: from 1 at progress 0 down half a cosine to ``floor`` at 1 and beyond."""
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def scheduled(
    optimiser: torch.optim.Optimizer,
    rates: dict[str, float],
    shares: dict[str, Callable[[int], float]],
    step: int,
) -> LambdaLR:
    """Schedule the learning rates from ``step`` on: ``rate * share(step)`` of every field.

    The shares are functions of the step alone, so the scheduler needs no place in a snapshot.
    """
    for group in optimiser.param_groups:
        group["lr"] = group["initial_lr"] = rates[group["field"]]
    return LambdaLR(
        optimiser, [shares[group["field"]] for group in optimiser.param_groups], last_epoch=step - 1
    )


# ------------------------------------------------------------------------------------------------------------- a step
def finite_total(step: int, terms: dict[str, Tensor]) -> Tensor:
    """Sum of weighted terms, a scalar.

    Raises:
        FloatingPointError: names the step and the terms that are not finite, or says that their sum is not.
    """
    total = sum(terms.values(), start=torch.zeros(()))
    if not torch.isfinite(total):
        broken = [name for name, value in terms.items() if not torch.isfinite(value)] or ["the sum"]
        named = ", ".join(f"{name} {value.item():.4g}" for name, value in terms.items())
        raise FloatingPointError(f"step {step}: {' and '.join(broken)} not finite ({named})")
    return total


def take_step(
    step: int, optimiser: torch.optim.Optimizer, limit: float, *, each_field: bool = False
) -> dict[str, float]:
    """Clip the gradients that are there, and step. Every group of the optimiser names its ``field``.

    ``limit`` is the largest norm of all gradients together, or, with ``each_field``, of each field's. Returns the
    learning rate and the unclipped gradient norm of every field that has a gradient, for the log.

    Raises:
        FloatingPointError: a gradient is not finite; the weights are those of the step before.
    """
    fields = {group["field"]: group["params"] for group in optimiser.param_groups}
    values = learning(optimiser)
    every = [weight for weights in fields.values() for weight in weights]
    clipped = fields if each_field else {", ".join(fields): every}
    for name, weights in clipped.items():
        if not torch.isfinite(torch.nn.utils.clip_grad_norm_(weights, limit)):
            raise FloatingPointError(f"step {step}: a gradient of {name} is not finite")
    optimiser.step()
    return values


def learning(optimiser: torch.optim.Optimizer) -> dict[str, float]:
    """Learning rate and gradient norm of every field that has a gradient."""
    present = [group for group in optimiser.param_groups if any(p.grad is not None for p in group["params"])]
    norms = [
        torch.nn.utils.get_total_norm([p.grad for p in g["params"] if p.grad is not None]) for g in present
    ]
    values: dict[str, float] = {}
    for group, norm in zip(present, torch.stack(norms).tolist() if norms else [], strict=True):
        values[f"learning_rate/{group['field']}"] = float(group["lr"])
        values[f"gradient_norm/{group['field']}"] = norm
    return values


# --------------------------------------------------------------------------------------------------- averaged weights
def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """Exponential moving average of a network's weights and buffers, that of the first update being these themselves.

    Until ``decay`` is reached, the average follows more closely: (1 + n) / (10 + n) after n updates.
    """

    @torch.no_grad()
    def follow(means: list[Tensor], values: list[Tensor], updates: Tensor) -> None:
        count = int(updates)
        share = 1 - min(decay, (1 + count) / (10 + count))
        for mean, value in zip(means, values, strict=True):
            mean.lerp_(value, share)

    average = AveragedModel(network, multi_avg_fn=follow, use_buffers=True)
    average.requires_grad_(False)
    return average
