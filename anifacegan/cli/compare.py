"""``anifacegan compare A B``: compare two models, or two settings of one model.

Numbers of A and of B, and their difference, have 95 % confidence intervals, except FID, KID and Inception Score; the
intervals come from a paired bootstrap over images, people, faces or expression ramps. docs/evaluation.md defines all
numbers.
"""

from collections.abc import Sequence

from anifacegan.evaluation.config import CompareConfig
from anifacegan.runtime.typed_config import read_config


def main(arguments: Sequence[str]) -> None:
    """Run ``anifacegan compare`` with the command-line words ``arguments``; prints the table and, as the last line,
    which model is better.

    Raises:
        InputError: a wrong option, or a model or file that cannot be used.
    """
    config = read_config(CompareConfig, arguments, "anifacegan compare", leading=("a", "b"))
    from anifacegan.evaluation.compare_run import run

    print(run(config), end="")
