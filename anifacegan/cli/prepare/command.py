"""``anifacegan prepare``: make an FFHQ-style data set of raw photographs.

docs/own_face.md explains the files that are written.
"""

from collections.abc import Sequence

from anifacegan.cli.prepare.config import PrepareConfig
from anifacegan.runtime.errors import printable
from anifacegan.runtime.typed_config import read_config


def main(arguments: Sequence[str]) -> None:
    """Run ``anifacegan prepare`` with the command-line words ``arguments``; prints how many images there are.

    Raises:
        InputError: a wrong option, a missing package or file, a folder of another data set, or no usable photograph.
    """
    config = read_config(PrepareConfig, arguments, "anifacegan prepare")
    from anifacegan.cli.prepare.run import prepare_images

    print(printable(prepare_images(config)))
