"""The images of a data set as pixels, and their size; an unreadable one is named."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from anifacegan.data.file_sources import open_files
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.image_files import IMAGE_SUFFIXES, image_size, is_image_file, read_image


def dataset_image_size(path: Path) -> int:
    """Return the width in pixels of a data set's first image.

    Raises:
        InputError: there is no image, or the first one cannot be read.
    """
    files = open_files(path)
    for name in files.names:
        if is_image_file(name):
            return image_dimensions(files.read(name), files.label(name))[0]
    raise InputError(f"{path}: no images, expected {', '.join(IMAGE_SUFFIXES)} with a .mat each")


def image_dimensions(content: bytes, label: Path) -> tuple[int, int]:
    """Read width and height of an image in pixels; ``label`` names its file in messages.

    Raises:
        InputError: the image cannot be read.
    """
    try:
        return image_size(content)
    except OSError as error:
        raise InputError(f"{label}: not a readable image ({error})") from None


def rgb_pixels(content: bytes, label: Path) -> UInt8[np.ndarray, "height width 3"]:
    """Decode an image; ``label`` names its file in messages.

    Raises:
        InputError: the image cannot be read.
    """
    try:
        return read_image(content, "RGB")
    except OSError as error:
        raise InputError(f"{label}: not a readable image ({error})") from None
