#!/usr/bin/env python3
"""Train a network: python train.py --config configs/demo.yaml [--schedule.batch 8 ...]

The file's key ``task`` says which: a generator where there is none, a face reconstruction network, or a prior of
coefficients.
"""

import sys

from anifacegan.allocation import keep_freed_memory
from anifacegan.command_line import read_config
from anifacegan.errors import exit_on_input_error
from anifacegan.tasks import chosen_task

if __name__ == "__main__":
    keep_freed_memory()
    with exit_on_input_error():
        task = chosen_task(sys.argv[1:])
        config = read_config(task.config, sys.argv[1:], "train.py")
        try:
            print(f"model written to {task.run(config)}", file=sys.stderr)
        except FloatingPointError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(1) from None
