"""Typed configurations: YAML files, options and other plain values become a frozen dataclass.

Files and options are checked against the annotations of the dataclass's fields, and a mistake is reported in one line
that names the key, the value and what is expected.
"""

import dataclasses
import difflib
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from anifacegan.runtime.errors import ConfigError, InputError
from anifacegan.runtime.field_types import (
    converted,
    dataclass_in,
    default_of,
    from_yaml,
    item_type,
    literals,
    nested_fields,
    takes_single,
    type_name,
)
from anifacegan.runtime.option_help import print_help
from anifacegan.runtime.output_places import require_output_places
from anifacegan.runtime.renamed_keys import present_name, present_value
from anifacegan.runtime.resources import located
from anifacegan.runtime.structured_text import read_yaml, yaml_text

Config = TypeVar("Config")
_FILE = "a YAML configuration"


def read_config(
    kind: type[Config],
    arguments: Sequence[str],
    command: str,
    leading: Sequence[str] = (),
    *,
    places: bool = True,
) -> Config:
    """Read a configuration from YAML files (``--config FILE``) and from options.

    Options override files, and later files override earlier ones. An option takes one value or a list (``--seeds 1 2
    3`` or ``--seeds 1,2,3``); a switch needs no value (``--depth``). Keys of nested configurations have dots
    (``--schedule.batch 8``). ``--face-model`` means ``--face_model``. Words before the first option are values of the
    fields ``leading``, in their order. Of an option that takes one value and is given again, the last value counts; a
    list is not given twice, because its first values would be lost. ``--help`` prints the attribute docstrings of
    ``kind``, ``--print_config`` the resolved configuration as YAML. ``places`` False reads the configuration of a run
    that goes on elsewhere: its output places are not checked (:mod:`anifacegan.runtime.output_places`).

    Raises:
        InputError: unreadable file, unknown key or option, a value of the wrong kind, or one that ``kind`` refuses.
    """
    line = _split(arguments, command, leading)
    return _resolved(kind, line, command, leading, places)


def read_one_of(
    kinds: Mapping[str, Callable[[], type]], key: str, arguments: Sequence[str], command: str
) -> Any:
    """Read a configuration whose class depends on one of its values, as :func:`read_config` reads it.

    ``kinds`` maps each allowed value of ``key`` to a function that returns the class. The first value is the default.

    Raises:
        InputError: as :func:`read_config`, or ``kinds`` does not have the value of ``key``.
    """
    line = _split(arguments, command, ())
    values = [str(content[key]) for _, content in line.files if content.get(key) is not None]
    values += [word for name, words in line.options if _key(name) == key for word in words]
    name = values[-1] if values else next(iter(kinds))
    if name not in kinds:
        raise InputError(f"{command}: {key} is {name}, expected one of {', '.join(kinds)}")
    return _resolved(kinds[name](), line, command, ())


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Return whether a command line has the option ``--help`` or ``-h``."""
    return any(word.partition("=")[0] in ("--help", "-h") for word in arguments)


def given_options(arguments: Sequence[str]) -> tuple[str, ...]:
    """Return the keys of the options on a command line, with dots; those in YAML files are not among them."""
    return tuple(_key(word.partition("=")[0]) for word in arguments if _is_option(word))


def given_files(arguments: Sequence[str], command: str) -> tuple[Path, ...]:
    """Return the YAML files that a command line of ``command`` names."""
    return tuple(Path(path) for path, _ in _split(arguments, command, ()).files)


def from_plain(kind: type[Config], content: dict, place: str, prefix: str = "") -> Config:
    """Make a dataclass from plain values, such as those of a YAML file.

    ``place`` says in error messages where the values come from; ``prefix`` is put before each key there.

    Raises:
        InputError: an unknown or missing key, or a value that is of the wrong type or refused by the dataclass.
    """
    if not isinstance(content, dict):
        name = f" '{prefix.rstrip('.')}'" if prefix else ""
        raise InputError(f"{place}:{name} holds a {type(content).__name__}, expected keys and values")
    return _built(kind, _typed(kind, content, place, prefix), place, prefix, None)


def as_tuple(value: Any) -> tuple:
    """Return the values of an option that takes one value or a list."""
    return value if isinstance(value, tuple) else (value,)


def plain(value: Any) -> Any:
    """Convert a configuration to plain values for YAML: dictionaries, lists, numbers and texts."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


# -------------------------------------------------------------------------------------------------------- command line
@dataclasses.dataclass(frozen=True)
class _CommandLine:
    """A command line that is split into options; the names and values are not checked yet."""

    options: list[tuple[str, list[str]]]
    """Options as they were typed, each with the words after it, in their order."""
    files: list[tuple[str, dict]]
    """Paths and contents of the YAML files."""
    help: bool
    print_config: bool


def _split(arguments: Sequence[str], command: str, leading: Sequence[str]) -> _CommandLine:
    """Split a command line: words that begin with a dash, and are not numbers, are options.

    Raises:
        InputError: an unreadable file, or more words before the first option than ``leading`` names.
    """
    options: list[tuple[str, list[str]]] = []
    stray = []
    for word in arguments:
        if _is_option(word):
            name, equals, value = word.partition("=")
            options.append((name, [value] if equals else []))
        elif options:
            options[-1][1].append(word)
        else:
            stray.append(word)
    if len(stray) > len(leading):
        first = (
            f"{' '.join(map(str.upper, leading))} before the options" if leading else "options (--NAME VALUE)"
        )
        raise InputError(
            f"{command}: unrecognized arguments: {' '.join(stray[len(leading) :])}, expected only {first}"
        )
    names = {_key(name) for name, _ in options}
    for key, word in zip(leading, stray, strict=False):
        if key in names:
            raise InputError(f"{command}: {key} is given as '{word}' and as --{key}, expected one of them")
    options = [(f"--{key}", [word]) for key, word in zip(leading, stray, strict=False)] + options
    wants_help = asks_for_help(arguments)
    files: list[tuple[str, dict]] = []
    words_of_config = [words for name, words in options if _key(name) == "config"]
    for path in (path for words in words_of_config for path in _some("config", words, Path)):
        with suppress(InputError) if wants_help else nullcontext():
            files.append((path, read_yaml(located(path, _FILE), _FILE)))
    others = [
        (name, words) for name, words in options if _key(name) not in ("-h", "help", "config", "print_config")
    ]
    of_printing = [words for name, words in options if _key(name) == "print_config"]
    printing = [
        _value(bool, _plain_value("print_config", words, bool), command, "print_config")
        for words in of_printing
    ]
    return _CommandLine(others, files, wants_help, bool(printing and printing[-1]))


def _is_option(word: str) -> bool:
    return re.match(r"-[^.\d]", word) is not None


def _key(name: str) -> str:
    """Return the key of an option as it was typed: ``two_words`` for ``--two-words``."""
    return name[2:].replace("-", "_") if name.startswith("--") else name


def _resolved(
    kind: type[Config], line: _CommandLine, command: str, leading: Sequence[str], places: bool = True
) -> Config:
    """Make the configuration from files and options, or print the help or the configuration and exit.

    Raises:
        InputError: an unknown key or option, a value of the wrong kind, or one that ``kind`` refuses.
    """
    if line.help:
        print_help(kind, command, leading)
        raise SystemExit(0)
    hints = {key: hint for key, hint, _ in nested_fields(kind, "", None)}
    values: dict[str, Any] = {}
    for path, content in line.files:
        _merge(values, _typed(kind, content, path, ""))
    lists: set[str] = set()
    for name, words in line.options:
        key = _key(name)
        if key not in hints:
            raise InputError(f"{command}: {_unknown_option(name, hints)}")
        if key in lists:
            raise InputError(f"{command}: --{key} is given twice, expected once, with all values behind it")
        if item_type(hints[key]) is not None:
            lists.add(key)
        value: Any = _value(hints[key], _plain_value(key, words, hints[key]), command, key)
        for part in reversed(key.split(".")):
            value = {part: value}
        _merge(values, value)
    config = _built(kind, values, command, "", None)
    if line.print_config:
        print(yaml_text(plain(config)), end="")
        raise SystemExit(0)
    if places:
        require_output_places(config)
    return config


def _unknown_option(name: str, hints: dict[str, Any]) -> str:
    present = present_name(_key(name).lstrip("-"))
    if present in hints:
        return f"unknown option '{name}', which is now '--{present}'"
    close = difflib.get_close_matches(_key(name).lstrip("-"), hints, 1)
    return f"unknown option '{name}', " + (f"did you mean '--{close[0]}'?" if close else "--help shows all")


def _some(key: str, words: list[str], hint: Any) -> list[str]:
    """Return an option's words; InputError where there are none or an empty one."""
    if not words or "" in words:
        raise InputError(f"--{key}: no value given, expected {type_name(hint)}")
    return words


def _plain_value(key: str, words: list[str], hint: Any) -> Any:
    """Convert an option's words to a plain value: a text, or a list of texts if the option takes a list."""
    if hint is bool and not words:
        return True
    item = item_type(hint)
    one = len(_some(key, words, hint)) == 1
    if item is None:
        if not one:
            raise InputError(f"--{key}: got '{' '.join(words)}', expected {type_name(hint)}")
        return words[0]
    if one and words[0].startswith("["):
        return words[0]
    if one and item in (int, float):
        words = words[0].split(",")
    return words[0] if len(words) == 1 and takes_single(hint, words[0]) else words


# ------------------------------------------------------------------------------------------------------- plain values
def _typed(kind: type, content: dict, place: str, prefix: str) -> dict[str, Any]:
    """Convert plain values to the types of a dataclass's fields; values of nested dataclasses stay dictionaries."""
    hints = {field.name: typing.get_type_hints(kind)[field.name] for field in fields(kind)}
    for key in content:
        if key not in hints:
            present = present_name(str(key))
            if present in hints:
                raise InputError(f"{place}: unknown key '{prefix}{key}', which is now '{prefix}{present}'")
            close = difflib.get_close_matches(str(key), hints, 1)
            expected = (
                f"did you mean '{prefix}{close[0]}'?" if close else f"expected one of {', '.join(hints)}"
            )
            raise InputError(f"{place}: unknown key '{prefix}{key}', {expected}")
    return {key: _value(hints[key], value, place, f"{prefix}{key}") for key, value in content.items()}


def _value(hint: Any, value: Any, place: str, key: str) -> Any:
    """Convert a plain value to the type of its field.

    Raises:
        InputError: the value is of another type, or was renamed; the message then has its present name.
    """
    inner = dataclass_in(hint)
    content = from_yaml(value) if inner is not None else None
    if isinstance(content, dict):
        return _typed(inner, content, place, f"{key}.")
    try:
        return converted(hint, value)
    except InputError as error:  # of a path, and says what is wrong with it
        raise InputError(f"{place}: {key}: {error}") from None
    except (ValueError, TypeError):
        items = from_yaml(value)
        for item in items if isinstance(items, list) else [items]:
            present = present_value(item, literals(hint))
            if present is not None:
                raise InputError(f"{place}: {key} is {item}, which is now {present}") from None
        shown = "null" if value is None else value
        raise InputError(f"{place}: {key} is {shown}, expected {type_name(hint)}") from None


def _merge(values: dict[str, Any], others: dict[str, Any]) -> None:
    """Update a dictionary with another, nested dictionaries key by key."""
    for key, value in others.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value


def _built(kind: type[Config], values: dict[str, Any], place: str, prefix: str, start: Any) -> Config:
    """Make a dataclass with these values; all other fields are those of ``start`` or, if it is None, the defaults.

    Raises:
        InputError: a value is missing, or refused.
    """
    hints = typing.get_type_hints(kind)
    arguments = {}
    for field in fields(kind):  # type: ignore[arg-type]
        key, inner, default = (
            f"{prefix}{field.name}",
            dataclass_in(hints[field.name]),
            default_of(field, start),
        )
        value = values.get(field.name, default)
        if inner is hints[field.name] and value is MISSING:
            value = {}  # so that the message names what is missing in it
        if inner is not None and isinstance(value, dict):
            value = _built(inner, value, place, f"{key}.", default if is_dataclass(default) else None)
        if value is MISSING:
            raise InputError(f"{place}: no value for '{key}', expected {type_name(hints[field.name])}")
        arguments[field.name] = value
    try:
        return kind(**arguments)
    except ConfigError as error:
        raise InputError(f"{place}: {prefix}{error}") from None
    except ValueError as error:
        owner = f"{prefix.rstrip('.')}: " if prefix else ""
        raise InputError(f"{place}: {owner}{' '.join(str(error).split())}") from None
