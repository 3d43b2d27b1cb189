"""``anifacegan export NAME``: make files of a model or an avatar for use elsewhere."""

from collections.abc import Sequence

from anifacegan.cli.subcommands import Subcommand, overview, require_known, wants_help

COMMAND = "anifacegan export"
KINDS = {
    "snapshot": Subcommand(
        "Write the generator of a snapshot of a training run as a model folder.",
        "anifacegan.cli.export.snapshot",
    ),
    "glb": Subcommand(
        "Write a person as a head with morph targets (.glb) for Blender, game engines and three.js.",
        "anifacegan.cli.export.glb",
    ),
    "web": Subcommand(
        "Write an avatar as one web page, which plays in a browser without anything else.",
        "anifacegan.cli.export.web",
    ),
}


def main(arguments: Sequence[str]) -> None:
    """Run ``anifacegan export`` with the command-line words ``arguments``, of which the first names the kind of export.

    Raises:
        InputError: an unknown kind of export, or anything that the export refuses.
    """
    if not arguments or wants_help(arguments):
        summaries = {name: kind.summary for name, kind in KINDS.items()}
        print(overview(COMMAND, "Write files of a model or an avatar for use elsewhere.", summaries), end="")
        return
    require_known(arguments[0], tuple(KINDS), COMMAND)
    KINDS[arguments[0]].load().main(arguments[1:])
