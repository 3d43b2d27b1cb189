"""Photographs of many kinds are read alike, and what is none is refused in one line."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from anifacegan.capture.photographs import labelled_photograph, photograph_files, read_photograph
from anifacegan.runtime.errors import InputError


def test_exif_rotation_is_obeyed(tmp_path: Path) -> None:
    image = Image.fromarray(np.zeros((4, 8, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_photograph(tmp_path / "turned.jpg").shape == (8, 4, 3)


@pytest.mark.parametrize(
    ("mode", "ending", "value", "expected"),
    [
        ("L", "png", 100, 100),
        ("RGBA", "png", (0, 0, 0, 0), 255),
        ("CMYK", "tif", (0, 0, 0, 0), 255),
        ("P", "bmp", 0, 0),
        ("RGB", "webp", (255, 255, 255), 255),
    ],
)
def test_kinds_of_images(
    mode: str, ending: str, value: int | tuple[int, ...], expected: int, tmp_path: Path
) -> None:
    path = tmp_path / f"image.{ending}"
    Image.new(mode, (6, 5), value).save(path)
    pixels = read_photograph(path)
    assert pixels.shape == (5, 6, 3) and pixels.dtype == np.uint8
    assert (pixels == expected).all()


def test_sixteen_bits_are_reduced(tmp_path: Path) -> None:
    Image.fromarray(np.full((3, 3), 65535, np.uint16)).save(tmp_path / "deep.png")
    assert (read_photograph(tmp_path / "deep.png") == 255).all()


def test_no_image_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not an image")
    with pytest.raises(InputError, match=r"text\.jpg: cannot be read"):
        read_photograph(tmp_path / "text.jpg")


def test_a_folder_gives_its_photographs_in_numeric_order(tmp_path: Path) -> None:
    for name in ("face10.png", "face2.PNG", "face1.png", "notes.txt", ".hidden.png"):
        (tmp_path / name).write_bytes(b"")
    assert [file.name for file in photograph_files(tmp_path)] == ["face1.png", "face2.PNG", "face10.png"]


def test_what_is_left_out_of_a_folder_is_counted_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("b.HEIC", "c.heic", "d.gif", "e.avif", "notes.txt", ".hidden.gif"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "f.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "g.jpg").symlink_to(tmp_path / "g.jpg")
    (tmp_path / "notes").symlink_to(tmp_path / "gone")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "h.png")
    counts = "1 .avif, 1 .gif, 2 .heic, 2 broken links, 1 pipe"
    with pytest.raises(InputError, match=rf": no photographs in the folder \({counts}: not read\), expected"):
        photograph_files(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    assert [file.name for file in photograph_files(tmp_path)] == ["a.png"]
    assert capsys.readouterr().err == f"{tmp_path}: left out: {counts} (not read)\n"


def test_a_folder_without_photographs_and_equal_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no photographs in the folder"):
        photograph_files(tmp_path)
    for name in ("a.png", "a.jpg"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match="more than one photograph 'a'"):
        photograph_files(tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        photograph_files(tmp_path / "nothing")


def test_a_pipe_is_named_as_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png: is a pipe, socket or device, expected a photograph"):
        photograph_files(tmp_path / "a.png")


RGB = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
CLEAR = np.zeros((4, 5, 1), np.uint8)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (RGB, RGB),
        (np.asfortranarray(RGB), RGB),
        (torch.from_numpy(RGB), RGB),
        (torch.from_numpy(RGB).permute(1, 0, 2), RGB.transpose(1, 0, 2)),
        (Image.fromarray(RGB), RGB),
        (RGB[..., 0], np.repeat(RGB[..., :1], 3, axis=2)),
        (RGB[..., :1], np.repeat(RGB[..., :1], 3, axis=2)),
        (np.concatenate([RGB, CLEAR + 255], axis=2), RGB),
        (np.concatenate([RGB, CLEAR], axis=2), np.full_like(RGB, 255)),
        (Image.fromarray(np.concatenate([RGB, CLEAR], axis=2)), np.full_like(RGB, 255)),
        (Image.fromarray(np.full((4, 5), 65535, np.uint16)), np.full_like(RGB, 255)),
    ],
)
def test_pixels_are_a_photograph_as_a_file_is(given: object, expected: np.ndarray) -> None:
    pixels, label = labelled_photograph(given)
    assert pixels.dtype == np.uint8 and pixels.flags["C_CONTIGUOUS"] and label == Path("photograph")
    assert np.array_equal(pixels, expected)


def test_an_image_of_pillow_is_turned_upright_and_stays_as_it_is() -> None:
    image = Image.fromarray(RGB)
    image.getexif()[0x0112] = 6
    assert labelled_photograph(image)[0].shape == (5, 4, 3) and image.size == (5, 4)


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (RGB / 255.0, r"photograph is float64 of shape \(4, 5, 3\), expected a file"),
        (torch.rand(4, 5, 3), r"float32 of shape \(4, 5, 3\)"),
        (RGB > 9, r"bool of shape"),
        (RGB.astype(np.uint16), r"uint16 of shape"),
        (RGB.astype(object), r"object of shape"),
        (RGB[None], r"uint8 of shape \(1, 4, 5, 3\)"),
        (RGB.transpose(2, 0, 1), r"uint8 of shape \(3, 4, 5\)"),
        (RGB[:0, :0], r"uint8 of shape \(0, 0, 3\)"),
        (np.broadcast_to(np.uint8(0), (20_000, 10_000)), r"at most \d+ pixels"),
        (RGB[0, 0], r"uint8 of shape \(3,\)"),
        (RGB.tolist(), "photograph is a list, expected a file"),
        (None, "photograph is a NoneType"),
        (np.ma.array(RGB, mask=RGB > 9), "photograph has masked pixels"),
        (torch.zeros(4, 5, 3, dtype=torch.uint8, device="meta"), "tensor without numbers"),
        (7, "photograph is a int"),
        (b"photo.jpg", "photograph is a bytes"),
        ("", "photograph is '', expected a file"),
        (Image.new("F", (4, 4)), "pixels are floats of 32 bits"),
        (Image.new("RGB", (0, 4)), "it is 0 x 4 pixels"),
    ],
)
def test_what_is_no_photograph_is_one_line(given: object, part: str) -> None:
    with pytest.raises(InputError, match=part) as refused:
        labelled_photograph(given)
    assert "\n" not in str(refused.value)


def test_an_image_of_pillow_whose_file_is_damaged_is_one_line(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "a.jpg")
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2])
    with Image.open(tmp_path / "a.jpg") as image, pytest.raises(InputError, match="cannot be read"):
        labelled_photograph(image)
