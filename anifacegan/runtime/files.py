"""Files that are written completely or not at all, and their checksums.

A file is written under a temporary name in its own folder, flushed to the disk, and renamed. Temporary names cannot be
foreseen. Folders of results are written by :mod:`anifacegan.runtime.output_folders`.
"""

import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.written_notes import note_before_replacing

_DIGITS = 16
"""Number of hexadecimal digits of a checksum that are noted of a file."""
_LONGEST_NAME = 150
"""Largest number of bytes of a file's name that its temporary name repeats; names end at 255 bytes."""

_LEFTOVER = re.compile(r"\.(.+)\.(\d+)\.[0-9a-f]{16}\.tmp", re.DOTALL)
"""Temporary name of a file, with the final one and the process that writes it."""
_ABANDONED_S = 60.0
"""Time after which nobody has written to a temporary file, seconds."""


@contextmanager
def complete_or_absent(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file, which replaces ``path`` when the block ends without an error.

    The temporary file is ``.NAME.PID.RANDOM.tmp`` in the folder of ``path``, which has to exist; it is made
    exclusively. When the block fails or is interrupted, it is removed and ``path`` stays as it was; a killed process
    leaves it behind.

    Raises:
        InputError: the file cannot be written: the disk is full, or the folder is missing or not writable.
    """
    temporary = path.with_name(f".{name_start(path.name)}.{os.getpid()}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb"):
            pass
        yield temporary
        put_in_place(temporary, path)
    except OSError as error:
        raise not_writable_error(path, error) from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def name_start(name: str) -> str:
    """Return the beginning of a file's name, short enough that a few words fit behind it; mostly the whole name."""
    return os.fsencode(name)[:_LONGEST_NAME].decode(errors="ignore")


def put_in_place(temporary: Path, path: Path) -> None:
    """Wait until a file's content is on the disk, and rename it to ``path``, in the place of a file of that name. Where
    a run fills the folder, it is noted before what the file holds, see :mod:`.written_notes`."""
    flush(temporary)
    note_before_replacing(path, partial(content_note, temporary))
    os.replace(temporary, path)


def encoded(text: str) -> bytes:
    """Return a text as UTF-8; of names of files that are none, the bytes that cannot be are escaped."""
    return text.encode(errors="backslashreplace")


def write_complete(path: Path, content: bytes | memoryview | str) -> None:
    """Write a whole file, text as UTF-8; see :func:`complete_or_absent`."""
    with complete_or_absent(path) as temporary:
        temporary.write_bytes(encoded(content) if isinstance(content, str) else content)


def remove_leftovers(folder: Path, names: str | Iterable[str]) -> None:
    """Remove temporary files of :func:`complete_or_absent` that killed processes have left in a folder.

    ``names`` are the names of the final files, or a regular expression for a whole one. No other process may be writing
    to the folder.
    """
    starts = None if isinstance(names, str) else set(map(name_start, names))
    for path in folder.glob(".*.tmp"):
        found = _LEFTOVER.fullmatch(path.name)
        if found is None or not path.is_file() or path.is_symlink():
            continue
        if re.fullmatch(names, found[1]) if isinstance(names, str) else found[1] in (starts or ()):
            path.unlink()


def remove_abandoned(path: Path) -> None:
    """Remove temporary files of :func:`complete_or_absent` for one file that killed processes have left behind.

    Others may be writing to the folder: a temporary file of this minute, or of a process that runs here, stays.
    """
    for temporary in path.parent.glob(".*.tmp"):
        found = _LEFTOVER.fullmatch(temporary.name)
        if found is None or found[1] != name_start(path.name) or temporary.is_symlink():
            continue
        with suppress(OSError):  # it has gone in between
            if time.time() - temporary.stat().st_mtime > _ABANDONED_S and not runs_here(int(found[2])):
                temporary.unlink()


def runs_here(pid: int) -> bool:
    """Return whether a process of this machine is running."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


def flush(path: Path) -> None:
    """Wait until a file's content is on the disk. If a file were renamed earlier, a power cut could leave it empty."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def not_writable_error(path: Path, error: OSError) -> InputError:
    """Return the InputError for a file or folder that the operating system does not let us write."""
    return InputError(f"{path}: cannot be written ({error.strerror or error})")


def numeric_order(name: str) -> tuple[list[str | tuple[int, str]], str]:
    """Return the sort key of a file's name by which 2 comes before 10, with or without zeros in front."""
    texts, digits = re.split("[0-9]+", name), re.findall("[0-9]+", name)
    numbers = [(len(number.lstrip("0")), number.lstrip("0")) for number in digits]
    parts: list[str | tuple[int, str]] = [*texts, *numbers]
    parts[::2], parts[1::2] = (
        texts,
        numbers,
    )  # texts and numbers take turns, so only like is compared with like
    return parts, name


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256(parts: Iterable[bytes | memoryview]) -> str:
    """Return the SHA-256 of the given bytes, one after another, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def content_note(path: Path) -> str | None:
    """Return what tells a file from one of other content: its size, and the beginning of its SHA-256. None: there is no
    file that can be read, or a link has its name."""
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            return None
        return size_and_digest(found.st_size, file_sha256(path))
    except OSError:
        return None


def size_and_digest(size: int, digest: str) -> str:
    """Return a note of a file's size and SHA-256."""
    return f"{size} {digest[:_DIGITS]}"
