"""Several processes that train one model together: each computes its share of a batch, and all take the same step.

torchrun starts the processes, here called workers: one a GPU, or some on CPUs, on one machine or several. Every draw
of a step comes from (seed, step), so each worker can draw what one process would draw for the whole batch, and keep
its own share: the items in places rank * n to (rank + 1) * n. Shares are equal, so

    term of the batch = mean over workers of the term of a share,

for every term that is a mean over items, and the same holds for gradients. A term that is divided by a count of its
batch divides by ``count_in_share``, which is the whole batch's count over the number of workers.

One process alone is ``ALONE``, whose methods give back what they are given. Sums go through NCCL on GPUs and through
gloo on CPUs.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor, nn

from anifacegan.runtime.devices import with_tensors
from anifacegan.runtime.errors import InputError, exit_code

STEP_TIMEOUT = timedelta(minutes=30)
"""How long workers wait for each other within a step; the first one may be writing a preview or a snapshot."""
PREPARATION_TIMEOUT = timedelta(hours=24)
"""How long they wait for the first one to draw the surfaces and to fit priors and initial manifolds."""
SHUTDOWN_GRACE_S = 60
"""How long a worker that fails as another does waits for that one to say why, seconds."""
GIVEN_BY_TORCHRUN = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
Whole = TypeVar("Whole")


class LostWorkerError(RuntimeError):
    """Another worker has ended, or did not come in time."""


@dataclass(frozen=True)
class Workers:
    """The processes of a run, as one of them sees them."""

    rank: int = 0
    """Of this worker, from 0; the first one writes the files."""
    count: int = 1
    local_rank: int = 0
    """Of this worker on its machine."""
    timeout: Any = None
    """Process group with long timeouts, on the CPU; none where one process is alone."""
    store: Any = None
    """Few words that all workers can read."""

    @property
    def first(self) -> bool:
        return self.rank == 0

    # ------------------------------------------------------------------------------------------------------ shares
    def part(self, count: int) -> slice:
        """This worker's places among ``count``, which divides by the number of workers."""
        size, rest = divmod(count, self.count)
        assert rest == 0, f"{count} items do not divide by {self.count} workers"
        return slice(self.rank * size, (self.rank + 1) * size)

    def share(self, whole: Whole) -> Whole:
        """This worker's items of a tensor, or of a dataclass of tensors, whose first axis is the batch."""
        if self.timeout is None:
            return whole
        if isinstance(whole, Tensor):
            return whole[self.part(len(whole))]
        return with_tensors(whole, self.share)

    def draw(
        self, kind: Callable[..., Tensor], shape: tuple[int, ...], rng: torch.Generator
    ) -> Shaped[Tensor, "..."]:
        """A share of this shape of what ``kind`` (torch.rand, torch.randn) draws for the whole batch.

        The generator moves on as it does in one process.
        """
        return self.share(kind(shape[0] * self.count, *shape[1:], generator=rng))

    def refuse_uneven(self, option: str, count: int) -> None:
        """Raises InputError where so many items cannot be shared equally."""
        if count % self.count:
            raise InputError(
                f"{option} is {count}, expected a multiple of {self.count}, the number of workers"
            )

    def require_one(self, what: str) -> None:
        """Raises InputError where there are several: not everything can be shared."""
        if self.count > 1:
            raise InputError(f"{what}: {self.count} workers, expected one; start it without torchrun")

    # ------------------------------------------------------------------------------------------------ common values
    def mean(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """Terms of the shares -> terms of the whole batch. Their gradients stay those of this worker's share."""
        if self.timeout is None or not terms:
            return terms
        local = torch.stack([value.detach() for value in terms.values()])
        changes = self._sum(local.clone()) / self.count - local
        return {name: value + change for (name, value), change in zip(terms.items(), changes, strict=True)}

    def mean_gradients(self, weights: Iterable[Tensor]) -> None:
        """Replace the gradients that the shares have left by those of the whole batch.

        The same weights have one on every worker: which fields learn in a step does not depend on what is drawn.
        """
        if self.timeout is None:
            return
        slopes = [weight.grad for weight in weights if weight.grad is not None]
        if slopes:
            mean = self._sum(torch.cat([slope.flatten() for slope in slopes])) / self.count
            for slope, values in zip(slopes, mean.split([slope.numel() for slope in slopes]), strict=True):
                slope.copy_(values.view_as(slope))

    def count_in_share(self, selected: Shaped[Tensor, "*any"]) -> Shaped[Tensor, ""]:
        """Sum of a mask, or of weights, over the whole batch, at least 1, for each worker."""
        total = selected.detach().sum()
        if self.timeout is None:
            return total.clamp(min=1)
        return self._sum(total).clamp(min=1) / self.count

    def any(self, flag: bool) -> bool:
        """Whether a worker has it."""
        return bool(self._of_all(int(flag), dist.ReduceOp.MAX))

    def wait(self) -> None:
        """Until all are here, however long the first one takes."""
        self.any(False)

    def require_same(self, what: str, value: int) -> None:
        """Raises InputError, on every worker, where they do not agree."""
        least, most = (self._of_all(value, kind) for kind in (dist.ReduceOp.MIN, dist.ReduceOp.MAX))
        if least != most:
            raise InputError(
                f"{what} is {least} for one worker and {most} for another, expected the same for all"
            )

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """The first worker runs the block, then the others do."""
        if not self.first:
            self.wait()
        yield
        if self.first:
            self.wait()

    @torch.no_grad()
    def follow_first(self, modules: Iterable[nn.Module]) -> None:
        """Everybody takes the first worker's weights and buffers."""
        if self.timeout is None:
            return
        with _listening():
            for module in modules:
                for tensor in module.state_dict().values():
                    dist.broadcast(tensor, 0)

    def _sum(self, value: Tensor) -> Tensor:
        """In place, over the workers, where the tensor is."""
        with _listening():
            dist.all_reduce(value)
        return value

    def _of_all(self, value: int, kind: Any) -> int:
        if self.timeout is None:
            return value
        both = torch.tensor(value)
        with _listening():
            dist.all_reduce(both, kind, group=self.timeout)
        return int(both)

    # --------------------------------------------------------------------------------------------------- beginning, end
    def take_gpu(self, device: str) -> None:
        """``cuda`` is from now on this worker's own GPU; nothing to do on CPUs.

        Raises:
            InputError: there are more workers than GPUs on this machine.
        """
        if self.timeout is None or device != "cuda":
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
        """Of workers that fail alike, or one because of the other, let only the first one's error through to be
        printed. The others exit with the error's code and without a word.
        """
        try:
            yield
        except (InputError, OSError, FloatingPointError, LostWorkerError, KeyboardInterrupt) as error:
            if self.timeout is not None and not self._first_to_speak():
                raise SystemExit(exit_code(error)) from None
            raise

    def _first_to_speak(self) -> bool:
        """Otherwise, waits until that one has spoken: torchrun ends all workers when it sees one end."""
        with suppress(RuntimeError):
            if self.store.add("speaking", 1) == 1:
                return True
            self.store.wait(["said"], timedelta(seconds=SHUTDOWN_GRACE_S))
        return False


SINGLE_PROCESS = Workers()


@contextmanager
def working_together() -> Iterator[Workers]:
    """The workers that torchrun has started, in whose block all have to be together; one alone where it has not.

    An error is to be caught and printed within the block, in :meth:`Workers.rank_zero_only`.
    """
    if any(name not in os.environ for name in GIVEN_BY_TORCHRUN):
        yield SINGLE_PROCESS
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() and dist.is_nccl_available() else "gloo"
    store, rank, count = next(dist.rendezvous("env://"))
    store = dist.PrefixStore(_attempt(), store)
    dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=STEP_TIMEOUT)
    timeout = dist.new_group(backend="gloo", timeout=PREPARATION_TIMEOUT)
    words = dist.PrefixStore("anifacegan", store)
    try:
        yield Workers(rank, count, int(os.environ.get("LOCAL_RANK", rank)), timeout, words)
    except BaseException:
        with suppress(RuntimeError):
            words.set("said", "")
        raise  # and do not wait for the others to say goodbye
    dist.destroy_process_group()


def _attempt() -> str:
    """Tells the workers of this start from dead ones, whose addresses torchrun's agent keeps in its store.

    The agents of several machines count their restarts differently, and need a store that is new for every start.

    Raises:
        InputError: there are several, and they share one.
    """
    kept = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    if kept and os.environ.get("GROUP_WORLD_SIZE", "1") != "1":
        raise InputError(
            "torchrun on several machines: expected the variable TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1"
        )
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") if kept else "0"


@contextmanager
def _listening() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        said = str(error).strip().splitlines() or [""]
        raise LostWorkerError(f"another worker has ended, or is late ({said[0][:120]})") from error
