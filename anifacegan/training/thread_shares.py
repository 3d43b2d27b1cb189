"""A batch shared by threads: each computes the losses and gradients of its share on one core.

The layers of the fields are so small that threads which share one matrix product wait for each other longer than they
compute. Most operations of a step are too small to be shared at all. So threads share the batch instead, as processes
do in distributed training: to the loss functions, a thread is one of several
:class:`~anifacegan.runtime.distributed.Workers`. Sums over the batch are added up in the order of the threads, so the
result depends on the number of threads only.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from threading import Barrier

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.profiler import record_function

from anifacegan.runtime.cpu import side_by_side
from anifacegan.runtime.distributed import Workers
from anifacegan.training.optim import BACKWARD

LOST_SECONDS = 3600.0
"""Longest time that a thread waits for the others within a step, seconds."""


class Exchange:
    """Adds up tensors of several threads."""

    def __init__(self, count: int) -> None:
        self._values: list[Tensor] = [torch.zeros(())] * count
        self._barrier = Barrier(count, timeout=LOST_SECONDS)

    def sum(self, rank: int, value: Tensor) -> Tensor:
        """Return the sum of the values that all threads give, in the order of their ranks.

        Raises:
            BrokenBarrierError: another thread has failed.
        """
        self._values[rank] = value
        self._barrier.wait()
        total = torch.stack(self._values).sum(0)
        self._barrier.wait()  # until all have read
        return total

    def give_up(self) -> None:
        """Make the other threads fail instead of waiting for this one."""
        self._barrier.abort()


@dataclass(frozen=True)
class ThreadWorker(Workers):
    """One of several threads that share the batches of a process, with the interface of :class:`Workers`."""

    exchange: Exchange = field(kw_only=True)
    """Adds up tensors of all threads that share the batch."""

    @property
    def single(self) -> bool:
        """Whether this worker has the whole batch; always False, because a thread has a share of it only."""
        return False

    def _sum(self, value: Shaped[Tensor, "*any"]) -> Shaped[Tensor, "*any"]:
        return self.exchange.sum(self.rank, value)


def thread_count(workers: Workers, device: torch.device, sizes: list[int]) -> int:
    """Return the number of threads that share a step on batches of the given sizes.

    It is PyTorch's number of threads if the run is one process on a CPU and this number divides all sizes; otherwise 1.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or not workers.single or any(size % threads for size in sizes):
        return 1
    return threads


def shared_gradients(
    threads: int, weights: list[Tensor], losses: Callable[[ThreadWorker], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Compute losses in several threads and return the losses of the whole batch by name.

    Sets ``.grad`` of each of ``weights`` to the gradient of the sum of the returned losses, or to None if no loss
    depends on the weight.

    ``losses(worker)`` returns the losses by name of the share of the batch that belongs to ``worker``. Shares have
    equal sizes. The mean of a loss over all shares must be the loss of the whole batch; this holds if the loss is a
    mean over its share.
    """
    exchange = Exchange(threads)

    def compute(rank: int) -> tuple[dict[str, Tensor], tuple[Tensor | None, ...]]:
        try:
            found = losses(ThreadWorker(rank, threads, exchange=exchange))
            total = sum(found.values(), start=torch.zeros(())) / threads
            if not total.requires_grad:  # where every term is switched off
                return found, (None,) * len(weights)
            # In a profile this phase counts once, not once for each thread.
            with record_function(BACKWARD) if rank == 0 else nullcontext():
                gradients = torch.autograd.grad(total, weights, allow_unused=True)
        except BaseException:
            exchange.give_up()
            raise
        return {name: value.detach() for name, value in found.items()}, gradients

    shares = side_by_side([partial(compute, rank) for rank in range(threads)])
    for weight, *parts in zip(weights, *(gradients for _, gradients in shares), strict=True):
        if parts[0] is None:
            weight.grad = None
            continue
        # In the weight's own layout: autograd.grad may return a transposed view, and a fused optimizer reads the
        # memory of both in the same order.
        weight.grad = torch.empty_like(weight).copy_(sum(parts[1:], start=parts[0]))
    return {
        name: torch.stack([found[name] for found, _ in shares]).mean(0).to(value)
        for name, value in shares[0][0].items()
    }
