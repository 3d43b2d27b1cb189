"""index.html for a folder of figures.

python scripts/figures/page.py --out runs/figures
"""

import sys

from anifacegan.evaluation.figures.catalogue import PageConfig, write_page
from anifacegan.runtime.errors import exit_on_input_error
from anifacegan.runtime.typed_config import read_config


def main() -> None:
    with exit_on_input_error():
        print(write_page(read_config(PageConfig, sys.argv[1:], "page.py")))


if __name__ == "__main__":
    main()
