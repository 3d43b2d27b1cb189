#!/usr/bin/env python3
"""Put two models, or two settings of one, side by side: the same people, cameras and expressions.

    python scripts/compare.py A B --data DATA [--metrics NAME ...]
    python scripts/compare.py A --psi_a 0.7 --psi_b 1 --data DATA

A and B are model folders; of a training run, export a snapshot first (scripts/export_snapshot.py). Every number of both
comes with a 95 % interval, and so does their difference: a paired bootstrap over images, people, faces or ramps.
B may replace A if it wins at least one number beyond its interval and loses none. The exit code is 0 whoever wins;
the verdict is the last line, and "verdict" in comparison.json. The definitions: docs/evaluation.md.
"""

import sys
from collections.abc import Sequence

from anifacegan.evaluation.compare_run import CompareConfig, run
from anifacegan.runtime.errors import InputError, exit_on_input_error
from anifacegan.runtime.typed_config import read_config


def with_options(arguments: Sequence[str]) -> list[str]:
    """The leading words A and B as the options that they stand for."""
    words = []
    for argument in arguments:
        if argument.startswith("-"):
            break
        words.append(argument)
    if len(words) > 2:
        raise InputError(
            f"compare.py: got {len(words)} models ({', '.join(words)}), expected one or two, then options"
        )
    return [f"--{name}={word}" for name, word in zip("ab", words, strict=False)] + list(
        arguments[len(words) :]
    )


def main() -> None:
    with exit_on_input_error():
        print(run(read_config(CompareConfig, with_options(sys.argv[1:]), "compare.py")), end="")


if __name__ == "__main__":
    main()
