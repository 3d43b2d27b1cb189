"""The folder in which the fit of a film keeps its intermediate results: whose they are, and arrays in files."""

from io import BytesIO
from pathlib import Path

import numpy as np

import anifacegan
from anifacegan.capture.face_fitter import FaceFitter
from anifacegan.capture.film_files import Film
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import file_sha256, not_writable_error, write_complete
from anifacegan.runtime.paths import exists, user_path

MARK_FILE = "film.txt"
"""Name of the file that says to which film, face and fitter the folder belongs."""


def opened_work_folder(fitter: FaceFitter, film: Film, number: int, folder: Path | str) -> Path:
    """Make a work folder and write what it belongs to, or require that it belongs to this film, face and fitter.

    Raises:
        InputError: it belongs to another one, or cannot be written.
    """
    work = user_path(folder)
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable_error(work, error) from None
    mark = work / MARK_FILE
    text = (
        f"film {file_sha256(film.path)}, {len(film)} frames, face {number}\n"
        f"anifacegan {anifacegan.__version__}, models {fitter.landmark_fit_sha256()}\n"
    )
    if not exists(mark):
        write_complete(mark, text)
    elif not mark.is_file() or mark.stat().st_size > 1000 or mark.read_bytes() != text.encode():
        raise InputError(
            f"{work}: holds an unfinished fit of another film, or with another face number, face model, landmark model "
            "or version, expected none; remove the folder"
        )
    return work


def kept_array(file: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray | None:
    """Read what an earlier run kept; None if there is nothing, or something else, which is then computed again."""
    if not file.is_file():
        return None
    try:
        # mapped: a shape that the file does not hold is refused before it is allocated
        found = np.load(file, mmap_mode="r")
        return np.array(found) if found.shape == shape and found.dtype == dtype else None
    except (OSError, ValueError, EOFError, AttributeError):
        return None


def save_array(file: Path, rows: np.ndarray) -> None:
    """Write an array.

    Raises:
        InputError: it cannot be written; the message has the operating system's words, which NumPy would not say.
    """
    content = BytesIO()
    np.save(content, rows)
    write_complete(file, content.getbuffer())
