"""Paths as users write them: the one conversion of texts to paths."""

import os
from collections.abc import Iterator
from pathlib import Path

from anifacegan.runtime.errors import InputError, say

LONGEST_NAME, LONGEST_PATH = 255, 4000
"""Largest number of bytes of a name and of a path, as file systems have it."""

_OF_SHELLS = ("/dev/fd/", "/proc/self/fd/", "/dev/stdin")
"""Beginnings of the names of pipes that are open already."""


def user_path(text: str | Path) -> Path:
    """Return a path, in which ``~`` and ``~name`` are home folders.

    Raises:
        InputError: it is neither text nor path, is empty, has a null character, is too long, or names a user without a
            home folder.
    """
    if not isinstance(text, (str, Path)):
        raise InputError(f"a {type(text).__name__} is no path")
    if not str(text):
        raise InputError("an empty text is no path")
    if "\0" in str(text):
        raise InputError(f"{text}: has a null character, expected a path")
    try:
        path = Path(text).expanduser()
        longest = max((len(os.fsencode(part)) for part in path.parts), default=0)
    except RuntimeError:
        raise InputError(f"{text}: no such user, expected a path") from None
    except ValueError:
        raise InputError(f"{text}: has a character that no path has") from None
    if longest > LONGEST_NAME or len(os.fsencode(path)) > LONGEST_PATH:
        raise InputError(f"{text}: cannot be looked up (File name too long)")
    return path


def exists(path: Path) -> bool:
    """Return whether a file or folder exists.

    Raises:
        InputError: the operating system does not tell: a folder on the way may not be entered, or the name is too long.
    """
    try:
        return path.exists()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be looked up ({getattr(error, 'strerror', error)})") from None


def real_path(path: Path) -> Path:
    """Return the absolute path of a file or folder, which need not exist, without links.

    Raises:
        InputError: the path is relative, and the current folder has been removed.
    """
    try:
        return Path(os.path.realpath(path))
    except FileNotFoundError:
        raise InputError(f"{path}: the current folder has been removed, expected an absolute path") from None


def current_folder() -> str:
    """Return the current folder in words for a message."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "the current folder, which has been removed,"


def require_file(path: Path, expected: str) -> None:
    """Require that a path is a file that can be read to its end: no folder, pipe, socket or device.

    A pipe would be waited for, and some devices never end. A pipe that a shell has opened (``<(command)``) is a file.

    Raises:
        InputError: it is none, or nothing is there; the message ends with ``expected``.
    """
    if not exists(path):
        raise InputError(f"{path}: no such file, expected {expected}")
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected {expected}")
    if not path.is_file() and not (path.is_fifo() and path.as_posix().startswith(_OF_SHELLS)):
        raise InputError(f"{path}: is a pipe, socket or device, expected {expected}")


def paths_below(folder: Path) -> Iterator[Path]:
    """Yield what is in a folder and its subfolders, folders included, also behind links to folders; each folder once,
    so that links in a circle end. What is hidden, or in a hidden folder, is left out; a line on standard error names a
    folder that cannot be read, which is left out as well.
    """

    def left_out(error: OSError) -> None:
        say(f"{error.filename}: left out, the folder cannot be read ({error.strerror})")

    root = os.path.realpath(folder)
    seen = {root}
    for place, folders, files in os.walk(folder, onerror=left_out, followlinks=True):
        shown = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in (*shown, *files) if not name.startswith("."))
        folders.clear()
        for name in shown:
            real = os.path.realpath(os.path.join(place, name))
            linked = os.path.islink(os.path.join(place, name))
            if real not in seen and not (linked and _is_shown_below(root, real)):  # that comes anyway
                seen.add(real)
                folders.append(name)


def _is_shown_below(root: str, place: str) -> bool:
    """Return whether a place, a path without links, lies in the folder ``root``, and in no hidden one there."""
    way = os.path.relpath(place, root).split(os.sep)
    return not any(part.startswith(".") for part in way)


def require_writable_folder(folder: Path) -> None:
    """Require that files may be written into a folder, which may not exist yet; nothing is made.

    Raises:
        InputError: it is a file, or inside one, or we may not write there.
    """
    for place in (folder, *folder.parents):
        if not exists(place) and not place.is_symlink():
            continue
        if not place.is_dir():
            inside = "" if place == folder else f", so that {folder.name} cannot be in it"
            kind = "a file" if exists(place) else "a link to nowhere"
            raise InputError(f"{place}: is {kind}{inside}, expected a folder to write into")
        if not os.access(place, os.W_OK | os.X_OK):
            raise InputError(f"{folder}: cannot be written (no permission to write into {place})")
        return
