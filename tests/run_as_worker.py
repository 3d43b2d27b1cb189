"""train.py with an accident on the way: python run_as_worker.py WHAT RANK STEP [train.py's arguments].

In the middle of that step one worker is killed, is asked to stop, has torchrun be asked to, or finds a broken file;
``nothing`` happens in an undisturbed run, and after torchrun has started the workers again.
"""

import os
import runpy
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from torch.nn import Module
from torch.optim.swa_utils import AveragedModel

from anifacegan.errors import InputError


def torchrun_asked() -> None:
    """torchrun passes it on to all workers."""
    os.kill(os.getppid(), signal.SIGTERM)
    time.sleep(5)


def broken_file() -> None:
    raise InputError("000003.png: not a readable image")


ACCIDENTS: dict[str, Callable[[], None]] = {
    "nothing": lambda: None,
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "asked": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "torchrun": torchrun_asked,
    "broken": broken_file,
}


def main(what: str, rank: str, step: str) -> None:
    real = AveragedModel.update_parameters

    def accident(average: AveragedModel, generator: Module) -> None:
        begun_anew = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"
        if os.environ.get("RANK") == rank and int(average.n_averaged) == int(step) and not begun_anew:
            ACCIDENTS[what]()
        real(average, generator)

    AveragedModel.update_parameters = accident
    train = Path(__file__).resolve().parents[1] / "train.py"
    sys.argv = [str(train), *sys.argv[4:]]
    runpy.run_path(str(train), run_name="__main__")


if __name__ == "__main__":
    main(*sys.argv[1:4])
