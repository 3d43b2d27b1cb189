"""Building blocks of every training loop: precision, learning rates, the optimizer's step, averaged weights."""

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import get_ema_multi_avg_fn

from anifacegan.runtime.devices import autocast_kind, multiplies_bfloat16
from anifacegan.runtime.errors import say
from anifacegan.training.schedule import Precision

DATA, BACKWARD, OPTIMIZER = "anifacegan: data", "anifacegan: backward", "anifacegan: optimizer"
"""Names of the parts of a training step in a profile (``torch.profiler.record_function``); what has no name is the
forward pass."""


def in_bfloat16(precision: Precision, device: str) -> bool:
    """Return whether ``precision`` means bfloat16 for matrix products on a kind of device ("cpu", "cuda")."""
    return precision == "bfloat16" or (precision == "auto" and multiplies_bfloat16(device))


def matrix_precision(precision: Precision, device: torch.device) -> torch.autocast:
    """Return a context that sets the precision of matrix products and convolutions."""
    kind = autocast_kind(device)
    return torch.autocast(kind, torch.bfloat16, enabled=in_bfloat16(precision, device.type))


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
    clipped = {field: (present[field], norm) for field, norm in norms.items()}
    if not each_field and norms:
        every = [weight for weights in present.values() for weight in weights]
        clipped = {", ".join(present): (every, torch.nn.utils.get_total_norm(list(norms.values())))}
    found = _read(
        norms | {name: norm for name, (_, norm) in clipped.items()}
    )  # the CPU waits for a GPU this once
    for name, (weights, norm) in clipped.items():
        if not math.isfinite(found[name]):
            raise FloatingPointError(f"step {step}: a gradient of {name} is not finite")
        torch.nn.utils.clip_grads_with_norm_(weights, limit, norm)
    optimizer.step()
    return _learning(optimizer, found)


def _read(numbers: dict[str, Tensor]) -> dict[str, float]:
    """Return single numbers by name, read from their device in one go."""
    values = torch.stack(list(numbers.values())).tolist() if numbers else []
    return dict(zip(numbers, values, strict=True))


class LeftOutSteps:
    """Counts the optimizer steps that are left out because a loss or a gradient is not finite, as happens in half
    precision now and then.

    ``limit`` is how many may follow each other; with 0 the first one is an error.
    """

    def __init__(self, limit: int = 0) -> None:
        self.limit = limit
        self.total, self.in_a_row = 0, 0

    def add(self, error: FloatingPointError, tell: bool) -> None:
        """Count a step that ``error`` describes, and print the error on stderr if ``tell`` is true.

        Raises:
            FloatingPointError: more than ``limit`` steps in a row have been left out.
        """
        self.total, self.in_a_row = self.total + 1, self.in_a_row + 1
        if self.in_a_row > self.limit:
            raise FloatingPointError(
                f"{error}; {self.in_a_row} steps in a row" if self.limit else str(error)
            ) from error
        if tell:
            say(f"{error}: left out, {self.in_a_row} in a row of {self.limit} allowed")

    def step_taken(self) -> None:
        """Note a step that was taken."""
        self.in_a_row = 0


def _learning(optimizer: torch.optim.Optimizer, found: dict[str, float]) -> dict[str, float]:
    """Return the learning rate and the gradient norm of every field with a gradient, by name for the log; ``found`` are
    the norms."""
    values: dict[str, float] = {}
    for group in optimizer.param_groups:
        if group["field"] in found:
            values[f"learning_rate/{group['field']}"] = float(group["lr"])
            values[f"gradient_norm/{group['field']}"] = found[group["field"]]
    return values


# --------------------------------------------------------------------------------------------------- averaged weights
class MovingAverage:
    """Exponential moving average of a network's weights and buffers; tables of integers are copied.

    The first update copies the network. After n updates the decay is min(``decay``, (1 + n) / (10 + n)), so that the
    average follows the network closely at first. The number of updates is a number of Python:
    :class:`torch.optim.swa_utils.AveragedModel`, whose rule and kernels are used, reads it from the GPU in every
    update."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(network).requires_grad_(False)
        """The network with averaged weights."""
        self.decay, self.updates = decay, 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move the average toward the network's weights and buffers."""
        by_type: dict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = {}
        for mean, value in zip(_tensors(self.module), _tensors(network), strict=True):
            means, values = by_type.setdefault(mean.dtype, ([], []))
            means.append(mean.detach())
            values.append(value.detach())
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.updates else 0.0
        for dtype, (means, values) in by_type.items():
            if self.updates and dtype.is_floating_point:
                get_ema_multi_avg_fn(decay)(means, values, self.updates)
            else:
                for mean, value in zip(means, values, strict=True):
                    mean.copy_(value)
        self.updates += 1

    def to(self, device: str) -> None:
        """Move the average to a device."""
        self.module.to(device)


def _tensors(network: nn.Module) -> Iterator[Tensor]:
    return itertools.chain(network.parameters(), network.buffers())
