"""YAML and JSON of strangers: limits before anything is built, and one line for every mistake."""

import datetime
import time
from pathlib import Path

import pytest
import yaml

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.structured_text import (
    MOST_BYTES,
    MOST_DEPTH,
    parse_json,
    parse_yaml,
    read_json,
    read_yaml,
    yaml_text,
)

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "problem"),
    {
        "alias bomb": (BOMB, "stands for more than"),
        "merge bomb": (
            "a: &a {x: 1}\n"
            + "".join(f"m{k}: &m{k} {{<<: [{', '.join(['*a' if k == 0 else f'*m{k - 1}'] * 9)}]}}\n" for k in range(9)),
            "stands for more than",
        ),
        "recursive alias": ("a: &a [*a]", "an alias inside what it stands for"),
        "deep lists": ("[" * 10_000, f"more than {MOST_DEPTH} levels"),
        "deep mappings": ("{a: " * 10_000, f"more than {MOST_DEPTH} levels"),
        "too long": ("#" * (MOST_BYTES + 1), "expected at most"),
        "5,000 digits": ("a: " + "9" * 5000, "digit"),
        "wrong int": ("a: !!int foo", ""),
        "wrong date": ("a: !!timestamp 2020-99-99", "could not determine a constructor"),
        "python object": ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        "twice": ("a: 1\nb: 2\na: 3", "line 3: key 'a' occurs twice"),
        "list as a key": ("? [1]\n: 2", "unhashable"),
        "null character": ("a: \0", ""),
        "unknown alias": ("a: *b", "undefined alias"),
    }.values(),
)  # fmt: skip
def test_what_is_not_ours_is_one_line_at_once(text: str, problem: str, tmp_path: Path) -> None:
    started = time.perf_counter()
    with pytest.raises(ValueError) as caught:
        parse_yaml(text)
    assert problem in str(caught.value) and "\n" not in str(caught.value)
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError) as refused:
        read_yaml(tmp_path / "a.yaml", "a configuration")
    assert str(refused.value).startswith(f"{tmp_path / 'a.yaml'}: ")
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize(
    "text",
    [
        "12e5",
        "5e10",
        "1.5e3",
        "1e-3",
        ".5",
        "1.",
        "-.inf",
        "0x1f",
        "010",
        "1:30",
        "1_0",
        "2024-01-01",
        "null",
        "~",
        "no",
    ]
    + ["no", "", " a ", "#x", "a: b", "- a", "<<", "=", "\n", "\x85", "\ufeffx", "\udcff", "1e3\n", "\x00"],
)
def test_what_is_written_is_read_again(text: str) -> None:
    """A run called 12e5, as short checksums of git may be, must not be read as the number 1200000."""
    values = {"name": text, text: [1e-05, 1e20, 12, -0.0, True, None, text]}
    assert parse_yaml(yaml_text(values)) == values
    assert yaml.safe_load(yaml_text({"name": text})) == {"name": text}, "other programs read our files, too"


def test_many_keys_take_little_time() -> None:
    started = time.perf_counter()
    assert len(parse_yaml("".join(f"k{k}: 1\n" for k in range(5000)))) == 5000
    assert time.perf_counter() - started < 30


def test_ordinary_files_are_read(tmp_path: Path) -> None:
    text = "﻿a: &x [1, 2.5, true, null, ü]\nb: *x\nc: {<<: {d: 1}, d: 2}\nday: 2020-01-01\n"
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    values = read_yaml(tmp_path / "a.yaml", "a configuration")
    list_of_all = [1, 2.5, True, None, "ü"]
    assert values == {"a": list_of_all, "b": list_of_all, "c": {"d": 2}, "day": "2020-01-01"}
    assert not isinstance(values["day"], datetime.date)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10", 10),
        ("-3", -3),
        ("0", 0),
        ("0x10", 16),
        ("1_000", "1_000"),
        ("1.5", 1.5),
        ("1e-3", 1e-3),
        ("-2.5E+3", -2500.0),
        (".5", 0.5),
        ("1.", 1.0),
        (".inf", float("inf")),
        ("010", "010"),
        ("1:30", "1:30"),
        ("1.2.3", "1.2.3"),
        ("-", "-"),
        ("2020-01-01", "2020-01-01"),
        ("true", True),
        ("null", None),
        ("8s", "8s"),
    ],
)
def test_numbers_are_what_people_take_them_for(text: str, value: object) -> None:
    found = parse_yaml(f"a: '{text}'" if text == "-" else f"a: {text}")["a"]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("content", [b"\xff", b"[1]", b"", b"3"])
def test_other_files_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.yaml: "):
        read_yaml(tmp_path / "a.yaml", "a configuration")
    with pytest.raises(InputError, match="is a folder, expected a configuration"):
        read_yaml(tmp_path, "a configuration")


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "9" * 5000, b"\xff\xfe", ""])
def test_what_is_no_json_is_one_line(text: str) -> None:
    with pytest.raises(InputError, match=r"^a\.json: not a JSON file"):
        parse_json(text, "a.json")


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 1}', '[{"b": {"a": 1, "c": 2, "a": 3}}]', '{"a": 1, "\\u0061": 2}']
)
def test_a_key_twice_in_json_is_named(text: str) -> None:
    with pytest.raises(InputError, match=r"^a\.json: key 'a' occurs twice, expected each key once$"):
        parse_json(text, "a.json")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "is a Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"\x89PNG\r\n\x1a\n", "is an image"),
        (b"PK\x03\x04", "is a zip archive"),
        (b"", "is empty"),
    ],
)
def test_files_of_other_kinds_say_what_they_are(content: bytes, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    for read in (read_yaml, read_json):
        with pytest.raises(InputError, match=rf"a\.yaml: {kind}.*, expected a card$"):
            read(path, "a card")
