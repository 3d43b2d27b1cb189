#!/usr/bin/env python3
"""What each imitation term is worth: train with and without it, and measure the difference.

    python scripts/ablate.py --config configs/ablation.yaml [--judge FOLDER] [any option of train.py]

Writes a run folder for each variant, and OUT/ablation.md with the table. Stopped and started again, it goes on.
"""

import sys

from anifacegan.cli.ablate import AblationConfig, ablate, table
from anifacegan.runtime.cpu import keep_freed_memory
from anifacegan.runtime.errors import exit_on_input_error
from anifacegan.runtime.typed_config import read_config

if __name__ == "__main__":
    keep_freed_memory()
    with exit_on_input_error():
        config = read_config(AblationConfig, sys.argv[1:], "ablate.py")
        try:
            found = ablate(config, lambda name: print(f"variant: {name}", file=sys.stderr))
        except FloatingPointError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(1) from None
    print(table(found), end="")
