"""``--help`` of a typed configuration: the attribute docstrings of its fields, with their types and defaults."""

import argparse
from collections.abc import Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args

from anifacegan.runtime.field_types import dataclass_in, default_of, item_type, nested_fields, type_name

MANY = {int: "whole numbers", float: "numbers", str: "texts", Path: "paths"}
"""Name, in help texts, of several values of a type."""


def print_help(kind: type, command: str, leading: Sequence[str]) -> None:
    """Print the help of a command: the docstrings of the fields, those of each nested dataclass in a group of its own.

    ``leading`` names the fields whose values may also be given as words before the first option.
    """
    words = "".join(f" [{name.upper()}]" for name in leading)
    usage = f"{command}{words} [--config FILE ...] [--OPTION VALUE ...]"
    parser = argparse.ArgumentParser(prog=command, usage=usage, description=_summary(kind))
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="YAML file with any of the options below. May name several files; later files override earlier ones, "
        "and options override files.",
    )
    parser.add_argument(
        "--print_config", action="store_true", help="Print all options with their values as YAML and exit."
    )
    for name in leading:
        parser.add_argument(
            name.upper(), nargs="?", help=f"Value of --{name} (see below); may also be given as --{name}."
        )
    groups: dict[str, Any] = {"": parser}
    off: set[str] = set()  # groups that are null by default
    texts = {"": _docstrings(kind)}
    for key, hint, default in nested_fields(kind, "", None):
        owner, _, name = key.rpartition(".")
        shown = f"; required if {owner} is given" if default is MISSING and owner in off else _shown(default)
        text = f"{texts[owner].get(name, '')} ({_kind_of_value(hint)}{shown})".strip()
        words = "?" if hint is bool else "+" if item_type(hint) is not None else None
        groups[owner].add_argument(
            f"--{key}", nargs=words, metavar=name.upper(), help=text.replace("%", "%%")
        )
        inner = dataclass_in(hint)
        if inner is not None:
            groups[key], texts[key] = parser.add_argument_group(key, _summary(inner)), _docstrings(inner)
            if default is None:
                off.add(key)
    print(parser.format_help(), end="")  # argparse's own printing says nothing of a full disk


def _summary(kind: type) -> str:
    """Return the docstring of a class; an empty text if the class has none (dataclasses then show their signature)."""
    text = kind.__doc__ or ""
    return "" if text.startswith(f"{kind.__name__}(") else text


def _docstrings(kind: type) -> dict[str, str]:
    """Return the docstring below each field of a dataclass, by the field's name; inherited fields are included."""
    from docstring_parser import parse_from_object  # only --help needs it

    classes = [owner for owner in reversed(kind.__mro__) if is_dataclass(owner)]
    return {
        p.arg_name: " ".join((p.description or "").split())
        for c in classes
        for p in parse_from_object(c).params
    }


def _kind_of_value(hint: Any) -> str:
    """Describe the values of an option: "one or more numbers, or null" where a list and null are allowed."""
    null = type(None) in get_args(hint)
    if dataclass_in(hint) is not None:
        on = ", or null; switched on by any option of the group"
        if all(default_of(field, None) is not MISSING for field in fields(dataclass_in(hint))):
            on += ", or by {} with all defaults"
        return "a group of options, listed below" + (on if null else "")
    if item_type(hint) in MANY:
        return f"one or more {MANY[item_type(hint)]}" + (", or null" if null else "")
    return type_name(hint)


def _shown(default: Any) -> str:
    """Return what follows the kind of value in the brackets: "; required", or the default where it is a value."""
    if default is MISSING:
        return "; required"
    if is_dataclass(default):
        return ""
    values = default if isinstance(default, tuple) else (default,)
    return "; default: null" if default is None else f"; default: {' '.join(map(str, values)) or 'none'}"
