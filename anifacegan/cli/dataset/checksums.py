"""checksums.txt of a data set: the SHA-256 of each of its files, by which a run knows its own files again.

A line is noted before its file is written, so that a run that was killed has the line of every file that it wrote.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from anifacegan.data.listed_checksums import CHECKSUMS_FILE, CHECKSUMS_TITLE, parsed_checksums
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import not_writable_error, write_complete
from anifacegan.runtime.paths import exists, require_file


def read_checksums(out: Path, overwrite: bool) -> dict[str, str] | None:
    """Return the checksum of each file that this program wrote into a data set's folder, by its name; None if there is
    no such list, as in data sets of older versions. With ``overwrite``, a list of others counts as none.

    Raises:
        InputError: the list is somebody else's, or cannot be read.
    """
    path = out / CHECKSUMS_FILE
    if not exists(path):
        return None
    require_file(path, "the checksums of a data set, or room for them")
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    listed = parsed_checksums(text)
    if listed is not None or overwrite:
        return listed
    raise InputError(
        f"{path}: is in the way and not of this data set, expected another --out, or --overwrite true"
    )


def checksums_text(checksums: Mapping[str, str]) -> str:
    """Return the content of a list, in the order of the names."""
    lines = [f"{checksums[name]}  {name}\n" for name in sorted(checksums, key=lambda name: (len(name), name))]
    return CHECKSUMS_TITLE + "".join(lines)


def write_checksums(out: Path, checksums: Mapping[str, str]) -> None:
    """Write the list."""
    write_complete(out / CHECKSUMS_FILE, checksums_text(checksums))


def note_checksums(out: Path, checksums: Mapping[str, str]) -> None:
    """Add the checksums of files that are about to be written to the list, and wait until they are on the disk.

    Several processes may do so at once.

    Raises:
        InputError: the list cannot be written.
    """
    path = out / CHECKSUMS_FILE
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, "".join(f"{known}  {name}\n" for name, known in checksums.items()).encode())
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise not_writable_error(path, error) from None
