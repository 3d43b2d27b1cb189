"""The log of a training run: ``stats.jsonl`` (equal for equal runs), tensorboard, preview images."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from anifacegan.runtime.files import not_writable_error, write_complete
from anifacegan.runtime.image_files import encoded_image


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
        if self.stats.is_file():
            lines = [line for line in _lines(self.stats) if _step_of(line) <= step]
            write_complete(self.stats, "".join(line + "\n" for line in lines))
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
        pending = pending or {"totals": {}, "count": 0}
        self.totals: dict[str, float] = dict(pending["totals"])
        self.count: int = pending["count"]
        self.images = 0
        self.started = time.monotonic()

    def pending(self) -> dict[str, Any]:
        """Return the sums of the losses since the last line, so that a resumed run writes the same next line as an
        unbroken run.
        """
        return {"totals": dict(self.totals), "count": self.count}

    def add(self, values: dict[str, float], images: int = 0) -> None:
        """Add the losses of one step, which learnt from ``images`` images."""
        for name, value in values.items():
            self.totals[name] = self.totals.get(name, 0.0) + value
        self.count += 1
        self.images += images

    def flush(self, step: int) -> dict[str, float]:
        """Write the mean losses since the last line to stats.jsonl and tensorboard; return the means by name."""
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
        write_complete(self.folder / f"{name}.png", encoded_image(image))
        self.writer.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Close tensorboard's file."""
        self.writer.close()


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8", errors="replace").splitlines()


def _step_of(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return 2**62  # half a line: cut it off
