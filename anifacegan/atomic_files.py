"""Files that are complete or not there: written aside in the same folder, flushed to the disk, then renamed."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from anifacegan.errors import InputError


@contextmanager
def complete_or_absent(path: Path) -> Iterator[Path]:
    """A file to write, which takes the place of ``path`` when the block ends.

    It lies beside it as ``.NAME.PID.tmp``. When the block fails or is interrupted it goes, and what was at ``path``
    stays; a killed process leaves it behind. The folder has to be there.

    Raises:
        InputError: the file cannot be written: no room, no right, no folder.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        flush(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise cannot_be_written(path, error) from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_complete(path: Path, content: bytes | memoryview | str) -> None:
    """Write a whole file, text as UTF-8; see :func:`complete_or_absent`."""
    with complete_or_absent(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def remove_leftovers(folder: Path, names: str) -> None:
    """Remove what killed processes left behind of files of these names (a regular expression, for the whole name); no
    other process may be at work there.
    """
    leftover = re.compile(rf"\.({names})\.\d+\.tmp")
    for path in folder.glob(".*.tmp"):
        if leftover.fullmatch(path.name) and path.is_file():
            path.unlink()


def flush(path: Path) -> None:
    """Wait until a file's content is on the disk: renamed before, it could be empty after a power cut."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def cannot_be_written(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be written ({error.strerror or error})")
