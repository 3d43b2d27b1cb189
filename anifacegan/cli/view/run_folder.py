"""The newest snapshot of a training run, as a model that can be viewed while the run goes on."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from anifacegan.avatars.config import BakeConfig
from anifacegan.models.model_folder import CARD
from anifacegan.rendering.model import Model, load_model
from anifacegan.runtime.typed_config import read_config
from anifacegan.training.config import TrainConfig
from anifacegan.training.run import export
from anifacegan.training.snapshots import newest_step
from anifacegan.viewer.subjects import ModelSubject

CONFIG = "config.yaml"
"""Name of the file with a run's options."""


def is_run_folder(folder: Path) -> bool:
    """Return whether a folder is that of a training run, not of a model."""
    return (folder / CONFIG).is_file() and not (folder / CARD).is_file()


class RunFolder:
    """A training run's folder, looked at from outside; it may be empty at first.

    Args:
        folder: the folder.
        bake: resolution of people who are baked.
        device: device that computes.
        changed: called when frames can be drawn in another way.
    """

    def __init__(self, folder: Path, bake: BakeConfig, device: str, changed: Callable[[], None]) -> None:
        self._folder, self._bake, self._device, self._changed = folder, bake, device, changed
        self._shown: int | None = None

    def newer(self) -> ModelSubject | None:
        """Return the newest snapshot if it has not been returned before.

        Raises:
            InputError: it cannot be read, as when the run has just removed it; the next call tries again.
        """
        step = newest_step(self._folder)
        if step is None or step == self._shown or not (self._folder / CONFIG).is_file():
            return None
        options = ["--config", str(self._folder / CONFIG), "--out", str(self._folder)]
        training = read_config(TrainConfig, options, "anifacegan view", places=False)
        with TemporaryDirectory() as work:
            export(training, step, Path(work) / "model")
            model = load_model(Path(work) / "model", self._device)
        self._shown = step
        return ModelSubject(_named(model, step), self._bake, self._changed)


def _named(model: Model, step: int) -> Model:
    """Return a model whose name says the step."""
    card = dataclasses.replace(model.card, name=f"{model.card.name}, step {step}")
    return Model(dataclasses.replace(model.checkpoint, card=card))
