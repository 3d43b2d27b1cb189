"""Tables of subcommands: their list for ``--help``, and selection by name."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from anifacegan.runtime.errors import InputError


@dataclass(frozen=True)
class Subcommand:
    """One subcommand of a command such as ``anifacegan``."""

    summary: str
    """One sentence that says what the subcommand does."""
    module: str
    """Module that runs the subcommand; it is imported only when the subcommand is selected."""
    single_threaded_blas: bool = False
    """Whether NumPy's BLAS is set to one thread before NumPy is imported, so that the results do not depend on the
    number of cores."""

    def load(self) -> ModuleType:
        """Import the subcommand's module and return it."""
        return import_module(self.module)


def wants_help(arguments: Sequence[str]) -> bool:
    """Return whether the first of the command-line words ``arguments`` asks for the list of subcommands."""
    return arguments[:1] in (["-h"], ["--help"])


def overview(command: str, description: str, subcommands: Mapping[str, str]) -> str:
    """Return the ``--help`` text of a command; ``subcommands`` maps the name of each subcommand to a sentence about
    it.
    """
    width = max(map(len, subcommands))
    lines = [f"usage: {command} NAME [OPTIONS]", "", description, ""]
    lines += [f"  {name:{width}}  {sentence}" for name, sentence in subcommands.items()]
    hints = [
        f"'{command} NAME --help' lists the options of one of them.",
        "--debug shows where an unexpected error is.",
    ]
    return "\n".join([*lines, "", *hints, ""])


def require_known(name: str, names: Sequence[str], command: str) -> None:
    """Require that a subcommand's ``name`` is one of ``names``; ``command`` is the command that has these subcommands.

    Raises:
        InputError: it is not; the message has the most similar name, or all names.
    """
    if name not in names:
        nearest = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean '{nearest[0]}'?" if nearest else f"expected one of {', '.join(names)}"
        raise InputError(f"{command}: unknown subcommand '{name}', {hint}")
