"""Files of a data set, read by their names from a folder or a zip archive.

Names are in numeric order (1, 2, ..., 10). What programs leave behind is no part of a data set: hidden files, and the
folder __MACOSX that macOS adds to archives.
"""

import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from anifacegan.runtime.errors import InputError, first_line
from anifacegan.runtime.files import numeric_order
from anifacegan.runtime.image_files import is_image_file
from anifacegan.runtime.mat_files import is_mat_file
from anifacegan.runtime.paths import paths_below, require_file

UNREAD_SUFFIXES = (".gif", ".heic", ".heif", ".avif", ".jp2")
"""Endings of images that are not read; one with a .mat file counts as damaged, and is not left out in silence."""
MOST_BYTES = 2**30
"""Largest size of a file in an archive; a small archive may hold a file that would fill the memory."""


class FolderFiles:
    """Files in a folder and its subfolders, also behind links to folders, named by their relative paths; hidden files
    are left out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        paths = (path.relative_to(root) for path in paths_below(root) if not _is_folder(path))
        self.names = _names_of_data(path.as_posix() for path in paths)

    def label(self, name: str) -> Path:
        """Return the path of a named file, for error messages."""
        return self.root / name

    def read(self, name: str) -> bytes:
        """Return the content of a named file.

        Raises:
            InputError: the file cannot be read, or has more than MOST_BYTES bytes.
        """
        path = self.root / name
        require_file(path, "a file of a data set")
        try:
            size = path.stat().st_size
            if size > MOST_BYTES:
                raise InputError(f"{path}: has {size} bytes, expected at most {MOST_BYTES}")
            return path.read_bytes()
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None

    def size(self, name: str) -> int:
        """Return the number of bytes of a named file."""
        return (self.root / name).stat().st_size


class ZipFiles:
    """Files in a zip archive, named by their paths in it; every process opens the archive separately.

    Old programs for Windows write backslashes between folders; names have slashes here.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archive: zipfile.ZipFile | None = None
        require_file(path, "a folder or a .zip of images")
        try:
            entries = [entry.filename for entry in self._open().infolist() if not entry.is_dir()]
        except Exception:  # zipfile raises many kinds for a broken archive
            raise InputError(f"{path}: not a zip archive, expected a folder or a .zip of images") from None
        of_windows = not any("/" in entry for entry in entries)
        twice = next((name for name, count in Counter(entries).items() if count > 1), None)
        if twice is not None:
            raise InputError(f"{path}: holds '{twice}' twice, expected each name once")
        self._entries = {entry.replace("\\", "/") if of_windows else entry: entry for entry in entries}
        self.names = _names_of_data(name for name in self._entries if not name.endswith("/"))

    def label(self, name: str) -> Path:
        """Return the path of a named file, as if the archive were a folder, for error messages."""
        return self.path / name.lstrip("/")

    def read(self, name: str) -> bytes:
        """Return the content of a named file in the archive.

        Raises:
            InputError: the archive is damaged or encrypted, or the file has more than MOST_BYTES bytes.
        """
        archive, entry = self._open(), self._entries[name]
        size = archive.getinfo(entry).file_size
        if size > MOST_BYTES:
            raise InputError(f"{self.label(name)}: has {size} bytes, expected at most {MOST_BYTES}")
        try:
            return archive.read(entry)
        except Exception as error:  # zipfile and what unpacks for it raise many kinds for a broken archive
            raise InputError(f"{self.label(name)}: {first_line(error)}") from None

    def size(self, name: str) -> int:
        """Return the number of bytes of a named file in the archive."""
        return self._open().getinfo(self._entries[name]).file_size

    def _open(self) -> zipfile.ZipFile:
        if self._archive is None:
            self._archive = zipfile.ZipFile(self.path)
        return self._archive

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_archive": None}


def _is_folder(path: Path) -> bool:
    """Return whether a path is a folder that is not named as an image; a pipe, say, is none, and is named when read."""
    return path.is_dir() and not is_image_file(path.name)


def _names_of_data(names: Iterable[str]) -> list[str]:
    def is_data(name: str) -> bool:
        return not any(part.startswith(".") or part == "__MACOSX" for part in name.split("/"))

    return sorted(filter(is_data, names), key=numeric_order)


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


def first_image(folder: Path) -> str | None:
    """Return the name of the first image in a folder or its subfolders, which is an item of the data set that is made
    there; None if there is none, or no folder."""
    return next(filter(is_image_file, FolderFiles(folder).names), None) if folder.is_dir() else None


def coefficient_files(names: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return path without suffix -> .mat file, and name without suffix -> .mat file for names that occur only once."""
    mats = [PurePosixPath(name) for name in names if is_mat_file(name)]
    by_path = {str(mat.with_suffix("")): str(mat) for mat in mats}
    count = Counter(mat.stem for mat in mats)
    return by_path, {mat.stem: str(mat) for mat in mats if count[mat.stem] == 1}


def unread_images(names: Iterable[str], by_path: dict[str, str]) -> list[str]:
    """Return the images with a .mat file of the same path that are of a kind that is not read."""
    unread = [name for name in names if name.lower().endswith(UNREAD_SUFFIXES)]
    return [name for name in unread if str(PurePosixPath(name).with_suffix("")) in by_path]
