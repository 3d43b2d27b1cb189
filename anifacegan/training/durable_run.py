"""A training run that can be stopped or killed at any step and, resumed, ends exactly as an unbroken one.

This module manages the run folder of every kind of training; the training itself is a loop that reports its steps:

    durable = DurableRun(config, fixed_values(config, checksums))   # refuses a folder that began with other options
    state = fresh_state(config)
    with durable:                                                   # a new run that fails here leaves no trace
        durable.resume(state)                                       # from the newest snapshot, if there is one
        if durable.new:
            initialize(state)                                       # the first weights
        with durable.reporting(state, preview, preview_every) as report:
            train(state, ..., report)                               # calls report(state, losses) after every step
"""

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from tqdm import tqdm

from anifacegan.models.model_folder import CARD, TENSORS
from anifacegan.runtime.distributed import SINGLE_PROCESS, Workers
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import sha256
from anifacegan.runtime.locks import FolderLock
from anifacegan.runtime.output_folders import (
    claim,
    note_claims,
    own_files,
    require_room,
    still_own,
    withdraw_claim,
    write_noted,
)
from anifacegan.runtime.paths import exists
from anifacegan.runtime.structured_text import parse_yaml, read_yaml, yaml_text
from anifacegan.runtime.typed_config import plain
from anifacegan.training.logging import Losses, RunLog
from anifacegan.training.resume_check import refuse_changes, refuse_other_run, require_within_schedule
from anifacegan.training.snapshots import (
    CONFIG,
    RUN_FILES,
    files_of_run,
    load_newest,
    remove_half_written,
    save_snapshot,
)


@runtime_checkable
class SavedState(Protocol):
    """Everything that a run trains and that its snapshots store."""

    step: int
    """Number of finished steps."""
    learning: dict[str, float]
    """Learning rates and gradient norms of the networks, by name."""

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values with everything that a resumed run needs, ``step`` included."""
        ...

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Restore from tensors on the CPU what :meth:`state_dict` returned.

        Raises:
            RuntimeError, ValueError, KeyError: the content belongs to other networks.
        """
        ...


@runtime_checkable
class Intervals(Protocol):
    """Number of steps between two lines of stats.jsonl and between two snapshots, and number of snapshots to keep."""

    @property
    def log_every(self) -> int: ...
    @property
    def snapshot_every(self) -> int: ...
    @property
    def keep_snapshots(self) -> int: ...


@runtime_checkable
class Steps(Protocol):
    """Number of steps of a run."""

    @property
    def steps(self) -> int: ...


@runtime_checkable
class RunConfig(Protocol):
    """Options that the configuration of every kind of training run has."""

    @property
    def out(self) -> Path: ...
    @property
    def schedule(self) -> Steps: ...
    @property
    def reporting(self) -> Intervals: ...
    def image_count(self, step: int) -> int:
        """Return the number of images that a step, counted from 0, learns from."""
        ...


Report = Callable[[SavedState, dict[str, float]], None]
"""Type of the function that a training loop calls after every step, with the state and the losses of the step."""


class DurableRun:
    """A training run in its folder ``config.out``, which can be killed at any step and resumed.

    All processes of the run read the folder; the first one writes it.
    """

    def __init__(self, config: RunConfig, fixed: dict[str, Any], workers: Workers = SINGLE_PROCESS) -> None:
        """Look for a snapshot in the run folder; nothing is written.

        ``fixed`` are the options that must not change, from :func:`anifacegan.training.resume_check.fixed_values`.

        Raises:
            InputError: the run began with other values, no snapshot is readable, or workers disagree.
        """
        self.config, self.fixed, self.workers = config, fixed, workers
        self._lock = FolderLock(config.out)
        self._trace: list[str] = []
        self._made: list[Path] = []
        self.content = load_newest(config.out)
        self.new = self.content is None
        if self.content is not None:
            refuse_changes(config.out, self.content["fixed"], fixed)
            require_within_schedule(config.out, self.content["step"], config.schedule.steps)
        checksum = sha256([json.dumps(fixed, sort_keys=True, default=str).encode()])
        workers.require_same(
            "the checksum of configuration and data", int(checksum[:14], 16)
        )  # fits into int64
        step = -1 if self.content is None else self.content["step"]
        workers.require_same(f"{config.out}: the newest snapshot's step (-1: none)", step)

    def __enter__(self) -> "DurableRun":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Unlock the folder; of a new run that fails before its first step, remove what :meth:`resume` wrote."""
        if kind is not None and self._trace:
            with suppress(OSError, InputError):
                for name in still_own(self.config.out, self._trace):
                    (self.config.out / name).unlink(missing_ok=True)
                withdraw_claim(self.config.out, self._trace)
        self._lock.release()
        if kind is not None:
            for folder in self._made:  # innermost first
                with suppress(OSError):  # something is in it
                    folder.rmdir()

    def resume(self, state: SavedState) -> None:
        """Load the newest snapshot into ``state``, lock the folder, write ``config.yaml``, and remove half-written
        files.

        If there is no snapshot, ``state`` is not changed. It is noted what each file of the run holds, of stats.jsonl
        when the run ends, so that a run in the folder replaces none that somebody has changed or put there since. Only
        a resumed run whose folder has no such list, as those of earlier versions, replaces them whatever they hold: its
        snapshots say whose folder it is. A config.yaml that somebody has edited stays if the run has its options.

        Raises:
            InputError: the snapshot belongs to other networks, the folder has files of others or another run's model in
                the way, or another process trains in the folder; no file has been written or removed then.
        """
        out = self.config.out
        if self.content is not None:
            try:
                state.load_state_dict(self.content)
            except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError):
                raise InputError(
                    f"{out}: its snapshots are of other networks than the configuration's, expected those of "
                    f"{out / 'config.yaml'}; take another --out for a new run"
                ) from None
        if self.workers.first:
            if self.new:
                refuse_other_run(out, self.config)
            text, kept = yaml_text(plain(self.config)), False
            if not self.new and CONFIG not in still_own(out, [CONFIG]):
                kept = _holds_options(out / CONFIG, text)
            files = [name for name in RUN_FILES if not (kept and name == CONFIG)]
            for folder, names in ((out / "model", (TENSORS, CARD)), (out, files)):
                require_room(folder, names, overwrite=None if self.new or own_files(folder) else True)
            self._made = [folder for folder in (out, *out.parents) if not exists(folder)]
            unlisted = [] if self.new or own_files(out) else files_of_run(out)
            claim(out, [], overwrite=None if self.new else True)
            self._lock.take()
            # the next run would refuse what this one does not replace
            note_claims(out, dict.fromkeys(unlisted))
            remove_half_written(out)
            if self.new and not exists(out / CONFIG):
                self._trace = [CONFIG]
            if not kept:
                write_noted(out, CONFIG, text)

    @contextmanager
    def reporting(
        self, state: SavedState, preview: Callable[[RunLog], None], preview_every: int
    ) -> Iterator[Report]:
        """Yield the function to call after each step, which logs, saves snapshots and moves the progress bar.

        ``preview`` is called every ``preview_every`` steps and at the end. After Ctrl-C, SIGTERM or SIGHUP to any
        worker, the current step is finished and saved, and the yielded function raises KeyboardInterrupt.
        """
        steps, workers = self.config.schedule.steps, self.workers
        pending = None if self.content is None else self.content["log"]
        self.content = None  # its tensors are in the state by now
        self._trace, self._made = [], []
        with ExitStack() as stack:
            stack.callback(self._lock.release)
            stop = stack.enter_context(deferred_interrupts())
            if workers.first:
                log = stack.enter_context(closing(RunLog(self.config.out, state.step, pending)))
                hidden = not sys.stderr.isatty()
                bar = stack.enter_context(tqdm(total=steps, initial=state.step, unit="step", disable=hidden))

            def report(state: SavedState, losses: Losses | dict[str, float]) -> None:
                stopping = workers.any(stop.is_set())
                if workers.first:
                    images = self.config.image_count(state.step - 1)
                    self._log(log, state, losses, images)
                    if state.step % preview_every == 0 or state.step == steps:
                        preview(log)
                    self._save(log, state, stopping)
                    rate = images * (bar.format_dict["rate"] or 0)
                    bar.set_postfix_str(f"{rate:.1f} images/s", refresh=False)
                    bar.update()
                if stopping:
                    workers.wait()  # until it is saved
                    raise KeyboardInterrupt

            yield report

    def _log(self, log: RunLog, state: SavedState, losses: Losses | dict[str, float], images: int) -> None:
        log.add(losses, images)
        if state.step % self.config.reporting.log_every == 0:
            log.flush(state.step)
            log.watch(state.step, state.learning)

    def _save(self, log: RunLog, state: SavedState, stopping: bool) -> None:
        reporting = self.config.reporting
        due = state.step % reporting.snapshot_every == 0 or state.step == self.config.schedule.steps
        if due or stopping:
            content = state.state_dict() | {"log": log.pending(), "fixed": self.fixed}
            save_snapshot(self.config.out, state.step, content, reporting.keep_snapshots)


def _holds_options(path: Path, text: str) -> bool:
    """Return whether a file holds the same options as a text, both YAML."""
    try:
        return read_yaml(path, "options") == parse_yaml(text)
    except InputError:
        return False


@contextmanager
def deferred_interrupts() -> Iterator[threading.Event]:
    """Inside the block, let Ctrl-C, SIGTERM and SIGHUP only set the yielded event, so that they interrupt no step.

    A signal that is ignored, as SIGHUP is after ``nohup``, stays so.
    """
    event = threading.Event()
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {name: handler for name in names if (handler := signal.getsignal(name)) is not signal.SIG_IGN}
    for name in before:
        signal.signal(name, lambda *_: event.set())
    try:
        yield event
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
