"""Typed configurations: YAML files, options and other plain values become a frozen dataclass; a mistake is one line.

The command line is split into options and their words. What a value has to be is said by the annotation of its
field, and is checked here, so that a message can name the key, what came, and what is expected.
"""

import argparse
import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from anifacegan.runtime.errors import ConfigError, InputError
from anifacegan.runtime.resources import located

Config = TypeVar("Config")


def read_config(
    kind: type[Config], arguments: Sequence[str], command: str, leading: Sequence[str] = ()
) -> Config:
    """Read a configuration from ``--config FILE`` (several: later ones win) and from options, which win over files.

    An option takes one value, or several words (``--seeds 1 2 3``, ``--seeds 1,2,3``); a switch needs none
    (``--depth``). Keys of nested configurations have dots (``--schedule.batch 8``), ``--face-model`` is
    ``--face_model``. Words before the first option are values of the fields ``leading``, in their order. ``--help``
    shows the attribute docstrings of ``kind``, ``--print_config`` the resolved YAML.

    Raises:
        InputError: unreadable file, unknown key or option, a value of the wrong kind, or one that ``kind`` refuses.
    """
    line = _split(arguments, command, leading)
    return _resolved(kind, line, command, leading)


def read_one_of(
    kinds: Mapping[str, Callable[[], type]], key: str, arguments: Sequence[str], command: str
) -> Any:
    """Read a configuration whose class depends on one of its values, as :func:`read_config` reads it.

    ``kinds`` maps the values of ``key`` to functions that return the class; the first one is the default.

    Raises:
        InputError: as :func:`read_config`, or the value of ``key`` is none of these.
    """
    line = _split(arguments, command, ())
    values = [str(content[key]) for _, content in line.files if content.get(key) is not None]
    values += [word for name, words in line.options if _key(name) == key for word in words]
    name = values[-1] if values else next(iter(kinds))
    if name not in kinds:
        raise InputError(f"{command}: {key} is {name}, expected one of {', '.join(kinds)}")
    return _resolved(kinds[name](), line, command, ())


def from_plain(kind: type[Config], content: dict, place: str, prefix: str = "") -> Config:
    """Make a dataclass of plain values, such as a YAML file has. ``prefix`` goes before the keys in messages.

    Raises:
        InputError: ``place``, then the unknown or missing key, or the value that is of the wrong kind or is refused.
    """
    return _built(kind, _typed(kind, content, place, prefix), place, prefix, None)


def as_tuple(value: Any) -> tuple:
    """The values of an option that takes one or a list."""
    return value if isinstance(value, tuple) else (value,)


def plain(value: Any) -> Any:
    """A configuration as plain values for YAML."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


# -------------------------------------------------------------------------------------------------------- command line
@dataclasses.dataclass(frozen=True)
class _CommandLine:
    """A command line taken apart, before it is known which options there are."""

    options: list[tuple[str, list[str]]]
    """Options as they were typed, with the words behind each, in their order."""
    files: list[tuple[str, dict]]
    """Paths and contents of the YAML files."""
    help: bool
    print_config: bool


def _split(arguments: Sequence[str], command: str, leading: Sequence[str]) -> _CommandLine:
    """Take a command line apart: words that begin with a dash, and are no numbers, are options.

    Raises:
        InputError: an unreadable file, or more words before the first option than ``leading`` names.
    """
    options: list[tuple[str, list[str]]] = []
    stray = []
    for word in arguments:
        if re.match(r"-[^.\d]", word):
            name, equals, value = word.partition("=")
            options.append((name, [value] if equals else []))
        elif options:
            options[-1][1].append(word)
        else:
            stray.append(word)
    if len(stray) > len(leading):
        expected = f", expected at most {' '.join(map(str.upper, leading))}" if leading else ""
        raise InputError(f"{command}: unrecognized arguments: {' '.join(stray)}{expected}")
    options = [(f"--{key}", [word]) for key, word in zip(leading, stray, strict=False)] + options
    names = {_key(name) for name, _ in options}
    wants_help = not names.isdisjoint(("-h", "help"))
    files: list[tuple[str, dict]] = []
    words_of_config = [words for name, words in options if _key(name) == "config"]
    for path in (path for words in words_of_config for path in _some("config", words, Path)):
        with suppress(InputError) if wants_help else nullcontext():
            files.append((path, _read_yaml(located(path, "a YAML configuration"))))
    others = [
        (name, words) for name, words in options if _key(name) not in ("-h", "help", "config", "print_config")
    ]
    return _CommandLine(others, files, wants_help, "print_config" in names)


def _key(name: str) -> str:
    """The key of an option as it was typed: ``two_words`` of ``--two-words``."""
    return name[2:].replace("-", "_") if name.startswith("--") else name


def _resolved(kind: type[Config], line: _CommandLine, command: str, leading: Sequence[str]) -> Config:
    """The configuration that files and options make; ``--help`` and ``--print_config`` end here.

    Raises:
        InputError: an unknown key or option, a value of the wrong kind, or one that ``kind`` refuses.
    """
    if line.help:
        _print_help(kind, command, leading)
        raise SystemExit(0)
    hints = {key: hint for key, hint, _ in _options(kind, "", None)}
    values: dict[str, Any] = {}
    for path, content in line.files:
        _merge(values, _typed(kind, content, path, ""))
    for name, words in line.options:
        key = _key(name)
        if key not in hints:
            raise InputError(f"{command}: {_unknown_option(name, hints)}")
        value: Any = _value(hints[key], _plain_value(key, words, hints[key]), command, key)
        for part in reversed(key.split(".")):
            value = {part: value}
        _merge(values, value)
    config = _built(kind, values, command, "", None)
    if line.print_config:
        print(yaml.safe_dump(plain(config), sort_keys=False), end="")
        raise SystemExit(0)
    return config


def _options(kind: type, prefix: str, start: Any) -> Iterator[tuple[str, Any, Any]]:
    """Key, type and default of each field, those of nested configurations after those of their owner."""
    hints = typing.get_type_hints(kind)
    nested = []
    for field in fields(kind):
        key, hint, default = f"{prefix}{field.name}", hints[field.name], _default(field, start)
        yield key, hint, default
        inner = _dataclass_in(hint)
        if inner is not None:
            nested.append((inner, f"{key}.", default if is_dataclass(default) else None))
    for inner, below, default in nested:
        yield from _options(inner, below, default)


def _print_help(kind: type, command: str, leading: Sequence[str]) -> None:
    """Print the docstring of each field, those of nested configurations in groups of their own."""
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
    for key, hint, default in _options(kind, "", None):
        owner, _, name = key.rpartition(".")
        text = f"{texts[owner].get(name, '')} ({_type_name(hint)}; {_shown(default)})".strip()
        words = "?" if hint is bool else "+" if _item_type(hint) is not None else None
        groups[owner].add_argument(
            f"--{key}", nargs=words, metavar=name.upper(), help=text.replace("%", "%%")
        )
        inner = _dataclass_in(hint)
        if inner is not None:
            groups[key], texts[key] = parser.add_argument_group(key, _summary(inner)), _docstrings(inner)
    parser.print_help()


def _summary(kind: type) -> str:
    """The docstring of a class; nothing where it is the signature that a dataclass gives itself."""
    text = kind.__doc__ or ""
    return "" if text.startswith(f"{kind.__name__}(") else text.replace("%", "%%")


def _docstrings(kind: type) -> dict[str, str]:
    """What stands under each field of a dataclass and of those it inherits from."""
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
    return "default: null" if default is None else f"default: {' '.join(map(str, as_tuple(default)))}"


def _unknown_option(name: str, hints: dict[str, Any]) -> str:
    close = difflib.get_close_matches(_key(name).lstrip("-"), hints, 1)
    return f"unknown option '{name}', " + (f"did you mean '--{close[0]}'?" if close else "--help shows all")


def _some(key: str, words: list[str], hint: Any) -> list[str]:
    if not words or "" in words:
        raise InputError(f"--{key}: no value given, expected {_type_name(hint)}")
    return words


def _plain_value(key: str, words: list[str], hint: Any) -> Any:
    """An option's words as YAML would have them: a text, or a list of texts where the option takes one."""
    if hint is bool and not words:
        return True
    item = _item_type(hint)
    one = len(_some(key, words, hint)) == 1
    if item is None:
        if not one:
            raise InputError(f"--{key}: got '{' '.join(words)}', expected {_type_name(hint)}")
        return words[0]
    if one and words[0].startswith("["):
        return words[0]
    if one and item in (int, float):
        words = words[0].split(",")
    return words[0] if len(words) == 1 and typing.get_origin(hint) is not tuple else words


def _item_type(hint: Any) -> Any:
    """The type of the values in a list that an option takes; None where it takes no list."""
    lists = (part for part in _alternatives(hint) if typing.get_origin(part) is tuple)
    return next((typing.get_args(part)[0] for part in lists), None)


# ------------------------------------------------------------------------------------------------------- plain values
def _read_yaml(path: Path) -> dict:
    if not path.is_file():
        raise InputError(f"{path}: is a folder, expected a YAML configuration")
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        place = f"line {mark.line + 1}: " if mark else ""
        raise InputError(f"{path}: not readable as YAML ({place}{problem or type(error).__name__})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, expected keys and values")
    return content


def _typed(kind: type, content: dict, place: str, prefix: str) -> dict[str, Any]:
    """The values as the fields of a dataclass have them; those of nested dataclasses as dictionaries."""
    hints = {field.name: typing.get_type_hints(kind)[field.name] for field in fields(kind)}
    for key in content:
        if key not in hints:
            close = difflib.get_close_matches(str(key), hints, 1)
            expected = (
                f"did you mean '{prefix}{close[0]}'?" if close else f"expected one of {', '.join(hints)}"
            )
            raise InputError(f"{place}: unknown key '{prefix}{key}', {expected}")
    return {key: _value(hints[key], value, place, f"{prefix}{key}") for key, value in content.items()}


def _value(hint: Any, value: Any, place: str, key: str) -> Any:
    """A plain value as its field has it.

    Raises:
        InputError: it is of another kind.
    """
    inner = _dataclass_in(hint)
    content = _from_yaml(value) if inner is not None else None
    if isinstance(content, dict):
        return _typed(inner, content, place, f"{key}.")
    try:
        return _converted(hint, value)
    except (ValueError, TypeError):
        raise InputError(f"{place}: {key} is {value}, expected {_type_name(hint)}") from None


def _converted(hint: Any, value: Any) -> Any:
    """A value as a type has it: itself, or read from the text that an option has, and a YAML file for 1e-3.

    Raises:
        ValueError or TypeError: it is of another kind.
    """
    for part in _alternatives(hint)[:-1]:  # a union: the first that can read it
        with suppress(ValueError, TypeError):
            return _converted(part, value)
    hint = _alternatives(hint)[-1]
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if hint is Path and isinstance(value, (str, Path)):
        return Path(value).expanduser()
    if hint is float and type(number := _number(value)) in (int, float):
        return float(number)
    if hint is int and type(number := _number(value)) is int:
        return number
    if hint in (bool, type(None)) and type(said := _from_yaml(value)) is hint:
        return said
    if hint is str and isinstance(value, str):
        return value
    if origin is typing.Literal and value in parts:
        return value
    if origin is tuple and isinstance(items := _from_yaml(value), (list, tuple)):
        kinds = parts[:1] * len(items) if parts[-1] is Ellipsis else parts
        return tuple(_converted(part, item) for part, item in zip(kinds, items, strict=True))
    if origin is dict and isinstance(value, dict):
        return {_converted(parts[0], name): _converted(parts[1], item) for name, item in value.items()}
    raise TypeError


def _from_yaml(value: Any) -> Any:
    """What a text means in YAML; other values, and what is no YAML, as they are."""
    try:
        return yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError:
        return value


def _number(value: Any) -> Any:
    """A number that is also one as text; PyYAML reads 1e-3 as text."""
    value = _from_yaml(value)
    return float(value) if isinstance(value, str) else value


def _merge(values: dict[str, Any], others: dict[str, Any]) -> None:
    """Put others over values, key by key also in nested dictionaries."""
    for key, value in others.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _merge(values[key], value)
        else:
            values[key] = value


def _built(kind: type[Config], values: dict[str, Any], place: str, prefix: str, start: Any) -> Config:
    """The dataclass with these values, others as in ``start`` or, without one, their defaults.

    Raises:
        InputError: a value is missing, or refused.
    """
    hints = typing.get_type_hints(kind)
    arguments = {}
    for field in fields(kind):  # type: ignore[arg-type]
        key, inner, default = (
            f"{prefix}{field.name}",
            _dataclass_in(hints[field.name]),
            _default(field, start),
        )
        value = values.get(field.name, default)
        if inner is hints[field.name] and value is MISSING:
            value = {}  # so that the message names what is missing in it
        if inner is not None and isinstance(value, dict):
            value = _built(inner, value, place, f"{key}.", default if is_dataclass(default) else None)
        if value is MISSING:
            raise InputError(f"{place}: no value for '{key}', expected {_type_name(hints[field.name])}")
        arguments[field.name] = value
    try:
        return kind(**arguments)
    except ConfigError as error:
        raise InputError(f"{place}: {prefix}{error}") from None
    except ValueError as error:
        owner = f"{prefix.rstrip('.')}: " if prefix else ""
        raise InputError(f"{place}: {owner}{' '.join(str(error).split())}") from None


def _default(field: dataclasses.Field, start: Any) -> Any:
    if start is not None:
        return getattr(start, field.name)
    return field.default if field.default_factory is MISSING else field.default_factory()


# -------------------------------------------------------------------------------------------------------------- types
def _alternatives(hint: Any) -> tuple:
    """The types that an annotation allows, null first, and last those that take any text."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    parts = typing.get_args(hint) if union else (hint,)
    return tuple(sorted(parts, key=lambda part: (part is not type(None), part in (str, Path))))


def _dataclass_in(hint: Any) -> Any:
    """The dataclass that an annotation is, or that it allows beside null; None where there is none."""
    return next((part for part in _alternatives(hint) if isinstance(part, type) and is_dataclass(part)), None)


def _type_name(hint: Any) -> str:
    """``int | tuple[int, ...]`` in a user's words: "a whole number or a list, each a whole number"."""
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Path: "a path"}
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint in names:
        return names[hint]
    if hint in (None, type(None)):
        return "null"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type_name(part) for part in parts)
    if origin is tuple and parts[-1] is Ellipsis:
        return f"a list, each {_type_name(parts[0])}"
    if origin is typing.Literal:
        return "one of " + ", ".join(str(part) for part in parts)
    return "keys and values" if is_dataclass(hint) or origin is dict else str(hint)
