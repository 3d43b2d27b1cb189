"""``anifacegan view``: show a model, an avatar or a training run in a browser."""

from collections.abc import Sequence

from anifacegan.cli.view.config import ViewCommand
from anifacegan.runtime.typed_config import read_config


def main(arguments: Sequence[str]) -> None:
    """Run ``anifacegan view`` with the command-line words ``arguments``, until Ctrl-C; prints the page's address.

    Raises:
        InputError: a wrong option, a missing package, something that cannot be shown, or a port that is taken.
    """
    config = read_config(ViewCommand, arguments, "anifacegan view", leading=("model",))
    from anifacegan.cli.view.run import view
    from anifacegan.runtime.cpu import keep_freed_memory

    keep_freed_memory()
    view(config)
