"""``anifacegan animate``: an avatar of a photograph, and a film of it.

docs/own_face.md explains the files that are written.
"""

from collections.abc import Sequence

from anifacegan.cli.animate.config import AnimateConfig
from anifacegan.runtime.errors import printable
from anifacegan.runtime.typed_config import read_config


def main(arguments: Sequence[str]) -> None:
    """Run ``anifacegan animate`` with the command-line words ``arguments``; prints what was written.

    Raises:
        InputError: a wrong option, a missing package or file, a photograph that cannot be fitted, or a driver that the
            avatar cannot follow; nothing is written then.
    """
    config = read_config(AnimateConfig, arguments, "anifacegan animate", leading=("photograph",))
    from anifacegan.cli.animate.run import animate
    from anifacegan.runtime.cpu import keep_freed_memory

    keep_freed_memory()
    made = animate(config)
    print(
        printable(f"{config.out}: avatar in {made.seconds:.0f} s, {made.frames} frames of {config.size} px")
    )
    if made.refinement_seconds is not None:
        print(printable(f"{config.out}/refined: model fine-tuned in {made.refinement_seconds:.0f} s"))
