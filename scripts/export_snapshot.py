#!/usr/bin/env python3
"""Make a model folder of a snapshot of a generator's training run, to look at it or to measure it.

    python scripts/export_snapshot.py --run runs/demo [--step 12000] --out checkpoints/half_way

The run is left as it is, and may be going on. Its data set has to be where its config.yaml says. A run keeps its newest
snapshots only: --reporting.keep_snapshots 100 keeps more.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from anifacegan.runtime.errors import InputError, exit_on_input_error
from anifacegan.runtime.typed_config import read_config
from anifacegan.training.config import TrainConfig
from anifacegan.training.run import export


@dataclass(frozen=True)
class ExportConfig:
    """Make a model folder of a snapshot of a generator's training run."""

    run: Path
    """Run folder, with config.yaml and snapshots."""
    out: Path
    """Model folder to write: model.safetensors and card.yaml."""
    step: int | None = None
    """Which snapshot; the newest where this is empty."""


def main() -> None:
    with exit_on_input_error():
        config = read_config(ExportConfig, sys.argv[1:], "export_snapshot.py")
        if config.out.exists() and not config.out.is_dir():
            raise InputError(f"{config.out}: is a file, expected a folder to write into")
        options = ["--config", str(config.run / "config.yaml"), "--out", str(config.run)]
        training = read_config(TrainConfig, options, "export_snapshot.py")
        step = export(training, config.step, config.out)
        print(f"{config.out}: the averaged weights of {config.run} at step {step}")


if __name__ == "__main__":
    main()
