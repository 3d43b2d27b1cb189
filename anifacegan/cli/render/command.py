"""``anifacegan render``: images, videos and a contact sheet of people whose pose and expression change."""

from collections.abc import Sequence

from anifacegan.cli.render.config import RenderConfig
from anifacegan.runtime.errors import printable
from anifacegan.runtime.typed_config import read_config


def main(arguments: Sequence[str]) -> None:
    """Run ``anifacegan render`` with the command-line words ``arguments``; prints what was written.

    Raises:
        InputError: a wrong option, or a model or file that cannot be used; nothing is written then.
    """
    config = read_config(RenderConfig, arguments, "anifacegan render")
    from anifacegan.cli.render.run import run
    from anifacegan.cli.render.stills import write_stills
    from anifacegan.runtime.cpu import keep_freed_memory

    keep_freed_memory()
    if config.stills:
        print(printable(f"{config.out}: {len(write_stills(config))} stills of {config.size} px"))
        return
    manifest = run(config)
    people, seconds = manifest["people"], manifest["seconds"]["total"]
    frames = sum(len(person["frames"]) for person in people)
    print(
        printable(
            f"{config.out}: {len(people)} people, {frames} frames of {config.size} px in {seconds:.0f} s"
        )
    )
