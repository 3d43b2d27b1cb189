"""Snapshots of a run: everything needed to go on, written atomically, the newest few kept.

What must stay as it was when a run goes on from a snapshot: otherwise it would be no run that can be repeated.

A snapshot holds these values, and the sums of the data that it was trained on, as plain values.

A run that loses nothing: stopped or killed at any step, it is taken up again and ends as the unbroken run.

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

import io
import json
import pickle
import re
import signal
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
import yaml
from tqdm import tqdm

from anifacegan.models.model_folder import CARD, TENSORS
from anifacegan.runtime.distributed import SINGLE_PROCESS, Workers
from anifacegan.runtime.errors import InputError, first_line
from anifacegan.runtime.files import remove_leftovers, remove_unfinished, sha256, write_complete
from anifacegan.runtime.typed_config import plain
from anifacegan.training.logging import RunLog

PATTERN = "snapshot_*.pt"
_NAME = re.compile(r"snapshot_\d{8,}\.pt")
"""Of the snapshots that a run writes; files of other names, such as a copy snapshot_best.pt, are left alone."""
WRITTEN = rf"{_NAME.pattern}|config\.yaml|stats\.jsonl|(preview|expressions|deformation|yaw|depth)\.png"
"""Names of the files that a run writes into its folder."""
DAMAGED = (RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile)
"""What reading a damaged file raises."""


def save_snapshot(folder: Path, step: int, content: dict, keep: int) -> None:
    """Write ``snapshot_STEP.pt``, complete or not at all, and remove all but the newest ``keep`` up to it.

    Raises:
        InputError: the file cannot be written; all others are as they were.
    """
    path = _path(folder, step)
    buffer = io.BytesIO()  # of a full disk, torch.save says something else
    torch.save(content, buffer)
    write_complete(path, buffer.getbuffer())
    for old in [other for other in _snapshots(folder) if other <= path][:-keep]:
        old.unlink()


def remove_half_written(folder: Path) -> None:
    """Remove what a killed process was writing in a run folder; no other process may be at work there."""
    remove_leftovers(folder, WRITTEN)
    remove_leftovers(folder / "surfaces", r"visible\.npy|surfaces\.json")
    remove_unfinished(folder / "model", (TENSORS, CARD))


def load_newest(folder: Path) -> dict | None:
    """Content of the newest readable snapshot, None where there is none; a damaged one is reported and passed over."""
    for path in reversed(_snapshots(folder)):
        try:
            return _read(path)
        except DAMAGED as error:
            print(f"{path}: damaged ({first_line(error)}), trying the one before", file=sys.stderr)
    if _snapshots(folder):
        raise InputError(f"{folder}: no snapshot is readable; remove {PATTERN} there to start over")
    return None


def load_snapshot(folder: Path, step: int | None) -> dict:
    """Content of the snapshot of a step; None is the newest readable one.

    Raises:
        InputError: there is none, or it is damaged; the message lists the steps there are.
    """
    if step is None:
        content = load_newest(folder)
        if content is None:
            raise InputError(f"{folder}: holds no {PATTERN}, expected a run's folder")
        return content
    path = _path(folder, step)
    if not path.exists():
        there = ", ".join(other.name for other in _snapshots(folder))
        raise InputError(f"{path}: no such snapshot, expected {there or 'a run that has some'}")
    try:
        return _read(path)
    except DAMAGED as error:
        raise InputError(f"{path}: damaged ({first_line(error)})") from None


def _snapshots(folder: Path) -> list[Path]:
    """The run's own, the oldest first."""
    return sorted(path for path in folder.glob(PATTERN) if _NAME.fullmatch(path.name))


def _path(folder: Path, step: int) -> Path:
    return folder / f"snapshot_{step:08d}.pt"


def _read(path: Path) -> dict:
    """PyTorch does not look at the checksums in its files, and would take a flipped bit for a weight."""
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()
    if broken is not None:
        raise zipfile.BadZipFile(f"{broken} differs from its checksum")
    return torch.load(path, weights_only=True, map_location="cpu")


FREE = (
    "out",
    "face_model",
    "reporting",
    "threads",
    "device",
    "compile",
    "name",
    "task",
    "data.path",
    "data.skip_bad",
    "real.path",
    "real.skip_bad",
    "reconstruction",
    "rasterizer",
)
"""Options that say where things are and what is reported. Data, face model and network R are known by their sums."""
FIXED_WITHIN = ("reporting.held_out",)
"""But this one says which images are trained on."""
CHECKSUMS = {
    "codes_sha256": "data.path",
    "face_model_sha256": "face_model",
    "real_sha256": "real.path",
    "reconstruction_sha256": "reconstruction",
}
"""Sum of the data -> option that names what it is of; a run has some of them."""


def fixed_values(config: object, checksums: dict[str, Any]) -> dict[str, Any]:
    """Option -> plain value of everything in a run's configuration that must not change; ``sums`` are of the data."""
    values = _flat(plain(config))
    free = tuple(f"{name}." for name in FREE)
    kept = {
        key: value for key, value in values.items() if not f"{key}.".startswith(free) or key in FIXED_WITHIN
    }
    return kept | {name: checksums[name] for name in CHECKSUMS if name in checksums}


def refuse_changes(out: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Compare :func:`fixed_values` of a snapshot with those of the run that wants to go on.

    An option that only one of them knows came or went with a version: it is passed over.

    Raises:
        InputError: a value differs; the line names the option and both values.
    """
    for key in now:
        if key in before and now[key] != before[key]:
            came = (
                f"{CHECKSUMS.get(key, key)} is {_shown(key, now[key])}, expected {_shown(key, before[key])}"
            )
            raise InputError(f"{came} as in the snapshots of {out}; take another --out for a new run")


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values under dotted keys; a nested group is also there itself, as whether it is given."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= {f"{prefix}{key}": "keys and values"} | _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _shown(key: str, value: Any) -> str:
    if key in CHECKSUMS:
        return f"of SHA-256 {str(value)[:12]}..."
    return "null" if value is None else str(value)


@runtime_checkable
class SavedState(Protocol):
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


Report = Callable[[SavedState, dict[str, float]], None]
"""Called after every step, with the step's losses."""


class DurableRun:
    """A run in its folder ``config.out``. All workers read there, the first one writes."""

    def __init__(self, config: RunConfig, fixed: dict[str, Any], workers: Workers = SINGLE_PROCESS) -> None:
        """Look for a snapshot; nothing is written. ``fixed``: see :func:`anifacegan.continuation.fixed_values`.

        Raises:
            InputError: the run began with other values, or no snapshot is readable.
        """
        self.config, self.fixed, self.workers = config, fixed, workers
        self.content = load_newest(config.out)
        self.new = self.content is None
        if self.content is not None and "fixed" in self.content:  # older snapshots do not say
            refuse_changes(config.out, self.content["fixed"], fixed)
        summed = sha256([json.dumps(fixed, sort_keys=True, default=str).encode()])
        workers.require_same("the sum over configuration and data", int(summed[:14], 16))  # fits into int64
        step = -1 if self.content is None else self.content["step"]
        workers.require_same(f"{config.out}: the newest snapshot's step (-1: none)", step)

    def take_up(self, state: SavedState) -> None:
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
    def reporting(
        self, state: SavedState, show: Callable[[RunLog], None], show_every: int
    ) -> Iterator[Report]:
        """What happens after each step: the progress bar; lines of stats.jsonl, with learning rates and gradient norms
        in tensorboard; ``show`` every so many steps and at the end; snapshots.

        Ctrl-C and SIGTERM, to any worker, let the step on its way end, save, and leave with KeyboardInterrupt.
        """
        when, steps, workers = self.config.reporting, self.config.schedule.steps, self.workers
        pending = None if self.content is None else self.content.get("log")
        self.content = None  # its tensors are in the state by now
        with ExitStack() as stack:
            stop = stack.enter_context(ask_before_stopping())
            if workers.first:
                log = stack.enter_context(closing(RunLog(self.config.out, state.step, pending)))
                hidden = not sys.stderr.isatty()
                bar = stack.enter_context(tqdm(total=steps, initial=state.step, unit="step", disable=hidden))

            def write(state: SavedState, losses: dict[str, float], stopping: bool) -> None:
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

            def report(state: SavedState, losses: dict[str, float]) -> None:
                stopping = workers.any(stop.is_set())
                if workers.first:
                    write(state, losses, stopping)
                if stopping:
                    workers.wait()  # until it is saved
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
