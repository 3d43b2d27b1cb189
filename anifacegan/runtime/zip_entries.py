"""Single files inside zip archives, such as networks inside wheels; sizes are known before anything is unpacked."""

import zipfile
from pathlib import Path

from anifacegan.runtime.errors import InputError, first_line
from anifacegan.runtime.file_kinds import ZIP, require_kind

MOST_BYTES = 2**28
"""Largest size of a file, in an archive or alone; networks have some MB."""


def read_entry(path: Path, ending: str, expected: str) -> bytes:
    """Read the first file in an archive whose name ends in ``ending``; ``expected`` describes the archive.

    Raises:
        InputError: the archive is missing, damaged or encrypted, holds no such file, or one that is too large.
    """
    require_kind(path, expected, ZIP)
    try:
        with zipfile.ZipFile(path) as archive:
            found = next((entry for entry in archive.infolist() if entry.filename.endswith(ending)), None)
            if found is None:
                raise InputError(f"{path}: holds no {ending.lstrip('/')}, expected {expected}")
            if found.file_size > MOST_BYTES:
                size = found.file_size
                raise InputError(
                    f"{path}: '{found.filename}' has {size} bytes, expected at most {MOST_BYTES}"
                )
            return archive.read(found)
    except InputError:
        raise
    except Exception as error:  # zipfile and zlib raise many kinds for a broken archive
        raise InputError(
            f"{path}: not a readable zip archive ({first_line(error)}), expected {expected}"
        ) from None


def read_whole(path: Path, expected: str) -> bytes:
    """Read a file of up to MOST_BYTES bytes.

    Raises:
        InputError: it is missing, cannot be read, or is larger; the message ends with ``expected``.
    """
    require_kind(path, expected, ZIP)
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}), expected {expected}") from None
    if len(content) > MOST_BYTES:
        raise InputError(f"{path}: has more than {MOST_BYTES} bytes, expected {expected}")
    return content
