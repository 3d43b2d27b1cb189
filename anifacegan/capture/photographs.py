"""Photographs as users have them: files of many kinds and folders, read as upright RGB images."""

from pathlib import Path

import numpy as np

from anifacegan.capture.crop import Photograph
from anifacegan.runtime.errors import InputError, first_line
from anifacegan.runtime.files import numeric_order
from anifacegan.runtime.image_files import IMAGE_SUFFIXES, is_image_file, read_image
from anifacegan.runtime.paths import exists, require_file


def photograph_files(path: Path) -> list[Path]:
    """Return the file at ``path``, or the image files in the folder, numbered ones in the order of their numbers.

    Raises:
        InputError: nothing is there, the folder has no image files, or two of them differ in their endings only.
    """
    path = path.expanduser()
    if path.is_file():
        return [path]
    if not exists(path):
        raise InputError(f"{path}: no such file or folder, expected a photograph or a folder of photographs")
    if not path.is_dir():
        require_file(path, "a photograph or a folder of photographs")
        return [path]
    files = [file for file in path.iterdir() if is_image_file(file.name) and file.is_file()]
    files = sorted(
        (file for file in files if not file.name.startswith(".")), key=lambda file: numeric_order(file.name)
    )
    if not files:
        raise InputError(f"{path}: no photographs in the folder, expected {', '.join(IMAGE_SUFFIXES)}")
    stems = [file.stem for file in files]
    repeated = next((stem for stem in stems if stems.count(stem) > 1), None)
    if repeated is not None:
        raise InputError(f"{path}: more than one photograph '{repeated}', expected different names")
    return files


def read_photograph(path: Path) -> Photograph:
    """Read an image file as RGB: turned as its EXIF data say, 16 bits reduced to 8, transparent parts white.

    Raises:
        InputError: the file is not a readable image.
    """
    try:
        return read_image(path, "RGB")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({first_line(error)}), expected a photograph") from None


def labelled_photograph(image: Path | str | Photograph) -> tuple[Photograph, Path]:
    """Return the pixels of a photograph that is a file or pixels already, and its name in messages.

    Raises:
        InputError: the file cannot be read.
    """
    if isinstance(image, np.ndarray):
        return image, Path("photograph")
    return read_photograph(Path(image)), Path(image)
