"""Files that are complete or not there: written aside in the same folder, flushed to the disk, then renamed.

And the one place where image files are decoded and encoded, and where checksums are computed.

And their checksums.

A folder of results that is complete or untouched; results as Markdown tables.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from jaxtyping import UInt8, UInt16

from anifacegan.runtime.errors import InputError, first_line

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
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow raises for broken files
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


MANIFEST = "manifest.json"
"""Says what a run wrote; its ``files`` are the paths, relative to the folder, of everything else."""
_UNFINISHED = re.compile(r"unfinished-\d+-\w{8}")


@contextmanager
def filled_when_complete(out: Path) -> Iterator[Path]:
    """A folder to write into, whose files go into ``out`` when the block ends, the manifest last.

    It is a new folder ``out/unfinished-PID-RANDOM``. When the block fails or is interrupted, it goes, and ``out`` is as
    it was before; a killed process leaves it behind. Files in ``out`` are replaced where the block wrote one of the
    same name; all others stay, those of an earlier run as well.

    Raises:
        InputError: ``out`` cannot be written, or has a folder where a file should go, or the reverse.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file, expected a folder to write into")
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    temporary = None
    try:
        out.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f"unfinished-{os.getpid()}-", dir=out))
        yield temporary
        _publish(temporary, out)
    except OSError as error:
        raise cannot_be_written(out, error) from None
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        for folder in made:  # innermost first; one with files stays
            try:
                folder.rmdir()
            except OSError:
                break


def remove_unfinished(out: Path, names: tuple[str, ...]) -> None:
    """Remove what a killed process left of :func:`filled_when_complete`, where it wrote these names; no other process
    may be at work there.
    """
    for folder in out.glob("unfinished-*"):
        if _UNFINISHED.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
            for name in names:
                (folder / name).unlink(missing_ok=True)
            with suppress(OSError):  # something else is in it
                folder.rmdir()


def _publish(temporary: Path, out: Path) -> None:
    paths = sorted(path.relative_to(temporary) for path in temporary.rglob("*") if path.is_file())
    paths.sort(key=lambda path: path == Path(MANIFEST))  # stable: the manifest comes last
    for path in paths:
        if (out / path).is_dir():
            raise InputError(f"{out / path}: is a folder, expected room for a file")
        for parent in path.parents:
            if (out / parent).exists() and not (out / parent).is_dir():
                raise InputError(f"{out / parent}: is a file, expected a folder")
    for path in paths:
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        flush(temporary / path)
        os.replace(temporary / path, out / path)


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, aligned: bool = False) -> str:
    """A Markdown table without a line feed at its end; ``aligned`` also lines up in a terminal."""
    lines = [list(head), *map(list, rows)]
    widths = [max(map(len, column)) if aligned else 0 for column in zip(*lines, strict=True)]
    cells = [[text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines]
    shown = [f"| {' | '.join(line)} |" for line in cells]
    rule = "|".join("-" * (width + 2 if aligned else 3) for width in widths)
    return "\n".join([shown[0], f"|{rule}|", *shown[1:]])
