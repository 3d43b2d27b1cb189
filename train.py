#!/usr/bin/env python3
"""Train a network: python train.py --config configs/demo.yaml [--schedule.batch 8 ...]

On several GPUs: torchrun --nproc_per_node 8 train.py --config ..., see docs/training.md.

The file's key ``task`` says which: a generator where there is none, a face reconstruction network, or a prior of
coefficients.
"""

import sys

from anifacegan.cli.train import select_task
from anifacegan.runtime.cpu import keep_freed_memory
from anifacegan.runtime.distributed import LostWorkerError, working_together
from anifacegan.runtime.errors import exit_on_input_error
from anifacegan.runtime.typed_config import read_config

if __name__ == "__main__":
    keep_freed_memory()
    with exit_on_input_error(), working_together() as workers, exit_on_input_error():
        try:
            with workers.rank_zero_only():
                task = select_task(sys.argv[1:])
                config = read_config(task.config, sys.argv[1:], "train.py")
                folder = task.run(config, workers)
        except (FloatingPointError, LostWorkerError) as error:
            print(f"error: {error}", file=sys.stderr)
            raise SystemExit(1) from None
        if workers.first:
            print(f"model written to {folder}", file=sys.stderr)
