#!/usr/bin/env python3
"""``anifacegan dataset``, under the name that the cards of shipped networks give."""

import sys

from anifacegan.cli.main import main

if __name__ == "__main__":
    main(["dataset", *sys.argv[1:]])
