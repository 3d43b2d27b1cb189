"""``anifacegan export snapshot``: write a snapshot of a training run as a model folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from anifacegan.runtime.errors import InputError, printable
from anifacegan.runtime.output_places import OutputFolder
from anifacegan.runtime.paths import real_path
from anifacegan.runtime.typed_config import read_config

COMMAND = "anifacegan export snapshot"


@dataclass(frozen=True)
class SnapshotConfig:
    """Write the generator of a snapshot of a training run as a model folder, so that it can be rendered or measured.
    The run is not changed and may still be going on. Its data set has to be at the path that the run's config.yaml
    names.
    """

    run: Path
    """Run folder, with config.yaml and snapshots."""
    out: OutputFolder
    """Model folder to write: model.safetensors and card.yaml."""
    overwrite: bool = False
    """Replace files in the output folder that this program did not write. Its own are always replaced."""
    step: int | None = None
    """Training step at which the snapshot was saved. null: the newest snapshot. A run keeps its newest snapshots only,
    as many as its option reporting.keep_snapshots says."""
    average: Literal["model", "slow"] = "model"
    """Averaged weights to write: those of schedule.average_decay, which the finished model has, or the slower ones of
    schedule.slow_average_decay."""


def _require_outside(config: SnapshotConfig) -> None:
    """Require that the model folder is not the run's or in it: the run writes there, and its finished model is one.

    Raises:
        InputError: it is.
    """
    if real_path(config.out).is_relative_to(real_path(config.run)):
        raise InputError(
            f"out is {config.out}, which is or lies in the run {config.run}, expected a folder elsewhere"
        )


def main(arguments: Sequence[str]) -> None:
    """Run ``anifacegan export snapshot`` with the command-line words ``arguments``: write a snapshot's generator as a
    model folder.

    Raises:
        InputError: a wrong option, no such run or snapshot, or a data set that does not fit.
    """
    config = read_config(SnapshotConfig, arguments, COMMAND, leading=("run",))
    from anifacegan.models.model_folder import require_room_for_model
    from anifacegan.training.config import TrainConfig
    from anifacegan.training.run import export

    _require_outside(config)
    require_room_for_model(config.out, config.overwrite)
    options = ["--config", str(config.run / "config.yaml"), "--out", str(config.run)]
    training = read_config(TrainConfig, options, COMMAND, places=False)
    step = export(training, config.step, config.out, slow=config.average == "slow")
    print(printable(f"{config.out}: the averaged weights of {config.run} at step {step}"))
