"""Building blocks of every training loop: precision, learning rates, the optimizer's step, averaged weights."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from anifacegan.runtime.devices import multiplies_bfloat16
from anifacegan.training.schedule import Precision

DATA, BACKWARD, OPTIMIZER = "anifacegan: data", "anifacegan: backward", "anifacegan: optimizer"
"""Names of the parts of a training step in a profile (``torch.profiler.record_function``); what has no name is the
forward pass."""


def in_bfloat16(precision: Precision, device: str) -> bool:
    """Return whether ``precision`` means bfloat16 for matrix products on a kind of device ("cpu", "cuda")."""
    return precision == "bfloat16" or (precision == "auto" and multiplies_bfloat16(device))


def matrix_precision(precision: Precision, device: torch.device) -> torch.autocast:
    """Return a context that sets the precision of matrix products and convolutions."""
    return torch.autocast(device.type, torch.bfloat16, enabled=in_bfloat16(precision, device.type))


# ----------------------------------------------------------------------------------------------------- learning rates
def cosine_decay(progress: float, floor: float) -> float:
    """Return the factor on a learning rate at ``progress``.

    The factor falls as half a cosine from 1 at progress 0 to ``floor`` at progress 1, and is ``floor`` from then on.
    """
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def scheduled(
    optimizer: torch.optim.Optimizer,
    rates: dict[str, float],
    factors: dict[str, Callable[[int], float]],
    step: int,
) -> LambdaLR:
    """Return a scheduler that sets each parameter group's learning rate to ``rate * factor(step)``, beginning at
    ``step``.

    ``rates`` and ``factors`` are by the groups' names (key ``field`` of each group). The factors depend on the step
    only, so that a snapshot need not store the scheduler.
    """
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] = rates[group["field"]]
    by_group = [factors[group["field"]] for group in optimizer.param_groups]
    return LambdaLR(optimizer, by_group, last_epoch=step - 1)


# ------------------------------------------------------------------------------------------------------------- a step
def adam(groups: Iterable[dict[str, Any]], betas: tuple[float, float]) -> torch.optim.Adam:
    """Create Adam, fused, for parameter groups with the keys ``params`` (weights) and ``field`` (name of the group)."""
    return torch.optim.Adam(groups, betas=betas, fused=True)


def learning_weights(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """Return the weights that an optimizer updates."""
    return [weight for group in optimizer.param_groups for weight in group["params"]]


def finite_total(step: int, terms: dict[str, Tensor]) -> Tensor:
    """Return the sum of the weighted losses ``terms`` of a training step, and require that all of them are finite.

    Raises:
        FloatingPointError: a term or the sum is not finite; the message names the step and the terms.
    """
    total = sum(terms.values(), start=torch.zeros(()))
    if not torch.isfinite(total):
        broken = [name for name, value in terms.items() if not torch.isfinite(value)] or ["the sum"]
        named = ", ".join(f"{name} {value.item():.4g}" for name, value in terms.items())
        raise FloatingPointError(f"step {step}: {' and '.join(broken)} not finite ({named})")
    return total


def take_step(
    step: int, optimizer: torch.optim.Optimizer, limit: float, *, each_field: bool = False
) -> dict[str, float]:
    """Scale down too large gradients and take one step of the optimizer.

    The key ``field`` of a parameter group of the optimizer is the name of its field. ``limit`` is the largest norm of
    all gradients together or, if ``each_field`` is true, of the gradients of each field. Returns two values for every
    field with a gradient, for the log: its learning rate, and its gradient norm before scaling.

    Raises:
        FloatingPointError: a gradient is not finite; the weights are those of the step before.
    """
    present = {
        group["field"]: [weight for weight in group["params"] if weight.grad is not None]
        for group in optimizer.param_groups
    }
    norms = {
        field: torch.nn.utils.get_total_norm([weight.grad for weight in weights])
        for field, weights in present.items()
        if weights
    }
    values = _learning(optimizer, norms)
    clipped = {field: (present[field], norm) for field, norm in norms.items()}
    if not each_field and norms:
        every = [weight for weights in present.values() for weight in weights]
        clipped = {", ".join(present): (every, torch.nn.utils.get_total_norm(list(norms.values())))}
    for name, (weights, norm) in clipped.items():
        if not torch.isfinite(norm):
            raise FloatingPointError(f"step {step}: a gradient of {name} is not finite")
        torch.nn.utils.clip_grads_with_norm_(weights, limit, norm)
    optimizer.step()
    return values


def _learning(optimizer: torch.optim.Optimizer, norms: dict[str, Tensor]) -> dict[str, float]:
    """Return the learning rate and the gradient norm of every field with a gradient, by name for the log."""
    found = dict(zip(norms, torch.stack(list(norms.values())).tolist() if norms else [], strict=True))
    values: dict[str, float] = {}
    for group in optimizer.param_groups:
        if group["field"] in found:
            values[f"learning_rate/{group['field']}"] = float(group["lr"])
            values[f"gradient_norm/{group['field']}"] = found[group["field"]]
    return values


# --------------------------------------------------------------------------------------------------- averaged weights
def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """Create an exponential moving average of a network's weights and buffers; tables of integers are copied.

    The first update copies the network. After n updates the decay is min(``decay``, (1 + n) / (10 + n)), so that the
    average follows the network closely at first.
    """

    @torch.no_grad()
    def update(means: list[Tensor], values: list[Tensor], updates: Tensor) -> None:
        count = int(updates)
        weight = 1 - min(decay, (1 + count) / (10 + count))
        if means[0].is_floating_point():  # tensors come grouped by type
            torch._foreach_lerp_(means, values, weight)
        else:
            torch._foreach_copy_(means, values)

    average = AveragedModel(network, multi_avg_fn=update, use_buffers=True)
    average.requires_grad_(False)
    return average
