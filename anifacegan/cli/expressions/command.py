"""``anifacegan expressions``: write one coefficient file for each named expression of the open face model."""

from collections.abc import Sequence

from anifacegan.cli.expressions.config import ExpressionsConfig
from anifacegan.runtime.errors import printable
from anifacegan.runtime.typed_config import read_config


def main(arguments: Sequence[str]) -> None:
    """Run ``anifacegan expressions`` with the command-line words ``arguments``; prints the folder and the names of the
    expressions.

    Raises:
        InputError: a wrong option, or no readable face model.
    """
    config = read_config(ExpressionsConfig, arguments, "anifacegan expressions")
    from anifacegan.cli.expressions.run import write_expressions

    print(printable(f"{config.out}: {', '.join(write_expressions(config))}"))
