"""Find files by the paths that users write: their own files, then those shipped with the package.

``checkpoints/{demo,judge,reconstruction}``, ``mat/`` and ``configs/`` are shipped. An installed package holds them in
``anifacegan/shipped/`` (setup.py copies them into the wheel); in a checkout, and in an editable installation of one,
they are the folders at the root of the repository.
"""

from pathlib import Path

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.paths import current_folder, exists, user_path

SHIPPED_FOLDERS = ("checkpoints", "configs", "mat")
"""Folders that are shipped with the package; other folders of a checkout are never searched."""
SHIPPED_MODELS = ("demo", "judge", "reconstruction")
"""Folders in ``checkpoints/`` that are shipped; each can be named without ``checkpoints/``."""
_PACKAGE = Path(__file__).resolve().parents[1]


def shipped_root() -> Path:
    """Return the folder that contains ``checkpoints``, ``configs`` and ``mat``: ``anifacegan/shipped`` of an installed
    package, or the root of the checkout."""
    installed = _PACKAGE / "shipped"
    return installed if installed.is_dir() else _PACKAGE.parent


def found(path: str | Path) -> Path | None:
    """Find an existing file or folder and return its path; None if it does not exist.

    ``~`` is the home folder. A relative path is looked up in the current folder, then among the shipped files; a path
    found in the current folder is returned as it was written.
    """
    path = user_path(path)
    if exists(path):
        return path
    if (
        path.is_absolute()
        or ".." in path.parts
        or path.parts[:1] not in [(name,) for name in SHIPPED_FOLDERS]
    ):
        return None
    shipped = shipped_root() / path
    return shipped if exists(shipped) else None


def located(path: str | Path, expected: str = "a file or folder") -> Path:
    """Find an existing file or folder, as :func:`found` does; ``expected`` describes it in the error.

    Raises:
        InputError: it does not exist; for a relative path, the message names both places that were searched.
    """
    place = found(path)
    if place is None:
        raise _missing(path, expected)
    return place


def located_model(path: str | Path, expected: str = "a model folder") -> Path:
    """Find a model's folder or file, as :func:`located` does, or a shipped model by its name alone (``demo``).

    Raises:
        InputError: it does not exist; for a relative path, the message names both places that were searched.
    """
    place = found(path)
    if place is None and str(Path(path)) in SHIPPED_MODELS:
        place = found(Path("checkpoints") / path)
    if place is None:
        raise _missing(path, expected)
    return place


def _missing(path: str | Path, expected: str) -> InputError:
    path = user_path(path)
    places = (
        "" if path.is_absolute() else f" in {current_folder()} or among the shipped files ({shipped_root()})"
    )
    return InputError(f"{path}: no such file or folder{places}, expected {expected}")
