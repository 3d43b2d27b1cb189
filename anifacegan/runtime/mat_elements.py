"""The structure of MATLAB 5 files: checks of a variable's tags, which SciPy's compiled reader takes on trust.

A tag says of which type the numbers that follow are, and how many bytes they take. SciPy looks the type up in an array
without checking it, so that a damaged tag ends the process.

Source: MathWorks, "MAT-File Format", the chapter on level 5.
"""

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from io import BufferedIOBase
from typing import NamedTuple

HEADER_BYTES = 128
"""Length of the text and version at the beginning of a file."""
MATRIX, COMPRESSED = 14, 15
"""Types of an element that is a variable, and of one that is a compressed variable."""
ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8}
"""Bytes of a number of each type."""
TEXT_BYTES = {**ITEM_BYTES, 16: 1, 17: 2, 18: 4}
"""Bytes of a unit of text of each type."""
CHAR_CLASS, NUMBER_CLASSES = 4, range(6, 16)
"""Classes of arrays of text and of numbers."""
COMPLEX_FLAG = 0x0800
_MOST_HEAD = 4096
"""Bytes of a variable that are looked at: its flags, shape, name, and the tag of its numbers."""


class _Tag(NamedTuple):
    type: int
    size: int
    start: int
    """Where the data begin."""
    end: int
    """Where the next tag begins."""


def require_whole(stream: BufferedIOBase) -> None:
    """Raise an EOFError if a MATLAB 5 file ends before its last variable does; SciPy lists what is in front of it."""
    for _ in _elements(stream, _byte_order(stream)):
        pass


def complex_names(stream: BufferedIOBase, names: Collection[str]) -> list[str]:
    """Check the tags of the named variables of a MATLAB 5 file; return the names of those whose numbers are complex.

    If it returns none, SciPy can read them. Variables that are no arrays of numbers or text are not looked at.

    Raises:
        ValueError: a tag is damaged; the message is one line without the file's name.
    """
    order = _byte_order(stream)
    found = [_complex_name(head, names, order) for head in _heads(stream, order)]
    return [name for name in found if name is not None]


def _byte_order(stream: BufferedIOBase) -> str:
    """Return the order of bytes, as :mod:`struct` names it; empty for a file that is not of MATLAB 5."""
    stream.seek(HEADER_BYTES - 2)
    return {b"IM": "<", b"MI": ">"}.get(stream.read(2), "")


def _elements(stream: BufferedIOBase, order: str) -> Iterator[tuple[int, int]]:
    """Yield type and length of each element; the stream stands where its data begin."""
    size, position = stream.seek(0, 2), HEADER_BYTES
    while order and position < size:
        stream.seek(position)
        tag = stream.read(8)
        position += 8
        if len(tag) == 8:
            kind, length = struct.unpack(order + "II", tag)
            yield kind, length
            position += length
    if order and position > size:
        raise EOFError("it is cut off: variables are missing at its end")


def _heads(stream: BufferedIOBase, order: str) -> Iterator[bytes]:
    """Yield the first bytes of each variable, after its own tag."""
    for kind, length in _elements(stream, order):
        if kind == COMPRESSED:
            inner = zlib.decompressobj().decompress(stream.read(min(length, 2 * _MOST_HEAD)), _MOST_HEAD)
            yield inner[8:]
        elif kind == MATRIX:
            yield stream.read(min(length, _MOST_HEAD))


def _complex_name(head: bytes, names: Collection[str], order: str) -> str | None:
    """Check the tags of a variable that is one of ``names``; return its name if its numbers are complex."""
    flags = _tag(head, 0, order)
    shape = _tag(head, flags.end, order)
    tag = _tag(head, shape.end, order)
    name = head[tag.start : tag.start + tag.size].decode("latin1")
    if name not in names:
        return None
    if flags.size != 8 or shape.size % 4 or not shape.size:
        raise ValueError("flags or shape of a variable are damaged")
    (word,) = struct.unpack_from(order + "I", head, flags.start)
    lengths = struct.unpack_from(f"{order}{shape.size // 4}i", head, shape.start)
    kind = word & 0xFF
    if kind not in (CHAR_CLASS, *NUMBER_CLASSES):
        return None
    if word & COMPLEX_FLAG:
        return name
    numbers = _tag(head, tag.end, order)
    item = (TEXT_BYTES if kind == CHAR_CLASS else ITEM_BYTES).get(numbers.type)
    if item is None:
        raise ValueError(f"numbers of an unknown type, {numbers.type}")
    if kind in NUMBER_CLASSES and numbers.size != item * math.prod(lengths):
        raise ValueError(f"{numbers.size} bytes of numbers for shape {lengths}")
    return None


def _tag(head: bytes, position: int, order: str) -> _Tag:
    """Read the tag at a position; a small element has type and size in the first word, and its data in the second."""
    if position + 8 > len(head):
        raise ValueError("a variable is cut off")
    first, second = struct.unpack_from(order + "II", head, position)
    if first >> 16:
        return _Tag(first & 0xFFFF, first >> 16, position + 4, position + 8)
    return _Tag(first, second, position + 8, position + 8 + -(-second // 8) * 8)
