"""Photographs as users have them: files of many kinds and folders, read as upright RGB images."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from anifacegan.capture.crop import Photograph
from anifacegan.data.file_sources import UNREAD_SUFFIXES
from anifacegan.runtime.errors import InputError, first_line, say
from anifacegan.runtime.files import numeric_order
from anifacegan.runtime.image_files import (
    IMAGE_SUFFIXES,
    MOST_PIXELS,
    is_image_file,
    read_image,
    upright_rgb,
)
from anifacegan.runtime.paths import exists, require_file

LABEL = Path("photograph")
"""Name, in messages, of a photograph that is no file."""
EXPECTED = (
    f"a file, an image of Pillow, or bytes (uint8) of shape (height, width, 3), at most {MOST_PIXELS} pixels"
)


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
    shown = [file for file in path.iterdir() if not file.name.startswith(".")]
    files = sorted(readable_photographs(path, shown), key=lambda file: numeric_order(file.name))
    stems = [file.stem for file in files]
    repeated = next((stem for stem in stems if stems.count(stem) > 1), None)
    if repeated is not None:
        raise InputError(f"{path}: more than one photograph '{repeated}', expected different names")
    return files


def readable_photographs(folder: Path, paths: Iterable[Path]) -> list[Path]:
    """Return the image files among ``paths`` of a folder that can be read; a line on standard error counts those of
    other formats, and broken links and pipes with an image's name.

    Raises:
        InputError: there are none.
    """
    found: list[Path] = []
    unread: Counter[str] = Counter()
    for path in paths:
        known, ending = is_image_file(path.name), path.suffix.lower()
        if path.is_file():
            if known:
                found.append(path)
            elif ending in UNREAD_SUFFIXES:
                unread[ending] += 1
        elif (known or ending in UNREAD_SUFFIXES) and not path.is_dir():
            broken = path.is_symlink() and not exists(path)
            unread["broken link" if broken else "pipe" if path.is_fifo() else "special file"] += 1
    counts = ", ".join(_counted(count, kind) for kind, count in sorted(unread.items()))
    if not found:
        others = f" ({counts}: not read)" if counts else ""
        raise InputError(
            f"{folder}: no photographs in the folder{others}, expected {', '.join(IMAGE_SUFFIXES)}"
        )
    if counts:
        say(f"{folder}: left out: {counts} (not read)")
    return found


def _counted(count: int, kind: str) -> str:
    plural = "s" if count > 1 and not kind.startswith(".") else ""
    return f"{count} {kind}{plural}"


def read_photograph(path: Path) -> Photograph:
    """Read an image file as RGB: turned as its EXIF data say, 16 bits reduced to 8, transparent parts white.

    Raises:
        InputError: the file is not a readable image.
    """
    try:
        return read_image(path, "RGB")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({first_line(error)}), expected a photograph") from None


def labelled_photograph(image: Any) -> tuple[Photograph, Path]:
    """Return the pixels of a photograph, and its name in messages.

    It is the name of a file; an image of Pillow; or pixels already, in an array of NumPy or a tensor of PyTorch: bytes
    of the shape (height, width), (height, width, 1), (height, width, 3) or (height, width, 4). As in files, grey
    becomes RGB, and transparent parts become white.

    Raises:
        InputError: it is none of these, has no pixels or too many, or the file cannot be read.
    """
    if isinstance(image, (str, os.PathLike)):
        if not os.fspath(image):
            raise InputError(f"photograph is {image!r}, expected {EXPECTED}")
        return read_photograph(Path(image)), Path(image)
    if isinstance(image, Image.Image):
        try:
            return upright_rgb(image), LABEL
        except OSError as error:
            raise InputError(
                f"photograph cannot be read ({first_line(error)}), expected {EXPECTED}"
            ) from None
    if np.ma.is_masked(image):
        raise InputError(f"photograph has masked pixels, expected {EXPECTED}")
    if isinstance(image, Tensor) and image.device.type == "meta":
        raise InputError(f"photograph is a tensor without numbers (device meta), expected {EXPECTED}")
    pixels = image.detach().cpu() if isinstance(image, Tensor) else image
    if not isinstance(pixels, (np.ndarray, Tensor)):
        raise InputError(f"photograph is a {type(image).__name__}, expected {EXPECTED}")
    shape, kind = tuple(pixels.shape), str(pixels.dtype).removeprefix("torch.")
    layered = len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))
    if kind != "uint8" or not layered or not 0 < shape[0] * shape[1] <= MOST_PIXELS:
        raise InputError(f"photograph is {kind} of shape {shape}, expected {EXPECTED}")
    levels = np.ascontiguousarray(pixels)
    return upright_rgb(Image.fromarray(levels[..., 0] if levels.shape[2:] == (1,) else levels)), LABEL
