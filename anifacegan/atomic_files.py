"""Files that are complete or not there: written aside in the same folder, flushed to the disk, then renamed.

And their checksums.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
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


def flush(path: Path) -> None:
    """Wait until a file's content is on the disk: renamed before, it could be empty after a power cut."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def cannot_be_written(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be written ({error.strerror or error})")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256(parts: Iterable[bytes]) -> str:
    """SHA-256 of bytes one after another, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
