"""Whether a film's file is all there, by what its beginning says of its end; ffmpeg reads one that is cut between two
packets as a shorter film without a word.

AVI and WMV (ASF) announce their size, and a GIF has a last byte. MPEG streams and fragmented MP4 files say nothing.
"""

import os
from pathlib import Path

AVI, AVI_KIND = b"RIFF", b"AVI "
"""The first four bytes of an AVI file, before the size of what follows, and the four after it."""
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
"""The first 16 bytes of an ASF file."""
ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
"""The first 16 bytes of the part of an ASF file that holds its size."""
ASF_HEADER_BYTES = 2**20
"""Number of bytes of an ASF file in which this part is looked for."""
ASF_SIZE, ASF_FLAGS = slice(40, 48), slice(88, 92)
"""Where in this part the file's size is, and flags, of which bit 0 says that the size is not known."""
GIF, GIF_END = b"GIF8", b";"
"""Beginning of a GIF file, and its last byte."""


def missing_end(path: Path) -> str | None:
    """Return what a film's file lacks of what it announces, in words for a message; None if nothing is known to be
    missing."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        head = file.read(16)
        if head.startswith(GIF):
            file.seek(max(0, size - 64))
            whole = file.read().rstrip(b"\0").endswith(GIF_END)
            return None if whole else "its last byte is not that of a GIF"
        if head.startswith(AVI) and head[8:12] == AVI_KIND:
            # The size of what follows these 8 bytes; some programs count them, too.
            announced = int.from_bytes(head[4:8], "little")
        elif head == ASF:
            announced = _asf_size(head + file.read(ASF_HEADER_BYTES))
        else:
            return None
    return None if announced <= size else f"it announces {announced} bytes and has {size}"


def _asf_size(header: bytes) -> int:
    """Return the size that an ASF file announces, bytes; 0 if it announces none."""
    start = header.find(ASF_PROPERTIES)
    part = header[start:] if start >= 0 else b""
    if len(part) < ASF_FLAGS.stop or part[ASF_FLAGS][0] & 1:
        return 0
    return int.from_bytes(part[ASF_SIZE], "little")
