"""A run that loses nothing: stopped or killed at any step, it is taken up again and ends as the unbroken run.

What training does is the business of its own module; what every kind of training leaves in its run folder, and how it
goes on there, is here:

    kept = DurableRun(config, fixed_values(config, sums))     # refuses a folder that began otherwise
    state = fresh_state(config)
    kept.take_up(state)                                       # the newest snapshot, where there is one
    if kept.new:
        start(state)                                          # the first weights
    with kept.reporting(state, show, show_every) as report:
        train(state, ..., report)                             # calls report(state, losses) after every step
"""

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import yaml
from tqdm import tqdm

from anifacegan.atomic_files import sha256, write_complete
from anifacegan.command_line import plain
from anifacegan.continuation import refuse_changes
from anifacegan.distribution import ALONE, Workers
from anifacegan.errors import InputError
from anifacegan.run_log import RunLog
from anifacegan.snapshots import load_newest, remove_half_written, save_snapshot


@runtime_checkable
class KeptState(Protocol):
    """What a run trains."""

    step: int
    """Of those that are done."""
    learning: dict[str, float]
    """Learning rates and gradient norms, by name."""

    def state_dict(self) -> dict[str, Any]:
        """All it takes to go on, ``step`` included: tensors and plain values."""
        ...

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned, on the CPU. Raises RuntimeError, ValueError or KeyError where
        it is of other networks."""
        ...


@runtime_checkable
class Intervals(Protocol):
    """Steps between two lines of stats.jsonl and two snapshots, and how many of these are kept."""

    @property
    def log_every(self) -> int: ...
    @property
    def snapshot_every(self) -> int: ...
    @property
    def keep_snapshots(self) -> int: ...


@runtime_checkable
class Steps(Protocol):
    @property
    def steps(self) -> int: ...


@runtime_checkable
class RunConfig(Protocol):
    """What the configuration of every run says."""

    @property
    def out(self) -> Path: ...
    @property
    def schedule(self) -> Steps: ...
    @property
    def reporting(self) -> Intervals: ...
    def images(self, step: int) -> int:
        """That the step after so many learns from."""
        ...


Report = Callable[[KeptState, dict[str, float]], None]
"""Called after every step, with the step's losses."""


class DurableRun:
    """A run in its folder ``config.out``. All workers read there, the first one writes."""

    def __init__(self, config: RunConfig, fixed: dict[str, Any], workers: Workers = ALONE) -> None:
        """Look for a snapshot; nothing is written. ``fixed``: see :func:`anifacegan.continuation.fixed_values`.

        Raises:
            InputError: the run began with other values, or no snapshot is readable.
        """
        self.config, self.fixed, self.workers = config, fixed, workers
        self.content = load_newest(config.out)
        self.new = self.content is None
        if self.content is not None and "fixed" in self.content:       # older snapshots do not say
            refuse_changes(config.out, self.content["fixed"], fixed)
        summed = sha256([json.dumps(fixed, sort_keys=True, default=str).encode()])
        workers.require_same("the sum over configuration and data", int(summed[:14], 16))  # fits into int64
        step = -1 if self.content is None else self.content["step"]
        workers.require_same(f"{config.out}: the newest snapshot's step (-1: none)", step)

    def take_up(self, state: KeptState) -> None:
        """Load the newest snapshot into the state, write ``config.yaml``, and remove what a killed process left half
        written. The state of a new run is left as it is.

        Raises:
            InputError: the snapshot is of other networks; nothing is written then.
        """
        out = self.config.out
        if self.content is not None:
            try:
                state.load_state_dict(self.content)
            except (RuntimeError, ValueError, KeyError):
                raise InputError(
                    f"{out}: its snapshots are of other networks than the configuration's, expected those of "
                    f"{out / 'config.yaml'}; take another --out for a new run"
                ) from None
        out.mkdir(parents=True, exist_ok=True)
        if self.workers.first:
            remove_half_written(out)
            write_complete(out / "config.yaml", yaml.safe_dump(plain(self.config), sort_keys=False))

    @contextmanager
    def reporting(self, state: KeptState, show: Callable[[RunLog], None], show_every: int) -> Iterator[Report]:
        """What happens after each step: the progress bar; lines of stats.jsonl, with learning rates and gradient norms
        in tensorboard; ``show`` every so many steps and at the end; snapshots.

        Ctrl-C and SIGTERM, to any worker, let the step on its way end, save, and leave with KeyboardInterrupt.
        """
        when, steps, workers = self.config.reporting, self.config.schedule.steps, self.workers
        pending = None if self.content is None else self.content.get("log")
        self.content = None                                            # its tensors are in the state by now
        with ExitStack() as stack:
            stop = stack.enter_context(ask_before_stopping())
            if workers.first:
                log = stack.enter_context(closing(RunLog(self.config.out, state.step, pending)))
                hidden = not sys.stderr.isatty()
                bar = stack.enter_context(tqdm(total=steps, initial=state.step, unit="step", disable=hidden))

            def write(state: KeptState, losses: dict[str, float], stopping: bool) -> None:
                done, images = state.step == steps, self.config.images(state.step - 1)
                log.add(losses, images)
                if state.step % when.log_every == 0:
                    log.flush(state.step)
                    log.watch(state.step, state.learning)
                if state.step % show_every == 0 or done:
                    show(log)
                if state.step % when.snapshot_every == 0 or done or stopping:
                    content = state.state_dict() | {"log": log.pending(), "fixed": self.fixed}
                    save_snapshot(self.config.out, state.step, content, when.keep_snapshots)
                bar.set_postfix_str(f"{images * (bar.format_dict['rate'] or 0):.1f} images/s", refresh=False)
                bar.update()

            def report(state: KeptState, losses: dict[str, float]) -> None:
                stopping = workers.any(stop.is_set())
                if workers.first:
                    write(state, losses, stopping)
                if stopping:
                    workers.wait()                                     # until it is saved
                    raise KeyboardInterrupt

            yield report


@contextmanager
def ask_before_stopping() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set the event instead of breaking a step; the step's end saves and leaves."""
    event = threading.Event()
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}
    for name in before:
        signal.signal(name, lambda *_: event.set())
    try:
        yield event
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
