"""Paths as users write them: the one conversion of texts to paths."""

from pathlib import Path

from anifacegan.runtime.errors import InputError


def user_path(text: str | Path) -> Path:
    """Return a path, in which ``~`` and ``~name`` are home folders.

    Raises:
        InputError: it is neither text nor path, is empty, has a null character, or names a user without a home folder.
    """
    if not isinstance(text, (str, Path)):
        raise InputError(f"a {type(text).__name__} is no path")
    if not str(text):
        raise InputError("an empty text is no path")
    if "\0" in str(text):
        raise InputError(f"{text}: has a null character, expected a path")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise InputError(f"{text}: no such user, expected a path") from None


def exists(path: Path) -> bool:
    """Return whether a file or folder exists.

    Raises:
        InputError: the operating system does not tell: a folder on the way may not be entered, or the name is too long.
    """
    try:
        return path.exists()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be looked up ({getattr(error, 'strerror', error)})") from None
