"""``anifacegan compare A B``: put two models, or two settings of one, side by side.

Every number of both has a 95 % interval, and so has their difference: a paired bootstrap over images, people, faces or
ramps. The definitions: docs/evaluation.md.
"""

from collections.abc import Sequence

from anifacegan.evaluation.compare_run import CompareConfig, run
from anifacegan.runtime.typed_config import read_config


def main(arguments: Sequence[str]) -> None:
    """Run the subcommand; prints the table and, as the last line, the verdict.

    Raises:
        InputError: a wrong option, or a model or file that cannot be used.
    """
    print(run(read_config(CompareConfig, arguments, "anifacegan compare", leading=("a", "b"))), end="")
