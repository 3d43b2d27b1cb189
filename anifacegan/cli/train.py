"""``anifacegan train``: train a network. The option ``task`` says which kind of network; the default is a generator.

Under torchrun every process runs this module, and all processes train one network together.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from anifacegan.runtime.errors import ConfigError, exit_on_input_error, say
from anifacegan.runtime.paths import exists, real_path, require_writable_folder
from anifacegan.runtime.typed_config import asks_for_help, given_files, given_options, read_one_of

if TYPE_CHECKING:
    from anifacegan.runtime.distributed import Workers
    from anifacegan.training.config import TrainConfig


@dataclass(frozen=True)
class Task:
    """One kind of network to train: generator, face reconstruction network or coefficient prior. Its class and function
    are named as ``module:attribute``, so that only the selected kind is imported.
    """

    config: str
    """The dataclass that holds the configuration."""
    run: str
    """The function that trains as a configuration says and returns the finished model's folder."""


COMMAND = "anifacegan train"
GPUS = (1, 8)
"""Numbers of GPUs for which the option ``plan`` prints costs."""
TASKS = {
    "generator": Task("anifacegan.training.config:TrainConfig", "anifacegan.training.run:run"),
    "reconstruction": Task(
        "anifacegan.training.regressor.config:ReconstructionRun", "anifacegan.training.regressor.run:run"
    ),
    "prior": Task("anifacegan.training.config:PriorRun", "anifacegan.training.priors:run"),
}
"""Maps the values of the option ``task`` to kinds of training runs; the first one is the default."""
CONFIGS = {name: partial(resolve_name, task.config) for name, task in TASKS.items()}


def main(arguments: Sequence[str]) -> None:
    """Run ``anifacegan train`` with the command-line words ``arguments``, in one process or in several.

    Raises:
        SystemExit: with the exit code of an error, which one of the workers has printed.
    """
    if asks_for_help(arguments):
        read_one_of(CONFIGS, "task", arguments, COMMAND)  # prints the help, without PyTorch, and exits
    from anifacegan.runtime.cpu import keep_freed_memory
    from anifacegan.runtime.distributed import working_together
    from anifacegan.training.unused_options import require_effects

    keep_freed_memory()
    with working_together() as workers, exit_on_input_error():
        with workers.rank_zero_only():
            config = read_one_of(CONFIGS, "task", arguments, COMMAND)
            require_effects(config, given_options(arguments))
            if "out" not in given_options(arguments):
                require_own_folder(config.out, given_files(arguments, COMMAND))
            if getattr(config, "plan", False):
                return print_plan(config)
            require_writable_folder(config.out)
            with viewer(config, workers):
                folder = resolve_name(TASKS[config.task].run)(config, workers)
        if workers.first:
            say(f"model written to {folder}")


def require_own_folder(out: Path, files: Sequence[Path]) -> None:
    """Require that a run whose ``config.yaml`` is among the configuration's files goes on where that file is: in a
    folder that was moved or copied, its option ``out`` names the old place, where a new run would begin.

    Raises:
        ConfigError: it names another folder.
    """
    from anifacegan.training.snapshots import CONFIG, newest_step

    for file in files:
        folder = file.parent
        is_of_run = file.name == CONFIG and (newest_step(folder) is not None or exists(folder / "model"))
        if is_of_run and real_path(folder) != real_path(out):
            expected = f"--out {folder}, where the run of {file} is now, or another --out for a new run"
            raise ConfigError("out", out, expected)


@contextmanager
def viewer(config: Any, workers: "Workers") -> Iterator[None]:
    """Show the run in a browser while the block runs, if its configuration asks for it."""
    if not (getattr(config, "view", False) and workers.first):
        yield
        return
    from anifacegan.cli.view.beside_training import viewer_beside

    with viewer_beside(config.out):
        yield


def print_plan(config: "TrainConfig") -> None:
    """Print what a generator's training run will cost on GPUs."""
    from anifacegan.training.plan import table

    print("\n".join(table(config, GPUS)))
