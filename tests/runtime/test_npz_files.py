"""NumPy's archives from strangers."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from anifacegan.runtime.npz_files import read_npz
from tests.fixtures.one_line import assert_one_line


def test_arrays_come_back(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", a=np.arange(3), b=np.array("text"))
    arrays = read_npz(tmp_path / "a.npz", "arrays")
    assert arrays["a"].tolist() == [0, 1, 2] and str(arrays["b"]) == "text"
    assert list(read_npz(tmp_path / "a.npz", "arrays", ["b"])) == ["b"]
    assert_one_line(
        lambda: read_npz(tmp_path / "a.npz", "arrays", ["c"]), "no 'c' in the file (it holds a, b)"
    )


def entry(shape: tuple[int, ...], kind: str = "<f4", values: int = 4) -> bytes:
    """The bytes of an .npy whose header may announce more than it holds."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"shape": shape, "fortran_order": False, "descr": kind})
    return buffer.getvalue() + bytes(4 * values)


@pytest.mark.parametrize(
    ("content", "message"),
    {
        "large shape": (entry((10**6, 10**6)), "announces shape"),
        "negative shape": (entry((-4,)), "announces shape"),
        "objects": (entry((4,), "|O"), "holds Python objects"),
        "no header": (b"text", "not a readable .npz"),
        "nothing": (b"", "not a readable .npz"),
    }.values(),
)
def test_an_array_that_is_not_what_it_says_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", content)
    assert_one_line(lambda: read_npz(tmp_path / "a.npz", "arrays"), str(tmp_path / "a.npz"), message)


def test_a_small_archive_of_something_large_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("a.npy", "w", force_zip64=True) as file:
            for _ in range(1040):
                file.write(bytes(2**20))
    assert (tmp_path / "a.npz").stat().st_size < 2**21
    assert_one_line(lambda: read_npz(tmp_path / "a.npz", "arrays"), "expected at most")


def test_an_encrypted_or_damaged_archive_is_refused(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.arange(1000))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    for change in ({6: 1}, {8: 99}, {200: content[200] ^ 255}):
        changed = bytearray(content)
        for place, value in change.items():
            changed[place] = value
            directory = content.index(b"PK\x01\x02")
            if place < 10:
                changed[directory + place + 2] = value
        (tmp_path / "b.npz").write_bytes(changed)
        assert_one_line(lambda: read_npz(tmp_path / "b.npz", "arrays"), "not a readable .npz")
