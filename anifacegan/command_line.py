"""What a user types: YAML files, options and other plain values become a frozen dataclass, mistakes one line.

The only file that knows jsonargparse.
"""

import ast
import difflib
import json
import re
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from jsonargparse import ArgumentError, ArgumentParser, set_parsing_settings

from anifacegan.errors import InputError

Config = TypeVar("Config")

_NUMBERS = re.compile(r"[-+.\deE]+(,[-+.\deE]+)+")
_NEGATIVE = re.compile(r"-[.\d]")


def read_config(kind: type[Config], arguments: Sequence[str], command: str) -> Config:
    """A configuration from ``--config FILE`` (several: later ones win) and from options, which win over files.

    An option takes one value, or several words (``--seeds 1 2 3``, ``--seeds 1,2,3``); a switch needs none
    (``--depth``). ``--face-model`` is ``--face_model``. ``--help`` shows the attribute docstrings of ``kind``,
    ``--print_config`` the resolved YAML.

    Raises:
        InputError: unreadable file, unknown key or option, a value of the wrong kind, or one that ``kind`` refuses.
    """
    set_parsing_settings(docstring_parse_attribute_docstrings=True)
    parser = ArgumentParser(prog=command, exit_on_error=False, description=kind.__doc__)
    parser.add_argument("--config", action="config", help="YAML file with any of the options below.")
    parser.add_class_arguments(kind, as_group=False)
    joined = list(_one_word_each(arguments, kind))
    for argument in joined:
        if argument.startswith("--config="):
            _check_file(Path(argument.removeprefix("--config=")), kind)
    return _built(kind, parser, lambda: parser.parse_args(joined), command)


def from_plain(kind: type[Config], content: dict, place: str, prefix: str = "") -> Config:
    """A dataclass from plain values, such as a YAML file has. ``prefix`` goes before the keys in messages.

    Raises:
        InputError: ``place``, then the unknown or missing key, or the value that is of the wrong kind or is refused.
    """
    _check_keys(place, content, kind, prefix)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, as_group=False)
    return _built(kind, parser, lambda: parser.parse_object(content), place, prefix)


def _built(kind: type[Config], parser: ArgumentParser, parse: Callable, place: str, prefix: str = "") -> Config:
    try:
        values = parser.instantiate(parse())
        return kind(**{field.name: values[field.name] for field in fields(kind)})  # type: ignore[arg-type]
    except ArgumentError as error:
        raise InputError(_one_line(str(error), kind, place, prefix)) from None
    except ValueError as error:  # a configuration that refuses a value
        text = " ".join(str(error).split())
        optional = re.search(r"Errors: - (.*?) - Expected a <class 'NoneType'>", text)
        raise InputError(f"{place}: {optional[1] if optional else text}") from None


def several(value: Any) -> tuple:
    """The values of an option that takes one or a list."""
    return value if isinstance(value, tuple) else (value,)


def plain(value: Any) -> Any:
    """A configuration as plain values for YAML."""
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _one_word_each(arguments: Sequence[str], kind: type) -> Iterator[str]:
    """``--key value``, ``--key a b`` and ``--switch`` as ``--key=value``, ``--key=[a, b]`` and ``--switch=true``."""
    option, words = None, []
    for argument in [*arguments, "--"]:
        if argument.startswith("-") and not _NEGATIVE.match(argument):
            name, equals, value = argument.partition("=")
            argument = re.sub(r"\b-\b", "_", name) + equals + value
            yield from words if option is None else [_joined(option, words, kind)]
            option, words = argument, []
        else:
            words.append(argument)


def _joined(option: str, words: list[str], kind: type) -> str:
    hint = str if option == "--config" else _hint(kind, option.removeprefix("--"))
    if option in ("-h", "--print_config") or option.endswith("help") or "=" in option:
        if words:
            raise InputError(f"{option}: takes no further word, got '{' '.join(words)}'")
        return option
    if not words and hint is bool:
        return f"{option}=true"
    if not words or "" in words:
        raise InputError(f"{option}: no value given" + ("" if hint is None else f", expected {_type_name(hint)}"))
    is_list = any(typing.get_origin(part) is tuple for part in (hint, *typing.get_args(hint)))
    values = words[0].split(",") if is_list and len(words) == 1 and _NUMBERS.fullmatch(words[0]) else words
    if len(values) == 1:
        return f"{option}={values[0]}"
    if not is_list and hint is not None:
        raise InputError(f"{option}: got '{' '.join(words)}', expected {_type_name(hint)}")
    return f"{option}=[{', '.join(value if _is_number(value) else json.dumps(value) for value in values)}]"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_file(path: Path, kind: type) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no such file, expected a YAML configuration")
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        place = f"line {mark.line + 1}: " if mark else ""
        raise InputError(f"{path}: not readable as YAML ({place}{problem or type(error).__name__})") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds a {type(content).__name__}, expected keys and values")
    _check_keys(str(path), content, kind, "")


def _check_keys(place: str, content: dict, kind: type, prefix: str) -> None:
    known = {field.name: field.type for field in fields(kind)}
    for key, value in content.items():
        if key not in known:
            close = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean '{prefix}{close[0]}'?" if close else f"expected one of {', '.join(known)}"
            raise InputError(f"{place}: unknown key '{prefix}{key}', {hint}")
        inner = _dataclass_in(typing.get_type_hints(kind)[key])
        if inner is not None and isinstance(value, dict):
            _check_keys(place, value, inner, f"{prefix}{key}.")


def _one_line(message: str, kind: type, place: str, prefix: str) -> str:
    """jsonargparse's message without its frame; for a wrong value: key, what came, what is expected."""
    text = " ".join(message.split())
    found = re.match(r'Parser key "([\w.]+)":.*(?:Got|Given) value: (.*)', text)
    if found is None:
        return f"{place}: {text}"
    key, value = found.groups()
    hint = _hint(kind, key)
    inner, values = _dataclass_in(hint), _keys_and_values(value)
    if inner is not None and values is not None:                       # a group that may be null: say what in it
        try:
            from_plain(inner, values, place, f"{prefix}{key}.")
        except InputError as error:
            return str(error)
    return f"{place}: {prefix}{key} is {value}, expected {_type_name(hint)}"


def _keys_and_values(shown: str) -> dict | None:
    """A group as jsonargparse's messages show it: a dictionary, or one nested option."""
    nested = re.fullmatch(r"NestedArg\(key='([\w.]+)', val=(.*)\)", shown)
    try:
        value = {nested[1]: yaml.safe_load(ast.literal_eval(nested[2]))} if nested else ast.literal_eval(shown)
    except (ValueError, SyntaxError, yaml.YAMLError):
        return None
    return value if isinstance(value, dict) else None


def _dataclass_in(hint: Any) -> type | None:
    """The dataclass that an annotation is, or that it allows beside null."""
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return next((part for part in parts if isinstance(part, type) and is_dataclass(part)), None)


def _hint(kind: Any, key: str) -> Any:
    """The annotation of a dotted key; None where there is no such key."""
    for part in key.split("."):
        owner = _dataclass_in(kind)
        kind = None if owner is None else typing.get_type_hints(owner).get(part)
    return kind


def _type_name(hint: Any) -> str:
    """``int | tuple[int, ...]`` in a user's words: "a whole number or several"."""
    plain = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Path: "a path"}
    if hint in plain:
        return plain[hint]
    if hint in (None, type(None)):
        return "null"
    if isinstance(hint, type) and is_dataclass(hint):
        return "keys and values"
    parts = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return " or ".join(_type_name(part) for part in parts)
    if typing.get_origin(hint) is tuple and parts[-1] is Ellipsis:
        return f"a list, each {_type_name(parts[0])}"
    if typing.get_origin(hint) is typing.Literal:
        return "one of " + ", ".join(str(part) for part in parts)
    return str(hint).removeprefix("<class '").removesuffix("'>")
