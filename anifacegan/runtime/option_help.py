"""``--help`` of a typed configuration: the attribute docstrings of its fields, with their types and defaults."""

import argparse
from collections.abc import Sequence
from dataclasses import MISSING, is_dataclass
from typing import Any

from anifacegan.runtime.field_types import dataclass_in, item_type, nested_fields, type_name


def print_help(kind: type, command: str, leading: Sequence[str]) -> None:
    """Print the help of a command: the docstring of each field, those of nested dataclasses in groups.

    ``leading`` are the fields that words before the first option are values of.
    """
    words = "".join(f" [{name.upper()}]" for name in leading)
    usage = f"{command}{words} [--config FILE ...] [--OPTION VALUE ...]"
    parser = argparse.ArgumentParser(prog=command, usage=usage, description=_summary(kind))
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="YAML file with any of the options below; of several, later ones win.",
    )
    parser.add_argument("--print_config", action="store_true", help="Print the resolved YAML and exit.")
    groups: dict[str, Any] = {"": parser}
    texts = {"": _docstrings(kind)}
    for key, hint, default in nested_fields(kind, "", None):
        owner, _, name = key.rpartition(".")
        text = f"{texts[owner].get(name, '')} ({type_name(hint)}; {_shown(default)})".strip()
        words = "?" if hint is bool else "+" if item_type(hint) is not None else None
        groups[owner].add_argument(
            f"--{key}", nargs=words, metavar=name.upper(), help=text.replace("%", "%%")
        )
        inner = dataclass_in(hint)
        if inner is not None:
            groups[key], texts[key] = parser.add_argument_group(key, _summary(inner)), _docstrings(inner)
    parser.print_help()


def _summary(kind: type) -> str:
    """Return the docstring of a class; an empty text where it is the signature that dataclasses have by default."""
    text = kind.__doc__ or ""
    return "" if text.startswith(f"{kind.__name__}(") else text.replace("%", "%%")


def _docstrings(kind: type) -> dict[str, str]:
    """Map the fields of a dataclass, inherited ones included, to the docstrings below them."""
    from docstring_parser import parse_from_object  # only --help needs it

    classes = [owner for owner in reversed(kind.__mro__) if is_dataclass(owner)]
    return {
        p.arg_name: " ".join((p.description or "").split())
        for c in classes
        for p in parse_from_object(c).params
    }


def _shown(default: Any) -> str:
    if default is MISSING:
        return "required"
    if is_dataclass(default):
        return "see below"
    values = default if isinstance(default, tuple) else (default,)
    return "default: null" if default is None else f"default: {' '.join(map(str, values))}"
