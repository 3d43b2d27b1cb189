"""YAML and JSON that users and other programs write: the one reader of each, with limits.

A file of a few bytes may stand for a value that would fill the memory (YAML's aliases) or exceed Python's recursion
(deep nesting). Both are refused before anything is built, and so are keys that occur twice. Dates stay texts, and so do
numbers that YAML 1.1 reads otherwise than people: 010 (which would be 8), 1:30 (which would be 90) and 1_0 (10).
"""

import json
import re
from pathlib import Path
from typing import Any

import yaml

from anifacegan.runtime.errors import InputError, first_line
from anifacegan.runtime.file_kinds import HEAD_BYTES, foreign_kind
from anifacegan.runtime.paths import require_file

MOST_BYTES = 2**18
"""Largest size of a YAML file; that of the demo model's card is 10 KB."""
MOST_JSON_BYTES = 2**28
"""Largest size of a JSON file; dataset.json of EG3D's data set has 36 MB."""
MOST_DEPTH = 40
"""Largest number of lists and mappings inside each other."""
MOST_VALUES = 50_000
"""Largest number of values in a YAML text, where an alias counts as everything that it stands for."""
_MERGE = "tag:yaml.org,2002:merge"
_JSON_TYPES = ("null", "bool", "int", "float", "str", "seq", "map")


class _Loader(yaml.SafeLoader):
    """Loader of the types that JSON has; everything else that YAML offers is refused, or a text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.weights: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        is_alias = self.check_event(yaml.AliasEvent)
        mark = self.peek_event().start_mark
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"more than {MOST_DEPTH} levels of nesting", problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        if is_alias and id(node) not in self.weights:
            raise yaml.MarkedYAMLError(problem="an alias inside what it stands for", problem_mark=mark)
        if not is_alias:
            self.weights[id(node)] = 1 + sum(self.weights[id(part)] for part in _parts(node))
        if self.weights[id(node)] > MOST_VALUES:
            raise yaml.MarkedYAMLError(
                problem=f"stands for more than {MOST_VALUES} values", problem_mark=mark
            )
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict:
        seen: set[tuple[str, str]] = set()
        for part, _ in node.value:
            name = (part.tag, str(part.value))
            if name in seen and part.tag != _MERGE:
                raise yaml.MarkedYAMLError(
                    problem=f"key '{name[1]}' occurs twice", problem_mark=part.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Writer that quotes the texts that either reader, :class:`_Loader` or PyYAML's own, takes for something else."""


_Loader.yaml_constructors = {
    tag: build
    for tag, build in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.removeprefix("tag:yaml.org,2002:") in _JSON_TYPES
}


_Loader.yaml_implicit_resolvers = {
    start: [
        (tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":int", ":float"))
    ]
    for start, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, _pattern in (
    ("int", r"[-+]?(0|[1-9][0-9]*|0x[0-9a-fA-F]+)"),
    (
        "float",
        r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    ),
):
    for _kind in (_Loader, _Dumper):
        _kind.add_implicit_resolver(
            f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern})\Z"), list("-+.0123456789")
        )


def _parts(node: Any) -> list[Any]:
    """Return the nodes in a list, or the keys and values in a mapping."""
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def parse_yaml(text: str) -> Any:
    """Parse a text as YAML.

    Raises:
        ValueError: it is not YAML, or exceeds a limit; the message is one line.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"{len(text)} characters, expected at most {MOST_BYTES}")
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except Exception as error:  # PyYAML lets through what Python's own conversions raise: numbers, keys
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
        place = f"line {mark.line + 1}: " if mark else ""
        raise ValueError(f"{place}{problem or first_line(error)}") from None


def yaml_text(values: dict[str, Any], width: int | None = None) -> str:
    """Return YAML from which :func:`parse_yaml` makes the same values, whose keys keep their order; ``width`` is the
    longest line in characters (default: PyYAML's 80).
    """
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, width=width)


def read_yaml(path: Path, expected: str) -> dict[str, Any]:
    """Read a YAML file that holds keys and values; ``expected`` describes it in the error.

    Raises:
        InputError: the file cannot be read, is too large, or holds something else.
    """
    require_file(path, expected)
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise InputError(f"{path}: is larger than {MOST_BYTES} bytes, expected {expected}")
        kind = foreign_kind(content[:HEAD_BYTES])
        values = parse_yaml(content.decode("utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}), expected {expected}") from None
    except InputError:
        raise
    except ValueError as error:
        reason = "no UTF-8 text" if isinstance(error, UnicodeDecodeError) else error
        words = kind or f"not readable as YAML ({reason})"
        raise InputError(f"{path}: {words}, expected {expected}") from None
    if not isinstance(values, dict) and kind is not None:
        raise InputError(f"{path}: {kind}, expected {expected}")
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds a {type(values).__name__}, expected keys and values")
    return values


def read_json(path: Path, expected: str) -> Any:
    """Read a JSON file; ``expected`` describes it in the error.

    Raises:
        InputError: the file cannot be read, is too large, or is no JSON.
    """
    require_file(path, expected)
    try:
        with path.open("rb") as file:
            content = file.read(MOST_JSON_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise InputError(f"{path}: cannot be read ({reason}), expected {expected}") from None
    if len(content) > MOST_JSON_BYTES:
        raise InputError(f"{path}: is larger than {MOST_JSON_BYTES} bytes, expected {expected}")
    try:
        return parse_json(content, path)
    except InputError:
        kind = foreign_kind(content[:HEAD_BYTES])
        if kind is None:
            raise
        raise InputError(f"{path}: {kind}, expected {expected}") from None


class _RepeatedKeyError(ValueError):
    """A key stands twice in an object of JSON."""


def _with_each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        name = next(name for k, name in enumerate(names) if name in names[:k])
        raise _RepeatedKeyError(f"key '{name}' occurs twice, expected each key once")
    return found


def parse_json(content: str | bytes, place: Path | str) -> Any:
    """Parse JSON; ``place`` says in the error where it comes from.

    Raises:
        InputError: it is no JSON, nested too deeply, or has a key twice.
    """
    try:
        return json.loads(content, object_pairs_hook=_with_each_key_once)
    except _RepeatedKeyError as error:
        raise InputError(f"{place}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: not a JSON file ({first_line(error)})") from None
