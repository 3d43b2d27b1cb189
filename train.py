#!/usr/bin/env python3
"""Train a generator: python train.py --config configs/demo.yaml [--schedule.batch 8 ...]"""

import sys

from anifacegan.allocation import keep_freed_memory
from anifacegan.command_line import read_config
from anifacegan.config import TrainConfig
from anifacegan.errors import exit_on_input_error
from anifacegan.training_run import run

if __name__ == "__main__":
    keep_freed_memory()
    with exit_on_input_error():
        config = read_config(TrainConfig, sys.argv[1:], "train.py")
        try:
            print(f"model written to {run(config)}", file=sys.stderr)
        except FloatingPointError as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(1) from None
