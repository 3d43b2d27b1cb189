"""The checksum in a .glb file by which one is known that this program wrote and nobody has edited.

It is a text in the extras of the file's asset, of the whole file with zeros in its place.
"""

import re
from pathlib import Path

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import sha256
from anifacegan.runtime.structured_text import parse_json

GENERATOR = "anifacegan export glb"
"""Name of the program in a file's asset."""
MAGIC, HEADER_BYTES, MOST_DESCRIPTION = b"glTF", 20, 2**24
"""First bytes of a file; bytes before its description, whose length is in them; how much of it is looked at."""
KEY, _DIGITS = "checksum", 16
"""Name of the checksum in the extras, and its number of hexadecimal digits."""
NO_CHECKSUM = "0" * _DIGITS
"""What a file is written with, until :func:`with_checksum`."""
_ENTRY = re.compile(rf'"{KEY}":\s*"([0-9a-f]{{{_DIGITS}}})"'.encode())
"""The checksum in the description, in which quotes inside texts have a backslash before them."""


def with_checksum(content: bytes) -> bytes:
    """Return the content of a file, which has NO_CHECKSUM, with its checksum."""
    (entry,) = _ENTRY.finditer(_description(content))
    begin = HEADER_BYTES + entry.start(1)
    return content[:begin] + sha256([content])[:_DIGITS].encode() + content[begin + _DIGITS :]


def is_unedited_glb(path: Path) -> bool:
    """Return whether a file is one of this program that nobody has edited; of files of earlier versions, which have no
    checksum, whether they name this program as their generator."""
    content = path.read_bytes()
    try:
        description = parse_json(_description(content).decode(), path)
        asset = description["asset"]
        if not content.startswith(MAGIC) or asset["generator"] != GENERATOR:
            return False
        stored = (asset.get("extras") or {}).get(KEY)
    except (InputError, ValueError, KeyError, TypeError, AttributeError):
        return False
    if stored is None:
        return True
    entries = list(_ENTRY.finditer(_description(content)))
    if len(entries) != 1 or entries[0][1].decode() != stored:
        return False
    begin = HEADER_BYTES + entries[0].start(1)
    rest = memoryview(content)
    parts = (rest[:begin], NO_CHECKSUM.encode(), rest[begin + _DIGITS :])
    return sha256(parts)[:_DIGITS] == stored


def _description(content: bytes) -> bytes:
    length = int.from_bytes(content[12:16], "little")
    return content[HEADER_BYTES : HEADER_BYTES + min(length, MOST_DESCRIPTION)]
