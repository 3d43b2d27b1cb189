"""Images of every kind that people have become the same arrays, or are refused in one line."""

import re
import struct
import tracemalloc
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from anifacegan.runtime import image_files
from anifacegan.runtime.image_files import IMAGE_SUFFIXES, image_size, is_image_file, read_image, upright_rgb

HEIGHT, WIDTH = 8, 16
ORIENTATION = 274


def noise(*shape: int, most: int = 256) -> np.ndarray:
    return np.random.default_rng(0).integers(0, most, shape)


def rgb() -> np.ndarray:
    return noise(HEIGHT, WIDTH, 3).astype(np.uint8)


def saved(image: Image.Image, ending: str = "png", **options: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, ending, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, bits: int, colour: int, rows: bytes) -> bytes:
    """A PNG file; Pillow itself cannot write 16 bits a channel in colour."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def png16(levels: np.ndarray, colour: int) -> bytes:
    rows = [b"\0" + row.astype(">u2").tobytes() for row in levels]
    return png(levels.shape[1], levels.shape[0], 16, colour, b"".join(rows))


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff"])
def test_lossless_formats_give_the_same_pixels(ending: str) -> None:
    content = saved(Image.fromarray(rgb()), ending)
    assert np.array_equal(read_image(content, "RGB"), rgb()) and image_size(content) == (WIDTH, HEIGHT)


def test_webp_gives_the_same_pixels() -> None:
    content = saved(Image.fromarray(rgb()), "webp", lossless=True)
    assert np.array_equal(read_image(content, "RGB"), rgb()) and image_size(content) == (WIDTH, HEIGHT)


def test_suffixes_are_known_in_upper_case_as_well() -> None:
    assert all(
        is_image_file(f"a{ending}") and is_image_file(f"a{ending.upper()}") for ending in IMAGE_SUFFIXES
    )
    assert not is_image_file("a.mat") and not is_image_file("png")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpeg", "png", "webp", "tiff"])
def test_the_same_scene_in_every_exif_orientation_is_the_same_image(ending: str, orientation: int) -> None:
    turns = {
        1: lambda stored: stored,
        2: lambda stored: stored[:, ::-1],
        3: lambda stored: stored[::-1, ::-1],
        4: lambda stored: stored[::-1],
        5: lambda stored: stored.transpose(1, 0, 2),
        6: lambda stored: np.rot90(stored, -1),
        7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
        8: lambda stored: np.rot90(stored),
    }
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = np.kron(rgb(), np.ones((8, 8, 1), np.uint8))
    options = {"lossless": True} if ending == "webp" else {}
    content = saved(Image.fromarray(stored), ending, exif=exif, **options)
    if ending == "jpeg":  # which is not lossless
        stored = np.asarray(Image.open(BytesIO(saved(Image.fromarray(stored), ending))))
    expected = turns[orientation](stored)
    came = read_image(content, "RGB")
    assert np.array_equal(came, expected) and came.flags.writeable
    assert image_size(content) == (came.shape[1], came.shape[0])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_large_images_are_converted_in_strips(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (11, 5, 4), dtype=np.uint8)
    image = Image.fromarray(levels).convert("LA" if mode == "LA" else "RGBA")
    if mode == "I;16":
        image = Image.fromarray(257 * levels[..., 0].astype(np.uint16))
    elif mode not in ("LA", "RGBA"):
        image = image.convert("RGB").convert(mode)
    if mode == "P":
        image.info["transparency"] = 3
    content = saved(image, "tiff" if mode == "CMYK" else "png")
    whole = [read_image(content, wanted) for wanted in ("RGB", "L")]
    monkeypatch.setattr(image_files, "_STRIP_PIXELS", 10)
    for pixels, wanted in zip(whole, ("RGB", "L"), strict=True):
        np.testing.assert_array_equal(read_image(content, wanted), pixels)


def test_exif_data_that_cannot_be_written_again_turn_the_image() -> None:
    """Pillow's own turning writes them anew, and fails."""
    image = Image.fromarray(rgb())
    exif = image.getexif()
    exif[ORIENTATION], exif[ExifTags.Base.XResolution] = 6, "text"
    with pytest.raises(Exception):  # noqa: B017 (any error of Pillow)
        exif.tobytes()
    np.testing.assert_array_equal(upright_rgb(image), np.rot90(rgb(), -1))


def test_damaged_exif_data_leave_the_image_as_it_is() -> None:
    content = saved(Image.fromarray(rgb()), "png", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert np.array_equal(read_image(content, "RGB"), rgb()) and image_size(content) == (WIDTH, HEIGHT)


def test_16_bits_become_8_by_their_full_range() -> None:
    grey = noise(HEIGHT, WIDTH, most=65536).astype(np.uint16)
    grey[0, :3] = (0, 32768, 65535)
    content = saved(Image.fromarray(grey))
    expected = np.rint(grey / 257)
    assert np.array_equal(read_image(content, "L"), expected)
    assert np.array_equal(read_image(content, "RGB"), expected[..., None].repeat(3, 2))
    stored = read_image(content)
    assert stored.dtype == np.uint16 and np.array_equal(stored, grey)
    assert np.array_equal(read_image(saved(Image.fromarray(grey), "tiff"), "L"), expected)


def test_colours_of_16_bits_are_not_all_white() -> None:
    levels = noise(HEIGHT, WIDTH, 3, most=65536)
    came = read_image(png16(levels, colour=2), "RGB")
    assert came.shape == levels.shape and np.abs(came - levels / 257).max() <= 1
    with_alpha = np.dstack([levels, np.full((HEIGHT, WIDTH), 65535)])
    assert np.abs(read_image(png16(with_alpha, colour=6), "RGB") - levels / 257).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("ending", ["png", "webp"])
def test_transparent_pixels_are_seen_over_white(mode: str, ending: str) -> None:
    if ending == "webp" and mode != "RGBA":
        pytest.skip("WebP has RGBA alone")
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[..., :3] = 100
    pixels[0, :, 3] = (255, 0, 51)
    image = Image.fromarray(pixels)
    expected = [100, 255, 224]
    if mode == "P":
        image, expected = Image.new("P", (3, 1)), [255, 255, 255]
        image.putpalette([100] * 3)
    elif mode == "LA":
        image = image.convert("LA")
    options = {"lossless": True} if ending == "webp" else {"transparency": 0} if mode == "P" else {}
    content = saved(image, ending, **options)
    assert read_image(content, "RGB")[0, :, 1].tolist() == expected
    assert read_image(content, "L")[0].tolist() == expected


def test_cmyk_bilevel_and_palette_images_are_converted() -> None:
    colour = Image.new("RGB", (8, 8), (200, 60, 30))
    assert (
        np.abs(read_image(saved(colour.convert("CMYK"), "jpeg", quality=95), "RGB") - [200, 60, 30]).max()
        <= 4
    )
    assert np.array_equal(read_image(saved(colour.convert("CMYK"), "tiff"), "RGB"), np.asarray(colour))
    assert np.array_equal(read_image(saved(colour.quantize(2)), "RGB"), np.asarray(colour))
    assert set(np.unique(read_image(saved(Image.new("1", (8, 8), 1)), "RGB"))) == {255}
    assert read_image(saved(colour.quantize(2))).shape == (8, 8, 3)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_pixels_of_32_bits_are_refused(mode: str) -> None:
    with pytest.raises(OSError, match=r"^pixels are .* of 32 bits, expected 8 or 16 bits a channel$"):
        read_image(saved(Image.new(mode, (4, 4)), "tiff"), "RGB")


@pytest.mark.filterwarnings("error")
def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    content = png(60_000, 60_000, 8, 2, bytes(1000))
    tracemalloc.start()
    for read in (image_size, read_image, lambda source: read_image(source, "RGB")):
        with pytest.raises(OSError, match=r"^its header announces more than \d+ pixels$"):
            read(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24
    assert image_size(png(10_000, 10_000, 8, 2, bytes(100))) == (10_000, 10_000)  # Pillow only warns


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", ": it is empty"),
        (b"nothing", ""),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", ""),
        (b"GIF89a" + bytes(100), ": it is a GIF"),
        (b"\0\0\0\x18ftypheic" + bytes(99), ": it is a HEIC or AVIF image: convert it to JPEG"),
        (b"\0\0\0\x18ftypisom" + bytes(99), ": it is a film (MP4 or MOV)"),
        (b"\x1a\x45\xdf\xa3" + bytes(99), ": it is a film (Matroska or WebM)"),
        (b"%PDF-1.7\n", ": it is a PDF document"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            ": it is a Git LFS pointer; 'git lfs pull' fetches the file",
        ),
        (b"<!DOCTYPE html>", ": it is a web page, perhaps of a failed download"),
        (b"\x89PNG nothing", ""),
    ],
)
def test_other_files_are_refused_in_one_line(content: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(content)
    for read in (image_size, read_image):
        for source in (content, tmp_path / "image.png"):
            expected = rf"^no PNG, JPEG, WebP, BMP or TIFF data{re.escape(kind)}( itself)?$"
            with pytest.raises(OSError, match=expected):
                read(source)


def test_a_missing_file_stays_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "none.png")


@pytest.mark.parametrize(("compression", "first", "last"), [("tiff_deflate", 9, 20), ("tiff_lzw", 200, 240)])
def test_damaged_pixels_of_a_tiff_are_an_error_and_nothing_else_is_said(
    compression: str, first: int, last: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "TIFF", compression=compression)
    content = bytearray(buffer.getvalue())
    content[first:last] = b"\xff" * (last - first)
    (tmp_path / "a.tif").write_bytes(content)
    for source in (bytes(content), tmp_path / "a.tif"):
        with pytest.raises(OSError, match="decoder error"):
            read_image(source)
    assert capfd.readouterr().err == ""


def test_pixels_of_a_png_whose_checksum_is_wrong_are_an_error(tmp_path: Path) -> None:
    content = bytearray(saved(Image.fromarray(noise(64, 64, 3).astype(np.uint8))))
    content[300:302] = bytes(255 - byte for byte in content[300:302])
    (tmp_path / "a.png").write_bytes(content)
    for source in (bytes(content), tmp_path / "a.png"):
        with pytest.raises(OSError, match="damaged: the checksum of a part IDAT is wrong"):
            read_image(source)
