"""Films in GIF files whose pictures have no times.

A picture of a GIF may have a block before it that says how long it is shown. GIF87a has no such blocks, and Pillow and
imageio write none unless they are told a time. ffmpeg, which takes these blocks for the beginnings of frames, reads a
film without them as its first picture alone; with empty ones it shows ten pictures a second, as browsers do.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.ffmpeg import film_input

SIGNATURE = b"GIF8"
"""Beginning of a GIF file."""
TIME_UNKNOWN = b"\x21\xf9\x04\x00\x00\x00\x00\x00"
"""Block before a picture that says nothing of its time, for which ffmpeg takes 0.1 s."""
_EXTENSION, _PICTURE, _END = b"\x21", b"\x2c", b"\x3b"
"""First bytes of blocks."""
_TIME, _TEXT = b"\xf9", b"\x01"
"""Second bytes of the block with the time of what is shown next, and of a text, which is shown as a picture is."""
_SCREEN_BYTES, _PICTURE_BYTES = 7, 9
"""Bytes that describe the screen after the signature of 6 bytes, and a picture after its first byte."""


def picture_starts(file: IO[bytes]) -> list[tuple[int, bool]]:
    """Return where in a GIF file each picture begins, bytes, and whether it has a block with its time; none in another
    file."""
    found, timed = [], False
    file.seek(0)
    if not file.read(6).startswith(SIGNATURE):
        return []
    _skip_colours(file, file.read(_SCREEN_BYTES), 4)
    for kind in iter(lambda: file.read(1), b""):
        if kind == _END:
            break
        if kind == _EXTENSION:
            label = file.read(1)
            timed = label == _TIME or (timed and label != _TEXT)
            _skip_pieces(file)
        elif kind == _PICTURE:
            found.append((file.tell() - 1, timed))
            timed = False
            _skip_colours(file, file.read(_PICTURE_BYTES), 8)
            file.seek(1, 1)  # how many bits a code has
            _skip_pieces(file)
    return found


@contextmanager
def film_source(path: Path) -> Iterator[tuple[list[str], int]]:
    """Yield the words by which ffmpeg reads a film, and its standard input: the file, or a copy of a GIF's with the
    blocks that it lacks.

    Raises:
        InputError: the file cannot be opened.
    """
    try:
        content = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}), expected a film") from None
    with content as file, TemporaryFile() as copy:
        starts = picture_starts(file)
        if all(timed for _, timed in starts):
            yield film_input(path), subprocess.DEVNULL
            return
        copy.writelines(_timed_content(file, starts))
        copy.seek(0)
        yield ["-f", "gif", "-protocol_whitelist", "pipe", "-i", "pipe:0"], copy.fileno()


def missing_pictures(path: Path, frames: int) -> str | None:
    """Return in words for a message that a GIF has another number of pictures than ffmpeg found frames; else None."""
    with path.open("rb") as file:
        pictures = len(picture_starts(file))
    return f"{frames} of its {pictures} pictures can be read" if pictures not in (0, frames) else None


def _timed_content(file: IO[bytes], starts: list[tuple[int, bool]]) -> Iterator[bytes]:
    """Yield a GIF file's content, with an empty block for the time before every picture that has none."""
    file.seek(0)
    for start, timed in starts:
        yield file.read(start - file.tell())
        if not timed:
            yield TIME_UNKNOWN
    yield file.read()


def _skip_colours(file: IO[bytes], description: bytes, flags: int) -> None:
    """Go beyond the list of colours that follows a description of the screen or a picture, if one does."""
    if len(description) > flags and description[flags] & 0x80:
        file.seek(3 * 2 ** ((description[flags] & 7) + 1), 1)


def _skip_pieces(file: IO[bytes]) -> None:
    """Go beyond pieces of up to 255 bytes, each after its length, to the empty one that ends them."""
    for length in iter(lambda: file.read(1), b""):
        if length == b"\0":
            return
        file.seek(length[0], 1)
