"""Tells finished files of a data set from those that were cut off or damaged after they were written."""

from pathlib import Path

from anifacegan.face_model.coefficients import MAT_TITLE, read_coefficients
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.image_files import PNG_END, PNG_MAGIC, image_size, read_image, require_png_checksums

_STARTS = {".png": PNG_MAGIC, ".mat": MAT_TITLE}
"""The first bytes of our files, by their suffix."""


def is_damaged(path: Path) -> bool:
    """Return whether a file is what is left of one of ours: nothing, zeros, or a beginning as ours has it and something
    that cannot be read to its end. A file of another kind is none.

    Raises:
        OSError: the disk cannot be read.
    """
    content, start = path.read_bytes(), _STARTS[path.suffix]
    alike = content.startswith(start) or start.startswith(content)
    return not content.strip(b"\0") or (alike and not is_whole(path))


def is_whole(path: Path) -> bool:
    """Return whether a file of an item, an image or a .mat file, can be read to its end.

    An image that ends as PNG does is not decoded, since its checksums say as much in a tenth of the time.

    Raises:
        OSError: the disk cannot be read.
    """
    content = path.read_bytes()
    try:
        if path.suffix == ".mat":
            read_coefficients(path)
        elif content.endswith(PNG_END):
            image_size(content)
            require_png_checksums(content)
        else:
            read_image(content)
    except (InputError, OSError):
        return False
    return True
