"""Data-parallel training: each process computes its share of a batch, and all take the same optimizer step.

torchrun starts the processes, here called workers: one for each GPU, or several on CPUs, on one machine or several.
All randomness of a step comes from (seed, step), so each worker can draw what a single process would draw for the whole
batch, and use its own share: items rank * n to (rank + 1) * n. Shares are equally large, so

    loss term of the batch = mean over workers of the loss term of a share

for every term that is a mean over items; the same holds for gradients. A term that is normalised by a count, such as
that of the visible vertices, divides by ``count_in_share``: the count of the whole batch over the number of workers.

``SINGLE_PROCESS`` stands for a run without torchrun; its methods return their arguments unchanged. Sums go through NCCL
on GPUs and through gloo on CPUs.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor, nn

from anifacegan.runtime.errors import InputError, LostWorkerError, exit_code, first_line
from anifacegan.runtime.tensor_records import with_tensors
from anifacegan.runtime.torchrun_variables import started_by_torchrun

STEP_TIMEOUT = timedelta(minutes=30)
"""Longest time that workers (processes of a training run) wait for each other within a step; the first one may be
writing a preview or a snapshot."""
PREPARATION_TIMEOUT = timedelta(hours=24)
"""Longest time that workers (processes of a training run) wait for the first one to render surface maps and to fit
priors and initial manifolds."""
SHUTDOWN_GRACE_S = 60
"""Seconds that a failing worker waits for another worker, which failed earlier, to report its error."""
Whole = TypeVar("Whole")


@dataclass(frozen=True)
class Workers:
    """The processes of a training run, called workers, with the rank of the present one."""

    rank: int = 0
    """Number of this worker, from 0; worker 0 writes the files."""
    count: int = 1
    """Number of workers."""
    local_rank: int = 0
    """Number of this worker on its machine, from 0."""
    preparation_group: Any = None
    """Process group, on CPUs, whose operations wait for up to PREPARATION_TIMEOUT; None for a single process."""
    store: Any = None
    """Key-value store that all workers share; with it they agree which of them reports an error."""

    @property
    def first(self) -> bool:
        """Whether this is worker 0."""
        return self.rank == 0

    @property
    def single(self) -> bool:
        """Whether this is a single process, started without torchrun."""
        return self.preparation_group is None

    # ------------------------------------------------------------------------------------------------------ shares
    def part(self, count: int) -> slice:
        """Return the slice of ``count`` items that this worker processes; ``count`` is a multiple of the number of
        workers.
        """
        size, rest = divmod(count, self.count)
        assert rest == 0, f"{count} items do not divide by {self.count} workers"
        return slice(self.rank * size, (self.rank + 1) * size)

    def share(self, whole: Whole) -> Whole:
        """Return this worker's items of a tensor, or of a dataclass of tensors, whose first axis is the batch."""
        if self.single:
            return whole
        if isinstance(whole, Tensor):
            return whole[self.part(len(whole))]
        return with_tensors(whole, self.share)

    def draw(
        self, kind: Callable[..., Tensor], shape: tuple[int, ...], rng: torch.Generator
    ) -> Shaped[Tensor, "..."]:
        """Draw random numbers for the whole batch with ``kind`` (torch.rand, torch.randn), and return this worker's
        share.

        ``shape`` is the shape of the share. ``rng`` advances as it does in a single process.
        """
        return self.share(kind(shape[0] * self.count, *shape[1:], generator=rng))

    def refuse_uneven(self, option: str, count: int) -> None:
        """Require that ``count`` items, the value of ``option``, can be shared equally among the workers.

        Raises:
            InputError: they cannot; the message names the option, its value and the number of workers.
        """
        if count % self.count:
            raise InputError(
                f"{option} is {count}, expected a multiple of {self.count}, the number of workers"
            )

    def require_single_process(self, what: str) -> None:
        """Refuse several workers, for a task that cannot be shared; ``what`` names the task.

        Raises:
            InputError: there are several; the message names the task and their number.
        """
        if self.count > 1:
            raise InputError(f"{what}: {self.count} workers, expected one; start it without torchrun")

    # ------------------------------------------------------------------------------------------------ common values
    def mean(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return losses averaged over the workers. Their gradients are those of this worker's own losses, not divided
        by the number of workers: :meth:`mean_gradients` averages gradients."""
        if self.single or not terms:
            return terms
        local = torch.stack([value.detach() for value in terms.values()])
        changes = self._sum(local.clone()) / self.count - local
        return {name: value + change for (name, value), change in zip(terms.items(), changes, strict=True)}

    def mean_gradients(self, weights: Iterable[Tensor]) -> None:
        """Average the weights' gradients over the workers, in place.

        The same weights have a gradient on every worker, because which networks learn in a step does not depend on
        random draws.
        """
        if self.single:
            return
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        if gradients:
            mean = self._sum(torch.cat([gradient.flatten() for gradient in gradients])) / self.count
            sizes = [gradient.numel() for gradient in gradients]
            for gradient, values in zip(gradients, mean.split(sizes), strict=True):
                gradient.copy_(values.view_as(gradient))

    def count_in_share(self, selected: Shaped[Tensor, "*any"]) -> Shaped[Tensor, ""]:
        """Return the sum of a mask, or of weights, over the batch of all workers, at least 1, divided by the number of
        workers.
        """
        total = selected.detach().sum()
        if self.single:
            return total.clamp(min=1)
        return self._sum(total).clamp(min=1) / self.count

    def any(self, flag: bool) -> bool:
        """Return whether ``flag`` is true on at least one worker."""
        return bool(self._of_all(int(flag), dist.ReduceOp.MAX))

    def wait(self) -> None:
        """Wait until all workers have arrived here, at most PREPARATION_TIMEOUT."""
        self.any(False)

    def require_same(self, what: str, value: int) -> None:
        """Require that ``value`` is the same on all workers; ``what`` names the value.

        Raises:
            InputError: it is not; raised on every worker.
        """
        least, most = (self._of_all(value, kind) for kind in (dist.ReduceOp.MIN, dist.ReduceOp.MAX))
        if least != most:
            raise InputError(
                f"{what} is {least} for one worker and {most} for another, expected the same for all"
            )

    @contextmanager
    def rank_zero_first(self) -> Iterator[None]:
        """Run the block on worker 0, then on the others, so that these can read what worker 0 has written."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    @torch.no_grad()
    def broadcast_weights(self, modules: Iterable[nn.Module]) -> None:
        """Copy worker 0's weights and buffers to all workers."""
        if self.single:
            return
        with _lost_workers_reported():
            for module in modules:
                for tensor in module.state_dict().values():
                    dist.broadcast(tensor, 0)

    def _sum(self, value: Tensor) -> Tensor:
        """Sum a tensor over the workers, in place and on its device."""
        with _lost_workers_reported():
            dist.all_reduce(value)
        return value

    def _of_all(self, value: int, kind: Any) -> int:
        """Return a number reduced (sum, minimum or maximum) over all workers."""
        if self.single:
            return value
        both = torch.tensor(value)
        with _lost_workers_reported():
            dist.all_reduce(both, kind, group=self.preparation_group)
        return int(both)

    # --------------------------------------------------------------------------------------------------- start and end
    def take_gpu(self, device: str) -> None:
        """Make ``cuda`` mean this worker's own GPU; does nothing on CPUs.

        Raises:
            InputError: there are more workers than GPUs on this machine.
        """
        if self.single or device != "cuda":
            return
        count = torch.cuda.device_count()
        if self.local_rank >= count:
            raise InputError(
                f"torchrun starts worker {self.local_rank + 1} of this machine, expected one for each of "
                f"its {count} GPUs; --device cpu does without"
            )
        torch.cuda.set_device(self.local_rank)

    @contextmanager
    def rank_zero_only(self) -> Iterator[None]:
        """Inside the block, let the error of only one worker through if several fail; the others exit with its exit
        code and print nothing.

        Raises:
            SystemExit: another worker reports the error.
        """
        try:
            yield
        except (Exception, KeyboardInterrupt) as error:
            if not self.single and not self._reports_the_error():
                raise SystemExit(exit_code(error)) from None
            raise

    def _reports_the_error(self) -> bool:
        """Return whether no other worker has failed before; if one has, wait until it has reported its error.

        torchrun ends all workers as soon as one of them ends.
        """
        with suppress(RuntimeError):
            if self.store.add("failing", 1) == 1:
                return True
            self.store.wait(["reported"], timedelta(seconds=SHUTDOWN_GRACE_S))
        return False


SINGLE_PROCESS = Workers()


@contextmanager
def working_together() -> Iterator[Workers]:
    """Join the workers that torchrun has started until the block ends; yields the workers, or SINGLE_PROCESS without
    torchrun.

    Errors have to be caught and printed within the block, around :meth:`Workers.rank_zero_only`.

    Raises:
        InputError: the variables that torchrun sets are not as it sets them.
    """
    if not started_by_torchrun():
        yield SINGLE_PROCESS
        return
    workers = _interruptible(_join)
    try:
        yield workers
    except BaseException:
        with suppress(RuntimeError):
            workers.store.set("reported", "")
        raise  # without waiting for the others to leave the group
    dist.destroy_process_group()


def _join() -> Workers:
    """Wait for the other workers, and make a group of them."""
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    store, rank, count = next(dist.rendezvous("env://"))
    store = dist.PrefixStore(_attempt(), store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=STEP_TIMEOUT)
    preparation_group = dist.new_group(backend="gloo", timeout=PREPARATION_TIMEOUT)
    words = dist.PrefixStore("anifacegan", store)
    return Workers(rank, count, int(os.environ.get("LOCAL_RANK", rank)), preparation_group, words)


def _interruptible(wait: Callable[[], Whole]) -> Whole:
    """Return what a function returns that waits in foreign code, where Python does not notice Ctrl-C and SIGTERM: it
    runs in a thread of its own, which ends with the process."""
    done: list[Whole] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(wait())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
    if failed:
        raise failed[0]
    return done[0]


def _attempt() -> str:
    """Return a name of this start of the workers, which differs from earlier starts: torchrun's agent keeps the
    addresses of dead workers.

    The agents of several machines count their restarts differently, so these need a store that is new for every start.

    Raises:
        InputError: there are several machines, and they share one store.
    """
    shared = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if shared and os.environ.get("GROUP_WORLD_SIZE", "1") != "1":
        raise InputError(
            "torchrun on several machines: expected the variable TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"
        )
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") if shared else "0"


@contextmanager
def _lost_workers_reported() -> Iterator[None]:
    """Turn the error that a lost connection raises into a LostWorkerError."""
    try:
        yield
    except RuntimeError as error:
        raise LostWorkerError(f"another worker has ended, or is late ({first_line(error)})") from error
