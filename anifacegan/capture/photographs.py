"""Photographs as users have them: files of many kinds and folders, read as upright RGB images."""

import re
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from anifacegan.capture.crop import Photograph
from anifacegan.runtime.errors import InputError, first_line

PHOTOGRAPH_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
"""Endings of the image files that are looked for in a folder, in lower case."""
WHITE = (255, 255, 255)


def photograph_files(path: Path) -> list[Path]:
    """Return the file at ``path``, or the image files in the folder, numbered ones in the order of their numbers.

    Raises:
        InputError: nothing is there, the folder has no image files, or two of them differ in their endings only.
    """
    path = path.expanduser()
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"{path}: no such file or folder, expected a photograph or a folder of photographs")
    files = [file for file in path.iterdir() if file.suffix.lower() in PHOTOGRAPH_SUFFIXES and file.is_file()]
    files = sorted((file for file in files if not file.name.startswith(".")), key=_numeric_order)
    if not files:
        raise InputError(f"{path}: no photographs in the folder, expected {', '.join(PHOTOGRAPH_SUFFIXES)}")
    stems = [file.stem for file in files]
    repeated = next((stem for stem in stems if stems.count(stem) > 1), None)
    if repeated is not None:
        raise InputError(f"{path}: more than one photograph '{repeated}', expected different names")
    return files


def _numeric_order(file: Path) -> tuple[list[tuple[int, str]], str]:
    parts = re.split(r"(\d+)", file.stem)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts], file.name


def read_photograph(path: Path) -> Photograph:
    """Read an image file as RGB: turned as its EXIF data say, 16 bits reduced to 8, transparent parts white.

    Raises:
        InputError: the file is not a readable image.
    """
    try:
        with Image.open(path) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):  # 16-bit grey
                grey = np.asarray(image).astype(np.float64).clip(0, 65535)
                image = Image.fromarray(np.rint(grey / 257).astype(np.uint8))
            if "A" in image.getbands() or "transparency" in image.info:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, (*WHITE, 255)), image)
            return np.array(image.convert("RGB"))
    except UnidentifiedImageError:
        raise InputError(f"{path}: not a readable image, expected a photograph") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            f"{path}: not a readable image ({first_line(error)}), expected a photograph"
        ) from None
