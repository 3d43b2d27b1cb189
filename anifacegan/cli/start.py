"""Entry point of the console command: Ctrl-C is one line from the beginning, also while modules are imported."""

import os
import signal
from typing import NoReturn


def main() -> None:
    """Run the command line of the process; see :func:`anifacegan.cli.main.main`."""
    default = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # otherwise it is ignored
    if default:
        signal.signal(signal.SIGINT, _end)
    from anifacegan.cli.main import main as command

    command(ctrl_c=signal.default_int_handler if default else None)


def _end(*_: object) -> NoReturn:
    os.write(2, b"error: interrupted\n")
    os._exit(130)
