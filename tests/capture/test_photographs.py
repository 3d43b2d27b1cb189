"""Photographs of many kinds are read alike, and what is none is refused in one line."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anifacegan.capture.photographs import photograph_files, read_photograph
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
