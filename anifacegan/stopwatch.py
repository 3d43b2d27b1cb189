"""Where the time of a computation goes, measured from outside: what is timed knows nothing of it.

A stopwatch is always in one phase. A phase inside another one is taken from the outer one's time, so the phases' times
add up to the whole.
"""

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook


class Stopwatch:
    """Seconds of each phase."""

    def __init__(self, finish: Callable[[], None] = lambda: None, now: Callable[[], float] = time.perf_counter) -> None:
        """``finish`` waits for what a device still has to do, where it works while Python goes on."""
        self.seconds: dict[str, float] = {}
        self._finish, self._now = finish, now
        self._open: list[str] = []
        self._since = 0.0

    def begin(self, phase: str) -> None:
        self._stop()
        self._open.append(phase)

    def end(self) -> None:
        """End the innermost phase."""
        self._stop()
        self._open.pop()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self.begin(name)
        try:
            yield
        finally:
            self.end()

    def timed(self, name: str, function: Callable) -> Callable:
        """The function, as a phase; outside any other phase its time does not count."""

        @functools.wraps(function)
        def with_time(*arguments: Any, **options: Any) -> Any:
            if not self._open:
                return function(*arguments, **options)
            with self.phase(name):
                return function(*arguments, **options)

        return with_time

    @property
    def shares(self) -> dict[str, float]:
        """Each phase's part of the whole; they add up to 1."""
        total = sum(self.seconds.values())
        return {name: seconds / total for name, seconds in self.seconds.items()}

    def _stop(self) -> None:
        """Book the time since the last change of phase."""
        self._finish()
        now = self._now()
        if self._open:
            self.seconds[self._open[-1]] = self.seconds.get(self._open[-1], 0.0) + now - self._since
        self._since = now


@contextmanager
def timing_learning(watch: Stopwatch) -> Iterator[None]:
    """Inside, PyTorch's part of learning is in phases: ``backward``, and ``optimiser`` with the gradients' norms."""
    with ExitStack() as undo:
        for owner, name, phase in (
            (torch.autograd, "backward", "backward"),
            (torch.autograd, "grad", "backward"),
            (torch.nn.utils, "clip_grad_norm_", "optimiser"),
        ):
            undo.enter_context(replaced(owner, name, watch.timed(phase, getattr(owner, name))))
        for hook in (
            register_optimizer_step_pre_hook(lambda *_: watch.begin("optimiser")),
            register_optimizer_step_post_hook(lambda *_: watch.end()),
        ):
            undo.callback(hook.remove)
        yield


@contextmanager
def timing_methods(watch: Stopwatch, thing: object, phase: str) -> Iterator[None]:
    """Inside, every public method of an object is a phase."""
    with ExitStack() as undo:
        for name in dir(type(thing)):
            method = getattr(thing, name) if callable(getattr(type(thing), name)) else None
            if method is not None and not name.startswith("_"):
                undo.enter_context(replaced(thing, name, watch.timed(phase, method)))
        yield


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Inside, an attribute of a module or of one object is another one."""
    own = name in vars(owner)
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)
