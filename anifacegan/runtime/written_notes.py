"""What a run notes of each file of a folder before it puts it in place, so that what a killed one wrote is known.

A run that fills a folder file by file begins ``.anifacegan.written`` there. Whoever puts a file in place below that
folder, in any process, first adds a line with the file's name and what it holds. The list goes when the run ends.
"""

import errno
import hashlib
import json
import os
import stat
from contextlib import suppress
from pathlib import Path

from anifacegan.runtime.errors import InputError

NOTES = ".anifacegan.written"
"""Name of the list in a folder."""
_TITLE = b'["written by anifacegan, or about to be"]\n'
"""First line of the list, by which it is known."""
MARKER = ".anifacegan.json"
"""Name of the file that lists which files of a folder this program wrote, and may replace; nothing is noted of it."""
DIGITS = 16
"""Number of hexadecimal digits of a checksum that are noted."""


def content_note(path: Path) -> str | None:
    """Return what tells a file from one of other content: its size, and the beginning of its SHA-256. None: there is no
    file that can be read, or a link has its name."""
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            return None
        with path.open("rb") as stream:
            return size_and_digest(found.st_size, hashlib.file_digest(stream, "sha256").hexdigest())
    except OSError:
        return None


def size_and_digest(size: int, digest: str) -> str:
    """Return a note of a file's size and SHA-256."""
    return f"{size} {digest[:DIGITS]}"


def begin_notes(folder: Path) -> None:
    """Begin the list of a folder, which exists; a list that a killed run has left is emptied.

    Raises:
        InputError: another file is in the way, or it cannot be written.
    """
    path = folder / NOTES
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        try:
            if not _is_list(descriptor, begun=True):
                raise InputError(f"{path}: is in the way, expected another --out, or that file moved away")
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.ftruncate(descriptor, 0)
            try:
                if os.write(descriptor, _TITLE) < len(_TITLE):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                path.unlink()
                raise
        finally:
            os.close(descriptor)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None


def note_before_replacing(temporary: Path, path: Path) -> None:
    """Note, in the nearest folder above ``path`` whose list is begun, what a temporary file holds that is about to get
    this path, and wait until that is on the disk; does nothing without such a folder. Several processes may do so."""
    if path.name == MARKER:
        return
    for folder in path.parents:
        try:
            descriptor = os.open(folder / NOTES, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if _is_list(descriptor) and (note := content_note(temporary)) is not None:
                line = json.dumps([path.relative_to(folder).as_posix(), note])
                os.write(descriptor, f"{line}\n".encode())
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return


def read_notes(folder: Path) -> list[tuple[str, str]]:
    """Return name and note of each file in a folder's list; empty without one."""
    try:
        descriptor = os.open(folder / NOTES, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            content = file.read() if _is_list(descriptor) else b""  # what follows the first line
    except OSError:
        return []
    found = []
    for line in content.splitlines():
        with suppress(ValueError, TypeError, RecursionError):  # the last line of a full disk is half
            name, note = json.loads(line)
            if isinstance(name, str) and isinstance(note, str):
                found.append((name, note))
    return found


def end_notes(folder: Path) -> None:
    """Remove the list of a folder, whose content is noted elsewhere by now."""
    with suppress(OSError):
        descriptor = os.open(folder / NOTES, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            is_ours = _is_list(descriptor)
        finally:
            os.close(descriptor)
        if is_ours:
            (folder / NOTES).unlink()


def _is_list(descriptor: int, begun: bool = False) -> bool:
    """Return whether an open file is a list; with ``begun``, also whether a full disk has left a part of its first
    line, or nothing."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        return False
    os.lseek(descriptor, 0, os.SEEK_SET)
    first = os.read(descriptor, len(_TITLE))
    return first == _TITLE or (begun and _TITLE.startswith(first))
