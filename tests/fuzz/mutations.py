"""Changes of bytes, texts, trees of plain values, arrays and command lines, each drawn from a random generator."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np

NUMBERS: tuple[Any, ...] = (
    0,
    -1,
    1,
    2,
    3,
    7,
    0.5,
    -0.5,
    1e-30,
    1e38,
    -1e38,
    1e308,
    2**31,
    2**63,
    -(2**63),
    2**64,
    10**9,
    10**30,
    float("nan"),
    float("inf"),
    float("-inf"),
)
"""Numbers at the edges of their types, and beyond."""
ODD: tuple[Any, ...] = (
    *NUMBERS,
    True,
    False,
    None,
    "",
    " ",
    "x",
    "nan",
    "null",
    "1e3",
    "1_000",
    "../x",
    "/",
    "~",
    "~nobody-here/x",
    "a\0b",
    "\x1b[31m",
    "line\nline",
    "\u202e",
    "\udc80",
    "ü" * 500,
    "9" * 5000,
    "2020-99-99",
    "*a",
    "&a",
    "!!int foo",
    "{",
    "[",
    [],
    {},
    [1],
    [[]],
    {"a": 1},
    {"": None},
    [None] * 3,
    ["x"] * 1000,
    [float("nan")] * 3,
)
"""Plain values of all kinds that may stand where another is expected."""
HEADS = (
    b"",
    b"\0",
    b"version https://git-lfs.github.com/spec/v1\n",
    b"<!DOCTYPE html><html>",
    b"\x89PNG\r\n\x1a\n",
    b"PK\x03\x04",
    b"\x80\x04\x95",
    b"\x93NUMPY\x01\x00",
    b"MATLAB 5.0 MAT-file",
    b"\x89HDF\r\n\x1a\n",
    b"\xff\xd8\xff\xe0",
    b"{",
    b"[" * 2000,
)
"""Beginnings of files of many kinds."""
BOMB = "a: &a [0, 0, 0, 0, 0, 0, 0, 0, 0]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
TEXTS = (
    BOMB,
    "[" * 5000,
    "{a: " * 5000,
    "a: &a [*a]",
    "a: !!python/object/apply:os.system [ls]",
    "a: !!int foo",
    "a: !!binary x",
    "a: 2020-99-99",
    "a: " + "9" * 5000,
    "? [1]\n: 2",
    "a: 1\na: 2",
    "\0",
    "\t- a",
    "---\na: 1\n---\nb: 2",
    "%YAML 9.9\n---\n",
    "a: 'b",
    "a: *b",
    "- 1",
    "3",
    "",
    "null",
    "a: {<<: [*a, *a]}",
    "\ufeffa: 1",
    "a: .inf",
    "a: 0x" + "f" * 5000,
    "a: 1:30:00",
)
"""YAML that is none, or stands for too much."""


def several(rng: random.Random, change: Callable[[random.Random, Any], Any], value: Any) -> Any:
    """Apply a change once, twice or three times."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        value = change(rng, value)
    return value


def changed_bytes(rng: random.Random, content: bytes) -> bytes:
    """Truncate, overwrite, insert, repeat or replace parts of a file."""
    return several(rng, _changed_bytes, content)


def _changed_bytes(rng: random.Random, content: bytes) -> bytes:
    place = rng.randrange(len(content) + 1)
    length = rng.choice((1, 2, 8, 64, 1000))
    noise = rng.randbytes(length)
    changes: list[Callable[[], bytes]] = [
        lambda: content[:place],
        lambda: content[:place] + noise + content[place + length :],
        lambda: content[:place] + noise + content[place:],
        lambda: content[:place] + bytes(length) + content[place + length :],
        lambda: content[:place] + b"\xff" * length + content[place + length :],
        lambda: content[:place] + content[place + length :],
        lambda: content + content[place:],
        lambda: rng.choice(HEADS) + noise,
        lambda: rng.choice(HEADS) + content,
    ]
    if content:
        k = rng.randrange(min(len(content), 200))  # headers are more fragile
        changes += [
            lambda: content[:k] + bytes([content[k] ^ (1 << rng.randrange(8))]) + content[k + 1 :]
        ] * 4
    return rng.choice(changes)()


LONGEST_LIST = 20_000
"""Largest number of items to which mutations, one after another, lengthen a list."""


def changed_tree(rng: random.Random, tree: Any) -> Any:
    """Replace, remove, rename or add values anywhere in nested dictionaries and lists; the original stays."""
    return several(rng, _changed_tree, tree)


def _changed_tree(rng: random.Random, tree: Any) -> Any:
    if not isinstance(tree, (dict, list)) or not tree or rng.random() < 0.1:
        return rng.choice(ODD)
    if isinstance(tree, list):
        k = rng.randrange(len(tree))
        return rng.choice(
            [
                [*tree[:k], _changed_tree(rng, tree[k]), *tree[k + 1 :]],
                tree[:k],
                (tree + tree)[:LONGEST_LIST],
                tree * max(1, min(500, LONGEST_LIST // len(tree))),
            ]
        )
    key = rng.choice(list(tree))
    action = rng.random()
    if action < 0.7:
        return tree | {key: _changed_tree(rng, tree[key])}
    rest = {name: value for name, value in tree.items() if name != key}
    if action < 0.8:
        return rest
    return (
        rest | {f"{key}x": tree[key]} if action < 0.9 else tree | {str(rng.choice(ODD))[:50]: rng.choice(ODD)}
    )


def changed_array(rng: random.Random, array: np.ndarray) -> np.ndarray:
    """Change the type, the shape or one value of an array."""
    array = np.array(array)
    odd = rng.choice(NUMBERS)
    shapes: list[Callable[[], np.ndarray]] = [
        lambda: array[..., :-1] if array.ndim else array[None],
        lambda: array[:0] if array.ndim else array,
        lambda: array[None],
        lambda: array.T.copy(),
        lambda: array.ravel(),
        lambda: np.repeat(array, 2, axis=0) if array.ndim else array,
        lambda: array.astype(
            rng.choice(["float64", "float16", "int64", "int8", "uint8", "bool", "complex64"])
        ),
        lambda: array.astype("U5"),
    ]
    if array.dtype.kind not in "fiub":
        return rng.choice(
            [array[:0] if array.ndim else array, np.zeros(3), np.array("x" * 2000), array[..., None]]
        )
    if rng.random() < 0.4 or array.size == 0 or array.dtype.kind == "b":
        return rng.choice(shapes)()
    with np.errstate(all="ignore"):
        if array.dtype.kind != "f":
            info = np.iinfo(array.dtype)
            odd = rng.choice([info.min, info.max, -1 if info.min < 0 else info.max, 2**15, len(array)])
            odd = min(max(int(odd), info.min), info.max)
        array.flat[rng.randrange(array.size)] = odd
        if rng.random() < 0.2:
            array[...] = odd
    return array


def changed_words(rng: random.Random, words: list[str]) -> list[str]:
    """Change one word of a command line, or its place."""
    k = rng.randrange(len(words))
    odd = rng.choice(ODD)
    word = str(odd)[:2000].replace("\udc80", "?")
    return rng.choice(
        [
            [*words[:k], word, *words[k + 1 :]],
            [*words[:k], *words[k + 1 :]],
            [*words, rng.choice(words)],
            [*words[:k], word, *words[k:]],
            [*words[:k], words[k] + ".0", *words[k + 1 :]],
            [*words[:k], words[k].upper(), *words[k + 1 :]],
            [*words[:k], f"--{word}", *words[k:]],
            [*words[:k], words[k] + "=" + word, *words[k + 1 :]],
        ]
    )
