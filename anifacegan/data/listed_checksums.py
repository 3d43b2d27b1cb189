"""checksums.txt, which 'anifacegan dataset' writes: the SHA-256 of each file of a synthetic data set.

By it a run that goes on knows its own files, and a reader knows that a face still belongs to its image.
"""

import re
from pathlib import PurePosixPath

from anifacegan.data.file_sources import FolderFiles, ZipFiles
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import sha256

CHECKSUMS_FILE = "checksums.txt"
CHECKSUMS_TITLE = f"# SHA-256 of the files of this data set; sha256sum -c {CHECKSUMS_FILE} compares them\n"
"""First line of a list; one that begins otherwise is another program's."""
_LINE = re.compile(r"^([0-9a-f]{64})  (\d{6,}\.(?:png|mat))$", re.MULTILINE)


def parsed_checksums(text: str) -> dict[str, str] | None:
    """Return the checksums in a list by the names of their files, of one that was made again the last; None if the list
    is another program's."""
    return (
        {match[2]: match[1] for match in _LINE.finditer(text)} if text.startswith(CHECKSUMS_TITLE) else None
    )


class ListedChecksums:
    """The checksums that the lists among a data set's files have of these files."""

    def __init__(self, files: FolderFiles | ZipFiles) -> None:
        self._files = files
        self._expected: dict[str, str] = {}
        for name in files.names:
            if PurePosixPath(name).name == CHECKSUMS_FILE:
                listed = parsed_checksums(files.read(name).decode(errors="replace")) or {}
                folder = PurePosixPath(name).parent
                self._expected |= {str(folder / item): checksum for item, checksum in listed.items()}

    def read(self, name: str) -> bytes:
        """Return the content of a named file.

        Raises:
            InputError: it cannot be read, or is not what the list has.
        """
        content = self._files.read(name)
        expected = self._expected.get(name)
        if expected is not None and sha256([content]) != expected:
            path = self._files.label(name)
            raise InputError(
                f"{path}: is not the file that was made there, expected that of the checksum in "
                f"{path.with_name(CHECKSUMS_FILE)} ('anifacegan dataset' makes it again; without this list nothing is "
                "compared)"
            )
        return content
