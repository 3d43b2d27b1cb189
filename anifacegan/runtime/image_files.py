"""Image files: which are read, how their pixels become arrays, and how arrays become files.

All image files of the project are read here, with Pillow. Images are upright (the rotation that EXIF data ask for is
applied), 16 bits a channel become 8 by their full range, colour profiles become sRGB, transparent pixels are seen over
white, and an image whose header announces more pixels than memory should hold is refused before it is decoded.
"""

import os
import struct
import sys
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from io import BytesIO
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import ExifTags, Image, PngImagePlugin

from anifacegan.runtime.colour_profiles import conversion_to_srgb
from anifacegan.runtime.errors import first_line
from anifacegan.runtime.file_kinds import HEAD_BYTES, foreign_kind

ImageArray = UInt8[np.ndarray, "height width *channel"] | UInt16[np.ndarray, "height width"]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
"""Endings of the image files that are read, in lower case; upper case is read as well."""
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF")
"""Pillow's names of the formats that are read, whatever the file's ending."""
MOST_PIXELS = 2 * 89_478_485
"""Largest number of pixels of an image; beyond it, Pillow takes an image for a decompression bomb."""
PNG_MAGIC, _PNG_PIXELS = b"\x89PNG\r\n\x1a\n", (b"IHDR", b"PLTE", b"IDAT", b"tRNS")
"""Beginning of a PNG file, and the names of those of its parts that make its pixels."""
PNG_END = b"\0\0\0\0IEND\xae\x42\x60\x82"
"""End of a PNG file."""
_OTHERS = {
    b"GIF8": "is a GIF",
    b"\x1a\x45\xdf\xa3": "is a film (Matroska or WebM)",
    b"%PDF": "is a PDF document",
}
"""Beginnings of files that people take for images of ours, and the words after "it" in a message."""
_PNG_PROFILE = b"iCCP"
"""Name of the part of a PNG file that has a colour profile."""
_TURNS = dict(enumerate(("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE",
                         "ROTATE_90"), start=2))  # fmt: skip
"""Pillow's names of what makes an image upright, by its EXIF orientation."""
_QUARTER_TURNS = (5, 6, 7, 8)
"""EXIF orientations that exchange width and height."""
_STRIP_PIXELS = 2**22
"""Number of pixels that are converted at a time: Pillow needs several times the memory of what it converts."""


def is_image_file(name: str) -> bool:
    """Return whether a file is an image that can be read, by the ending of its name."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def encoded_image(
    pixels: ImageArray, ending: str = ".png", texts: dict[str, str] | None = None, **options: int
) -> bytes:
    """Return the bytes of an image file: RGB, RGBA or grey, and 16-bit grey for PNG.

    ``texts`` become text chunks of a PNG file, by their keywords.

    ``options`` are Pillow's options for the format, such as ``compress_level`` of PNG and ``quality`` of JPEG.
    """
    if texts is None:
        return iio.imwrite("<bytes>", pixels, extension=ending, plugin="pillow", **options)
    chunks = PngImagePlugin.PngInfo()
    for keyword, text in texts.items():
        chunks.add_text(keyword, text)
    return iio.imwrite("<bytes>", pixels, extension=ending, plugin="pillow", pnginfo=chunks, **options)


def read_image(source: Path | bytes, mode: str | None = None) -> ImageArray:
    """Decode an image file, or the bytes of one, into a writable array of sRGB, upright as its EXIF data ask for.

    ``mode`` "RGB" or "L" converts to 8 bits of these channels, with transparent pixels over white. None keeps grey (8
    or 16 bits), grey with alpha, RGB and RGBA, and converts everything else to RGB or RGBA. An embedded colour profile
    is converted in 8 bits (:mod:`anifacegan.runtime.colour_profiles`); grey of 16 bits that stays so is not converted.

    Raises:
        OSError: the file does not exist, is not a readable image, has more than MOST_PIXELS pixels or more than 16 bits
            a channel; the message is one line.
    """
    with _opened(source) as image:
        if image.format == "PNG":
            require_png_checksums(source)
        with _silent_libtiff() if image.format == "TIFF" else nullcontext():
            image.load()  # first, and alone: Pillow reports damaged pixels once
        upright = _upright(image)
        return _as_stored(upright) if mode is None else _in_strips(upright, mode)


def upright_rgb(image: Image.Image) -> UInt8[np.ndarray, "height width 3"]:
    """Return the pixels of an image of Pillow as :func:`read_image` does with mode "RGB"; the image stays as it is.

    Raises:
        OSError: it has no pixels, more than MOST_PIXELS, more than 16 bits a channel, or its file is damaged; the
            message is one line.
    """
    width, height = image.size
    if not 0 < width * height <= MOST_PIXELS:
        raise OSError(f"it is {width} x {height} pixels")
    try:
        image.load()
        return _in_strips(_upright(image), "RGB")
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise OSError(first_line(error)) from None


def image_size(source: Path | bytes) -> tuple[int, int]:
    """Read width and height in pixels of the upright image from the header of its file; the pixels are not decoded.

    Raises:
        OSError: the file does not exist, is not a readable image, or has more than MOST_PIXELS pixels; the message is
            one line.
    """
    with _opened(source) as image:
        width, height = image.size
        if width == height:
            return width, height
        with suppress(Exception):  # damaged EXIF data: as if there were none
            exif = image.getexif()
            if image.format == "TIFF":  # some versions of Pillow exchange the size themselves
                width, height = exif[ExifTags.Base.ImageWidth], exif[ExifTags.Base.ImageLength]
            if exif.get(ExifTags.Base.Orientation) in _QUARTER_TURNS:
                return height, width
        return width, height


def require_png_checksums(source: Path | bytes) -> None:
    """Require that the chunks of a PNG file that make its pixels have the checksums that it says; Pillow does not.

    Raises:
        OSError: one has not.
    """
    content = memoryview(source if isinstance(source, bytes) else source.read_bytes())
    for kind, part in _png_parts(content):
        named, checksum = content[part][4:-4], content[part][-4:]
        if kind in _PNG_PIXELS and zlib.crc32(named) != int.from_bytes(checksum):
            raise OSError(f"damaged: the checksum of a part {kind.decode()} is wrong")


def _png_parts(content: bytes | memoryview) -> Iterator[tuple[bytes, slice]]:
    """Yield names and places of the whole chunks of a PNG file: length, name, content and checksum; none of others."""
    start = len(PNG_MAGIC) if content[: len(PNG_MAGIC)] == PNG_MAGIC else len(content)
    while start + 12 <= len(content):
        end = start + 12 + int.from_bytes(content[start : start + 4])
        if end > len(content):
            return  # truncated, which Pillow notices
        yield bytes(content[start + 4 : start + 8]), slice(start, end)
        start = end


@contextmanager
def _silent_libtiff() -> Iterator[None]:
    """Discard what the block writes to the process's standard error: libtiff says there what Pillow raises, too."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _head(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source[:HEAD_BYTES]
    with source.open("rb") as file:
        return file.read(HEAD_BYTES)


def _other_kind(head: bytes) -> str | None:
    """Return what a file is that is no image of ours, by its first bytes, as the words after "it"; None if unknown."""
    if head[4:8] == b"ftyp":
        still = head[8:11] in (b"hei", b"hev", b"mif", b"msf", b"avi")
        return "is a HEIC or AVIF image: convert it to JPEG" if still else "is a film (MP4 or MOV)"
    found = (words for start, words in _OTHERS.items() if head.startswith(start))
    return next(found, None) or foreign_kind(head, PNG_MAGIC[:4], b"\xff\xd8\xff")


@contextmanager
def _opened(source: Path | bytes) -> Iterator[Image.Image]:
    """Open an image without decoding it; whatever Pillow raises, also in the block, becomes an OSError of one line."""
    if isinstance(source, Path) and source.exists() and not source.is_file():
        raise OSError("it is no file but a folder, pipe, socket or device")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", Image.DecompressionBombWarning
            )  # of half as many pixels as the error
            image = _undecoded(source)
        with image:
            yield image
    except Image.DecompressionBombError:
        raise OSError(f"its header announces more than {MOST_PIXELS} pixels") from None
    except Image.UnidentifiedImageError:
        kind = _other_kind(_head(source))
        raise OSError(
            "no PNG, JPEG, WebP, BMP or TIFF data" + ("" if kind is None else f": it {kind}")
        ) from None
    except (
        OSError,
        SyntaxError,
        ValueError,
        EOFError,
        struct.error,
        KeyError,
        IndexError,
        TypeError,
    ) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise OSError(first_line(error)) from None


def _undecoded(source: Path | bytes) -> Image.Image:
    """Open an image, without its colour profile if Pillow refuses a PNG file for that: too large, or damaged."""
    try:
        return Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=_FORMATS)
    except (Image.UnidentifiedImageError, ValueError):
        content = source if isinstance(source, bytes) else _png_content(source)
        profile = next((part for kind, part in _png_parts(content) if kind == _PNG_PROFILE), None)
        if profile is None:
            raise
        return Image.open(BytesIO(content[: profile.start] + content[profile.stop :]), formats=_FORMATS)


def _png_content(path: Path) -> bytes:
    """Return the content of a file if it begins as PNG does, else no bytes."""
    with path.open("rb") as file:
        start = file.read(len(PNG_MAGIC))
        return start + file.read() if start == PNG_MAGIC else b""


def _upright(image: Image.Image) -> Image.Image:
    """Return a decoded image turned as its EXIF data ask for; the image itself if they ask for nothing."""
    with suppress(Exception):  # damaged EXIF data: as if there were none
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
        if turn is not None:
            turned = image.transpose(Image.Transpose[turn])
            turned.format = image.format
            return turned
    return image


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Yield copies of an image's parts, from top to bottom: the first row of each, and its pixels."""
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    for top in range(0, height, rows):
        strip = image.crop((0, top, width, min(height, top + rows)))
        strip.format = image.format
        yield top, strip


def _in_strips(image: Image.Image, mode: str) -> ImageArray:
    """Return the pixels of an image over white, in 8 bits of the channels ``mode``, "RGB" or "L"."""
    width, height = image.size
    pixels = np.empty((height, width, 3) if mode == "RGB" else (height, width), np.uint8)
    convert = conversion_to_srgb(image)
    for top, strip in _strips(image):
        strip = _in_8_bits(strip)
        strip = _over_white(strip if convert is None else convert(strip))
        pixels[top : top + strip.height] = np.asarray(strip.convert(mode))
    return pixels


def _as_stored(image: Image.Image) -> ImageArray:
    """Return grey (8 or 16 bits), grey with alpha, RGB or RGBA."""
    if _has_16_bits(image):
        return np.array(image).astype(np.uint16)
    if image.mode == "1":
        return np.array(image.convert("L"))
    _refuse_wide(image)
    convert = conversion_to_srgb(image)
    if convert is not None:
        return np.concatenate([np.asarray(convert(strip)) for _, strip in _strips(image)])
    if image.mode in ("L", "LA", "RGB", "RGBA"):
        return np.array(image)
    return np.array(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def _in_8_bits(image: Image.Image) -> Image.Image:
    """Return an image of 8 bits a channel; the image itself if it has them."""
    if _has_16_bits(image):
        levels = np.array(image).astype(np.uint32)
        return Image.fromarray(((levels + 128) // 257).astype(np.uint8))
    _refuse_wide(image)
    return image


def _over_white(image: Image.Image) -> Image.Image:
    """Return an image of 8 bits a channel without alpha."""
    if not image.has_transparency_data:
        return image
    straight = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), straight).convert("RGB")


def _has_16_bits(image: Image.Image) -> bool:
    """Return whether an image is grey with 16 bits; Pillow reads colours of 16 bits as 8 bits itself."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")


def _refuse_wide(image: Image.Image) -> None:
    """Refuse pixels of 32 bits, of which nobody says which value is white."""
    if image.mode in ("I", "F"):
        kind = "whole numbers" if image.mode == "I" else "floats"
        raise OSError(f"pixels are {kind} of 32 bits, expected 8 or 16 bits a channel")
