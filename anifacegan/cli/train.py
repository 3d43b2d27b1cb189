"""What train.py can train. A configuration says it with the key ``task``; without one it is a generator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.typed_config import option_words
from anifacegan.training import priors
from anifacegan.training import run as training_run
from anifacegan.training.config import TrainConfig
from anifacegan.training.regressor import run as regressor_run


@dataclass(frozen=True)
class Task:
    """One kind of training run."""

    config: type
    """The dataclass that its YAML files fill."""
    run: Callable[..., Path]
    """Trains as a configuration says, and returns the finished model's folder."""


GENERATOR = "generator"
TASKS = {
    GENERATOR: Task(TrainConfig, training_run.run),
    "reconstruction": Task(regressor_run.ReconstructionRun, regressor_run.run),
    "prior": Task(priors.PriorRun, priors.run),
}


def select_task(arguments: Sequence[str]) -> Task:
    """The task that the arguments ask for: ``--task NAME``, or else the key of the last ``--config`` that has one.

    Files that are not readable are left to :func:`anifacegan.command_line.read_config`, which says what is wrong.
    """
    words = option_words(arguments, "config", "task")
    name = GENERATOR
    for path in words["config"]:
        name = _task_key(Path(path).expanduser()) or name
    name = [name, *words["task"]][-1]
    if name not in TASKS:
        raise InputError(f"task is {name}, expected one of {', '.join(TASKS)}")
    return TASKS[name]


def _task_key(path: Path) -> str | None:
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    value = content.get("task") if isinstance(content, dict) else None
    return None if value is None else str(value)
