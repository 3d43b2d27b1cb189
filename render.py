#!/usr/bin/env python3
"""``anifacegan render`` from a checkout: python render.py --seeds 7 --expression smile=0.7."""

import sys

from anifacegan.cli.main import main

if __name__ == "__main__":
    main(["render", *sys.argv[1:]])
