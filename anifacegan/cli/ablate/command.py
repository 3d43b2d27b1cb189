"""``anifacegan ablate``: train with and without each imitation loss, and measure the difference."""

from collections.abc import Sequence

from anifacegan.cli.ablate.config import AblationConfig
from anifacegan.runtime.errors import say
from anifacegan.runtime.typed_config import given_options, read_config


def main(arguments: Sequence[str]) -> None:
    """Run ``anifacegan ablate`` with the command-line words ``arguments``; prints the table of the trained variants.

    Raises:
        InputError: a wrong option, or data or a face model that does not fit.
        FloatingPointError: a loss is not finite.
    """
    config = read_config(AblationConfig, arguments, "anifacegan ablate")
    from anifacegan.cli.ablate.run import ablate, table
    from anifacegan.runtime.cpu import keep_freed_memory
    from anifacegan.training.unused_options import require_effects

    require_effects(config, given_options(arguments))
    keep_freed_memory()
    results = ablate(config, lambda name: say(f"variant: {name}"))
    print(table(results), end="")
