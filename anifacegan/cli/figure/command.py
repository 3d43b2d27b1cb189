"""``anifacegan figure NAME``: make a figure of a model; ``figure all`` makes all of them and a page that shows them.

docs/evaluation.md explains every figure.
"""

from collections.abc import Sequence
from pkgutil import resolve_name

from anifacegan.cli.figure.config import AllFiguresConfig
from anifacegan.cli.subcommands import overview, require_known, wants_help
from anifacegan.evaluation.figures.config import CONFIGS, PageConfig
from anifacegan.runtime.typed_config import read_config

COMMAND = "anifacegan figure"
DESCRIPTION = (
    "Make figure NAME of a model: NAME.png, NAME.yaml with its settings, and NAME.json with what it shows."
)
KINDS = {
    "expression_views": "Expressions of one person, seen from several sides.",
    "identities": "Many people, with one expression.",
    "expressions": "Many expressions of one person.",
    "interpolation": "From one person to the next, in steps.",
    "disentanglement": "Identity, expression, pose and appearance, each changed alone.",
    "truncation": "People at several values of the truncation psi.",
    "deformation": "The deformation field: how far each point moves, and where to.",
    "manifolds": "Slices through the implicit surfaces that carry the radiance.",
    "depth_normals": "Depth and surface normals beside the image.",
    "mesh": "A head as a coloured triangle mesh, also as .ply and .obj files.",
    "driving": "A person who follows a sequence of expressions, as a video and as an image.",
    "ablation": "The table that 'anifacegan ablate' has measured.",
}
"""Names of the figures and what they show, as in :mod:`anifacegan.evaluation.figures.catalogue`, which takes seconds to
import."""
TOGETHER = {
    "all": "All of these, and a page that shows them; figures whose input is missing are skipped.",
    "page": "Only write index.html, which shows the figures already in a folder.",
}


def main(arguments: Sequence[str]) -> None:
    """Run ``anifacegan figure`` with the command-line words ``arguments``, of which the first names the figure; prints
    the paths of the files.

    Raises:
        InputError: an unknown figure, a wrong option, or a model or file that cannot be used.
    """
    if not arguments or wants_help(arguments):
        print(overview(COMMAND, DESCRIPTION, KINDS | TOGETHER), end="")
        return
    name, *rest = arguments
    require_known(name, (*KINDS, *TOGETHER), COMMAND)
    prog = f"{COMMAND} {name}"
    if name in KINDS:
        config = read_config(CONFIGS[name], rest, prog)
        from anifacegan.evaluation.figures.figure import write_figure

        figure = resolve_name(f"anifacegan.evaluation.figures.{name}:FIGURE")
        print(write_figure(figure, config).summary)
    elif name == "all":
        all_figures = read_config(AllFiguresConfig, rest, prog)
        from anifacegan.cli.figure.make import make_all

        make_all(all_figures)
    else:
        page = read_config(PageConfig, rest, prog)
        from anifacegan.evaluation.figures.catalogue import write_page

        print(write_page(page))
