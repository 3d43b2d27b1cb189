"""Files that are complete or not there: written aside in the same folder, flushed to the disk, then renamed.

And the one place where image files are decoded and encoded, and where checksums are computed.

And their checksums.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from jaxtyping import UInt8, UInt16

from anifacegan.errors import InputError, first_line

ImageArray = UInt8[np.ndarray, "height width *channel"] | UInt16[np.ndarray, "height width"]


@contextmanager
def complete_or_absent(path: Path) -> Iterator[Path]:
    """A file to write, which takes the place of ``path`` when the block ends.

    It lies beside it as ``.NAME.PID.tmp``. When the block fails or is interrupted it goes, and what was at ``path``
    stays; a killed process leaves it behind. The folder has to be there.

    Raises:
        InputError: the file cannot be written: no room, no right, no folder.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        flush(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise cannot_be_written(path, error) from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_complete(path: Path, content: bytes | memoryview | str) -> None:
    """Write a whole file, text as UTF-8; see :func:`complete_or_absent`."""
    with complete_or_absent(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def remove_leftovers(folder: Path, names: str) -> None:
    """Remove what killed processes left behind of files of these names (a regular expression, for the whole name); no
    other process may be at work there.
    """
    leftover = re.compile(rf"\.({names})\.\d+\.tmp")
    for path in folder.glob(".*.tmp"):
        if leftover.fullmatch(path.name) and path.is_file():
            path.unlink()


def flush(path: Path) -> None:
    """Wait until a file's content is on the disk: renamed before, it could be empty after a power cut."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def cannot_be_written(path: Path, error: OSError) -> InputError:
    return InputError(f"{path}: cannot be written ({error.strerror or error})")


def encoded_image(pixels: ImageArray, ending: str = ".png", **options: int) -> bytes:
    """Encode an image as the bytes of a file: RGB, RGBA or grey, 16-bit grey for PNG.

    ``options`` are Pillow's for the format, ``compress_level`` of PNG and ``quality`` of JPEG among them.
    """
    return iio.imwrite("<bytes>", pixels, extension=ending, plugin="pillow", **options)


def read_image(source: Path | bytes, mode: str | None = None) -> ImageArray:
    """Decode an image file, or the bytes of one, into a writable array; an EXIF rotation is not applied.

    ``mode`` converts to Pillow's "RGB" or "L"; None leaves the channels as they are in the file.

    Raises:
        OSError: there is no such file, or it is no readable image; the message is one line.
    """
    with _unreadable_as_os_error():
        return iio.imread(source, index=0, plugin="pillow", mode=mode)


def image_size(source: Path | bytes) -> tuple[int, int]:
    """Read width and height in pixels from the header of an image; the pixels are not decoded.

    Raises:
        OSError: there is no such file, or it is no readable image; the message is one line.
    """
    with _unreadable_as_os_error():
        height, width = iio.improps(source, index=0, plugin="pillow").shape[:2]
    return width, height


@contextmanager
def _unreadable_as_os_error() -> Iterator[None]:
    try:
        yield
    except (OSError, SyntaxError, ValueError) as error:                # what Pillow raises for broken files
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise OSError(first_line(error.__cause__ or error)) from None
def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256(parts: Iterable[bytes]) -> str:
    """SHA-256 of bytes one after another, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
