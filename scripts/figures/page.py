"""index.html for a folder of figures.

    python scripts/figures/page.py --out runs/figures
"""

import sys

from anifacegan.command_line import read_config
from anifacegan.errors import exit_on_input_error
from anifacegan.figures.catalogue import PageConfig, write_page


def main() -> None:
    with exit_on_input_error():
        print(write_page(read_config(PageConfig, sys.argv[1:], "page.py")))


if __name__ == "__main__":
    main()
