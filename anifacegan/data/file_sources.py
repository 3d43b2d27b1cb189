"""Files of a data set, read by their names from a folder or a zip archive."""

import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from anifacegan.runtime.errors import InputError


class FolderFiles:
    """Files in a folder and its subfolders, named by their relative paths; hidden files are left out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        paths = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
        self.names = sorted(p.as_posix() for p in paths if not any(part.startswith(".") for part in p.parts))

    def label(self, name: str) -> Path:
        """Return the path of a named file, for error messages."""
        return self.root / name

    def read(self, name: str) -> bytes:
        """Return the content of a named file."""
        return (self.root / name).read_bytes()


class ZipFiles:
    """Files in a zip archive, named by their paths in it; every process opens the archive separately."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive: zipfile.ZipFile | None = None
        try:
            entries = self._open().namelist()
        except zipfile.BadZipFile:
            raise InputError(f"{path}: not a zip archive, expected a folder or a .zip of images") from None
        self.names = sorted(
            n for n in entries if not n.endswith("/") and not PurePosixPath(n).name.startswith(".")
        )

    def label(self, name: str) -> Path:
        """Return the path of a named file, as if the archive were a folder, for error messages."""
        return self.path / name

    def read(self, name: str) -> bytes:
        """Return the content of a named file in the archive.

        Raises:
            InputError: the archive is damaged.
        """
        try:
            return self._open().read(name)
        except zipfile.BadZipFile as error:
            raise InputError(f"{self.label(name)}: {error}") from None

    def _open(self) -> zipfile.ZipFile:
        if self._archive is None:
            self._archive = zipfile.ZipFile(self.path)
        return self._archive

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_archive": None}


def open_files(path: Path) -> FolderFiles | ZipFiles:
    """Open a data set's folder or zip archive.

    Raises:
        InputError: the path does not exist, or the file is no zip archive.
    """
    if path.is_dir():
        return FolderFiles(path)
    if path.is_file():
        return ZipFiles(path)
    raise InputError(f"{path}: no such data set, expected a folder or a .zip of images and .mat files")
