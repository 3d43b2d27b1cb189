"""Damaged tags of MATLAB files are refused before SciPy reads them; a type that it does not know ends the process."""

import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from anifacegan.runtime.mat_files import opened_mat
from tests.fixtures.one_line import assert_one_line

VALUES = np.arange(12.0).reshape(3, 4)


def read(path: Path, name: str = "exp") -> np.ndarray:
    with opened_mat(path) as mat:
        return mat.arrays([name])[name]


def tag_of_numbers(content: bytes) -> int:
    """Where the tag of 12 float64 numbers begins."""
    return content.index(struct.pack("<II", 9, 96))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("values", [VALUES, VALUES.astype(np.uint8), VALUES[:1, :1].astype(np.int16)])
def test_sound_files_are_read(tmp_path: Path, values: np.ndarray, compressed: bool) -> None:
    content = {"a_long_name_before_it": np.eye(40), "exp": values, "text": "words"}
    scipy.io.savemat(tmp_path / "a.mat", content, do_compression=compressed)
    np.testing.assert_array_equal(read(tmp_path / "a.mat"), values)
    with opened_mat(tmp_path / "a.mat") as mat:
        assert mat.text("text") == "words"


@pytest.mark.parametrize(
    ("type_and_size", "message"),
    [
        ((4105, 96), "numbers of an unknown type, 4105"),
        ((8, 96), "numbers of an unknown type, 8"),
        ((9, 88), "88 bytes of numbers for shape (3, 4)"),
        ((9, 2**31), "2147483648 bytes of numbers"),
        ((7, 96), "96 bytes of numbers for shape (3, 4)"),
    ],
)
def test_a_damaged_tag_is_refused(tmp_path: Path, type_and_size: tuple[int, int], message: str) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"exp": VALUES}, do_compression=False)
    content = bytearray((tmp_path / "a.mat").read_bytes())
    place = tag_of_numbers(bytes(content))
    content[place : place + 8] = struct.pack("<II", *type_and_size)
    (tmp_path / "a.mat").write_bytes(content)
    assert_one_line(lambda: read(tmp_path / "a.mat"), "a.mat", message)


def test_a_damaged_variable_that_is_not_asked_for_does_not_matter(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"other": VALUES, "exp": VALUES[:, :3]}, do_compression=False)
    content = bytearray((tmp_path / "a.mat").read_bytes())
    place = tag_of_numbers(bytes(content))
    content[place : place + 4] = struct.pack("<I", 4105)
    (tmp_path / "a.mat").write_bytes(content)
    np.testing.assert_array_equal(read(tmp_path / "a.mat"), VALUES[:, :3])
