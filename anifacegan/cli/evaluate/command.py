"""``anifacegan evaluate``: measure a model; a table, and metrics.json with values, counts, definitions and seeds.

docs/evaluation.md defines all metrics.
"""

from collections.abc import Sequence

from anifacegan.cli.evaluate.config import EvaluateConfig
from anifacegan.runtime.typed_config import read_config


def main(arguments: Sequence[str]) -> None:
    """Run ``anifacegan evaluate`` with the command-line words ``arguments``; prints the table of the metrics.

    Raises:
        InputError: a wrong option, or a model or file that cannot be used.
    """
    config = read_config(EvaluateConfig, arguments, "anifacegan evaluate")
    from anifacegan.cli.evaluate.run import run

    print(run(config), end="")
