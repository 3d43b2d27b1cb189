"""What a run reports: ``stats.jsonl`` (losses, the same again on every repetition), tensorboard, preview images."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from anifacegan.runtime.files import encoded_image, not_writable_error, write_complete


class RunLog:
    """Writes into a run folder. Losses are means over the steps since the last line."""

    def __init__(self, folder: Path, step: int, pending: dict[str, Any] | None = None) -> None:
        """Start, or go on after ``step`` with what was ``pending`` there: later lines of an earlier run are cut off."""
        from torch.utils.tensorboard import SummaryWriter  # slow to import, needed here only

        self.folder = folder
        self.stats = folder / "stats.jsonl"
        if self.stats.is_file():
            lines = [line for line in self.stats.read_text().splitlines() if _step_of(line) <= step]
            write_complete(self.stats, "".join(line + "\n" for line in lines))
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
        pending = pending or {"checksums": {}, "count": 0}
        self.checksums: dict[str, float] = dict(pending["checksums"])
        self.count: int = pending["count"]
        self.images = 0
        self.started = time.monotonic()

    def pending(self) -> dict[str, Any]:
        """Values since the last line: with them a resumed run writes the same next line as an unbroken one."""
        return {"checksums": dict(self.checksums), "count": self.count}

    def add(self, values: dict[str, float], images: int = 0) -> None:
        """Values of one step, and how many images it learnt from."""
        for name, value in values.items():
            self.checksums[name] = self.checksums.get(name, 0.0) + value
        self.count += 1
        self.images += images

    def flush(self, step: int) -> dict[str, float]:
        """Write the means of all values since the last flush; returns them."""
        means = {name: total / self.count for name, total in self.checksums.items()}
        self._append({"step": step} | {name: float(f"{v:.6g}") for name, v in means.items()})
        self.watch(step, means)
        now = time.monotonic()
        self.watch(step, {"images_per_second": self.images / (now - self.started)})
        self.checksums, self.count, self.images, self.started = {}, 0, 0, now
        return means

    def record(self, step: int, values: dict[str, float]) -> None:
        """Values that are known at this step only."""
        self._append({"step": step} | values)
        self.watch(step, values)

    def watch(self, step: int, values: dict[str, float]) -> None:
        """Values for tensorboard alone."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def _append(self, line: dict[str, Any]) -> None:
        try:
            with self.stats.open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise not_writable_error(self.stats, error) from None

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """A (H, W, 3) uint8 image: NAME.png in the folder, the newest in place of the one before."""
        write_complete(self.folder / f"{name}.png", encoded_image(image))
        self.writer.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        self.writer.close()


def _step_of(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return 2**62  # half a line: cut it off
