"""What a run notes of each file of a folder before it puts it in place, so that what a killed one wrote is known.

A run that fills a folder file by file begins ``.anifacegan.written`` there. Whoever puts a file in place below that
folder, in any process, first adds a line with the file's name and what it holds. The list goes when the run ends.
"""

import errno
import json
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from anifacegan.runtime.errors import InputError

NOTES = ".anifacegan.written"
"""Name of the list in a folder."""
_TITLE = b'["written by anifacegan, or about to be"]\n'
"""First line of the list, by which it is known."""
MARKER = ".anifacegan.json"
"""Name of the file that lists which files of a folder this program wrote, and may replace; nothing is noted of it."""


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


def note_before_replacing(path: Path, note_of_new: Callable[[], str | None]) -> None:
    """Note, in the nearest folder above ``path`` whose list is begun, what a file holds that is about to get this path,
    and wait until that is on the disk; does nothing without such a folder. Several processes may do so.

    ``note_of_new`` returns what the file holds, see :func:`anifacegan.runtime.files.content_note`.
    """
    if path.name == MARKER:
        return
    for folder in path.parents:
        try:
            descriptor = os.open(folder / NOTES, os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if _is_list(descriptor) and (note := note_of_new()) is not None:
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
