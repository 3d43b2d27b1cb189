"""Annotations of configuration fields: their names in error messages, and conversion of plain values to them.

Supported are int, float, bool, str, Path, Literal, dict, tuples, nested dataclasses, and unions of these.
"""

import dataclasses
import types
import typing
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anifacegan.runtime.errors import ConfigError
from anifacegan.runtime.number_texts import real_number_of
from anifacegan.runtime.paths import user_path
from anifacegan.runtime.structured_text import parse_yaml

NAMED_KEYS = 3
"""Largest number of a group's keys that are named where a group is expected."""


def converted(hint: Any, value: Any) -> Any:
    """Convert a plain value to the type ``hint``. A text is parsed where ``hint`` is not a text.

    Command-line options arrive as texts, and PyYAML reads 1e-3 as a text.

    Raises:
        ValueError or TypeError: the value is of another type.
    """
    for part in _alternatives(hint)[:-1]:  # a union: the first that can read it
        with suppress(ValueError, TypeError):
            return converted(part, value)
    hint = _alternatives(hint)[-1]
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if hint is Path and isinstance(value, (str, Path)):
        return user_path(value)
    if hint is float and type(number := _number(value)) in (int, float):
        return _as_float(number)
    if hint is int and type(number := _number(value)) is int:
        return number
    if hint is bool and type(said := from_yaml(value)) is bool:
        return said
    if hint is type(None) and is_null(value):
        return None
    if hint is str and isinstance(value, str):
        return value
    if origin is typing.Literal and value in parts:
        return value
    if origin is tuple and isinstance(items := from_yaml(value), (list, tuple)):
        kinds = parts[:1] * len(items) if parts[-1] is Ellipsis else parts
        return tuple(converted(part, item) for part, item in zip(kinds, items, strict=True))
    if origin is dict and isinstance(value, dict):
        return {converted(parts[0], name): converted(parts[1], item) for name, item in value.items()}
    raise TypeError


def require_types(config: Any) -> None:
    """Require that a configuration that a program made has values of its fields' types; one that was read has.

    Raises:
        ConfigError: a field has not; the message names the first such field, its value, and the type.
    """
    for name, hint in typing.get_type_hints(type(config)).items():
        value = getattr(config, name)
        plain = value.item() if isinstance(value, np.generic) else value
        try:
            fits = converted(hint, plain) == plain  # a text that says a number is none
        except (ValueError, TypeError):
            fits = False
        if not fits:
            raise ConfigError(name, value, type_name(hint))


def is_null(value: Any) -> bool:
    """Return whether a value is null, or a text that says so. To YAML, nothing but blanks or a comment is null as well;
    here it is a mistake, or a file whose name begins with ``#``.
    """
    return value is None or (isinstance(value, str) and value.strip() in ("null", "Null", "NULL", "~"))


def from_yaml(value: Any) -> Any:
    """Parse a text as YAML and return the result; return other values, and texts that are not YAML, unchanged."""
    try:
        return parse_yaml(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _as_float(number: int | float) -> float:
    """Convert a number to a float.

    Raises:
        ValueError: it is a whole number that is too large for one.
    """
    try:
        return float(number)
    except OverflowError:
        raise ValueError("too large") from None


def _number(value: Any) -> Any:
    """Parse a number from a text, also 1e-3, which PyYAML does not take for a number; return other values unchanged."""
    value = from_yaml(value)
    return real_number_of(value) if isinstance(value, str) else value


def _alternatives(hint: Any) -> tuple:
    """Return the types in a union: null first, types that accept any text last. For a type that is no union, return it
    alone.
    """
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    parts = typing.get_args(hint) if union else (hint,)
    return tuple(sorted(parts, key=lambda part: (part is not type(None), part in (str, Path))))


def dataclass_in(hint: Any) -> Any:
    """Return the dataclass that an annotation names, alone or in a union; None if it names no dataclass."""
    return next((part for part in _alternatives(hint) if isinstance(part, type) and is_dataclass(part)), None)


def item_type(hint: Any) -> Any:
    """Return the type of the items if an annotation allows a list; None if it allows no list."""
    lists = (part for part in _alternatives(hint) if typing.get_origin(part) is tuple)
    return next((typing.get_args(part)[0] for part in lists), None)


def takes_single(hint: Any, word: str) -> bool:
    """Return whether one word can be a value where an annotation allows a list: it allows single values, too, or it is
    null where that is allowed."""
    others = [part for part in _alternatives(hint) if typing.get_origin(part) is not tuple]
    return any(part is not type(None) or is_null(word) for part in others)


def literals(hint: Any) -> tuple:
    """Return the values of every Literal in an annotation, also of those in unions and lists."""
    parts = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return parts
    return tuple(value for part in parts for value in literals(part))


def type_name(hint: Any) -> str:
    """Describe an annotation for error messages: ``int | None`` is "a whole number or null"."""
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false", Path: "a path"}
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint in names:
        return names[hint]
    if hint in (None, type(None)):
        return "null"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_name(part) for part in parts)
    if origin is tuple and parts[-1] is Ellipsis:
        return f"a list, each {type_name(parts[0])}"
    if origin is typing.Literal:
        return ("one of " if len(parts) > 1 else "") + ", ".join(str(part) for part in parts)
    if origin is dict:
        return f"keys and values, each {type_name(parts[1])}"
    if is_dataclass(hint):
        names = [field.name for field in fields(hint)]
        return f"keys and values ({', '.join([*names[:NAMED_KEYS], *['...'] * (len(names) > NAMED_KEYS)])})"
    return str(hint)


def nested_fields(kind: type, prefix: str, start: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield dotted key, annotation and default of each field of a dataclass, then those of its nested dataclasses.

    ``start`` is an instance whose values are the defaults; None takes the defaults of the dataclass.
    """
    hints = typing.get_type_hints(kind)
    nested = []
    for field in fields(kind):
        key, hint, default = f"{prefix}{field.name}", hints[field.name], default_of(field, start)
        yield key, hint, default
        inner = dataclass_in(hint)
        if inner is not None:
            nested.append((inner, f"{key}.", default if is_dataclass(default) else None))
    for inner, below, default in nested:
        yield from nested_fields(inner, below, default)


def default_of(field: dataclasses.Field, start: Any) -> Any:
    """Return the value of a field in ``start``; if ``start`` is None, the field's default, or MISSING if it has
    none.
    """
    if start is not None:
        return getattr(start, field.name)
    return field.default if field.default_factory is MISSING else field.default_factory()
