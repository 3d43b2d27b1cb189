#!/usr/bin/env python3
"""``anifacegan train`` from a checkout: python train.py --config configs/demo.yaml, and torchrun's train.py."""

import sys

from anifacegan.cli.main import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
