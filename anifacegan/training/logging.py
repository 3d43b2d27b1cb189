"""The log of a training run: ``stats.jsonl`` (equal for equal runs), tensorboard, preview images."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import not_writable_error, write_complete
from anifacegan.runtime.image_files import encoded_image
from anifacegan.runtime.output_folders import note_claims, note_contents, withdraw_claim, write_noted


class Losses(Mapping):  # without [str, float]: checks of types would read an item
    """Losses of a step by name, which stay on their device until one of them is asked for.

    Reading makes the CPU wait for a GPU, so :meth:`read` reads those of many steps in one go.
    """

    def __init__(self, losses: Mapping[str, Tensor]) -> None:
        self._names, values = tuple(losses), [value.detach() for value in losses.values()]
        exact = torch.float64 if any(value.dtype == torch.float64 for value in values) else torch.float32
        self._waiting = torch.stack([value.to(exact) for value in values]) if values else torch.zeros(0)
        self._values: dict[str, float] | None = None

    def __getitem__(self, name: str) -> float:
        if self._values is None:
            self.read([self])
        assert self._values is not None
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    @staticmethod
    def read(steps: "Sequence[Losses]") -> None:
        """Read the losses of several steps from their device."""
        waiting = [step for step in steps if step._values is None]
        if not waiting:
            return
        numbers = iter(torch.cat([step._waiting for step in waiting]).tolist())
        for step in waiting:
            step._values = {name: next(numbers) for name in step._names}


class RunLog:
    """Writes losses and images into a run folder; a line of stats.jsonl has the mean losses since the line before."""

    def __init__(self, folder: Path, step: int, pending: dict[str, Any] | None = None) -> None:
        """Open the log of a run that has finished ``step`` steps; lines of later steps, which an interrupted run has
        left, are removed.

        ``pending`` is what :meth:`pending` returned at that step; None: no losses have been added since the last line.
        """
        from torch.utils.tensorboard import SummaryWriter  # slow to import, needed here only

        self.folder = folder
        self.stats = folder / "stats.jsonl"
        note_claims(folder, {self.stats.name: None})
        if self.stats.is_file():
            lines = [line for line in _lines(self.stats) if _step_of(line) <= step]
            write_complete(self.stats, "".join(line + "\n" for line in lines))
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
        pending = pending or {"totals": {}, "count": 0}
        self.totals: dict[str, float] = dict(pending["totals"])
        self.count: int = pending["count"]
        self._unread: list[Losses | dict[str, float]] = []
        self.images = 0
        self.started = time.monotonic()

    def pending(self) -> dict[str, Any]:
        """Return the sums of the losses since the last line, so that a resumed run writes the same next line as an
        unbroken run.
        """
        self._read()
        return {"totals": dict(self.totals), "count": self.count}

    def add(self, values: "Losses | dict[str, float]", images: int = 0) -> None:
        """Add the losses of one step, which learnt from ``images`` images; they are read later."""
        self._unread.append(values)
        self.count += 1
        self.images += images

    def _read(self) -> None:
        Losses.read([values for values in self._unread if isinstance(values, Losses)])
        for values in self._unread:
            for name, value in values.items():
                self.totals[name] = self.totals.get(name, 0.0) + value
        self._unread = []

    def flush(self, step: int) -> dict[str, float]:
        """Write the mean losses since the last line to stats.jsonl and tensorboard; return the means by name."""
        self._read()
        means = {name: total / self.count for name, total in self.totals.items()}
        self._append({"step": step} | {name: float(f"{v:.6g}") for name, v in means.items()})
        self.watch(step, means)
        now = time.monotonic()
        self.watch(step, {"images_per_second": self.images / (now - self.started)})
        self.totals, self.count, self.images, self.started = {}, 0, 0, now
        return means

    def record(self, step: int, values: dict[str, float]) -> None:
        """Write values that were measured at one step to stats.jsonl and tensorboard."""
        self._append({"step": step} | values)
        self.watch(step, values)

    def watch(self, step: int, values: dict[str, float]) -> None:
        """Write values to tensorboard only."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def _append(self, line: dict[str, Any]) -> None:
        try:
            with self.stats.open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise not_writable_error(self.stats, error) from None

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Write a (H, W, 3) uint8 image to NAME.png in the run folder, replacing an older one, and to tensorboard."""
        write_noted(self.folder, f"{name}.png", encoded_image(image))
        self.writer.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Close tensorboard's file, and note what stats.jsonl holds now that it grows no more."""
        self.writer.close()
        with suppress(OSError, InputError):  # the disk is full
            if self.stats.is_file():
                note_contents(self.folder, [self.stats.name])
            else:
                withdraw_claim(self.folder, [self.stats.name])


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8", errors="replace").splitlines()


def _step_of(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return 2**62  # half a line: cut it off
