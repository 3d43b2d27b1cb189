"""``anifacegan fit``: fit the open face model to photographs, or BFM with Deep3DFaceRecon's network.

docs/own_face.md explains the files that are written.
"""

from collections.abc import Sequence

from anifacegan.cli.fit.config import FitConfig
from anifacegan.runtime.errors import printable
from anifacegan.runtime.typed_config import read_config


def main(arguments: Sequence[str]) -> None:
    """Run ``anifacegan fit`` with the command-line words ``arguments``; prints a line for each photograph.

    Raises:
        InputError: a wrong option, a missing package or file, a photograph that cannot be fitted, or a folder in which
            none can.
    """
    config = read_config(FitConfig, arguments, "anifacegan fit", leading=("photographs",))
    from anifacegan.cli.fit.run import fit_photographs

    fitted, refused = fit_photographs(config)
    print(printable(f"{fitted} fitted, {refused} refused: {config.out}"))
