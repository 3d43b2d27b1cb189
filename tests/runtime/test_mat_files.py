"""MATLAB files of every version: only named variables are read, and nothing large is allocated for a bad one."""

import io
import struct
import sys
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import scipy.sparse

from anifacegan.runtime.mat_files import is_mat_file, opened_mat
from tests.fixtures.mat73 import save_mat73
from tests.fixtures.one_line import assert_one_line


def array_of(path: Path, name: str = "exp") -> np.ndarray:
    with opened_mat(path) as mat:
        return mat.arrays([name])[name]


@pytest.mark.parametrize("version", ["4", "5", "5 compressed", "7.3"])
def test_every_version_gives_the_same_arrays(version: str, tmp_path: Path) -> None:
    path, values = tmp_path / "a.mat", np.arange(12.0).reshape(3, 4)
    if version == "7.3":
        pytest.importorskip("h5py")
        save_mat73(path, exp=values, face_model="open")
    else:
        scipy.io.savemat(
            path, {"exp": values, "face_model": "open"}, format=version[0], do_compression="comp" in version
        )
    with opened_mat(path) as mat:
        assert mat.names == ("exp", "face_model") and mat.shape("exp") == (3, 4) and "id" not in mat
        assert np.array_equal(mat.arrays(["exp"])["exp"], values) and mat.text("face_model") == "open"


def test_the_ending_is_read_in_upper_case_and_is_never_added(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "SMILE.MAT", {"exp": np.ones((1, 3))}, appendmat=False)
    assert array_of(tmp_path / "SMILE.MAT").shape == (1, 3)
    assert is_mat_file("SMILE.MAT") and not is_mat_file("mat")
    assert_one_line(lambda: array_of(tmp_path / "SMILE"), "SMILE: no such file")


BAD = {
    "sparse": (scipy.sparse.csc_matrix(np.eye(3)), "key 'exp' is a MATLAB sparse, expected numbers"),
    "empty": (np.zeros((0, 64)), "key 'exp' is empty (shape (0, 64))"),
    "text": ("neutral", "key 'exp' is a MATLAB char, expected numbers"),
    "structure": ({"a": 1.0}, "key 'exp' is a MATLAB struct, expected numbers"),
    "cell": (np.array([[1.0], "a"], dtype=object), "key 'exp' is a MATLAB cell, expected numbers"),
    "complex": (np.ones((1, 3)) * 1j, "key 'exp' is complex, expected real numbers"),
}


@pytest.mark.parametrize(("value", "message"), BAD.values(), ids=BAD.keys())
def test_what_is_no_array_of_numbers_is_named(value: object, message: str, tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"exp": value, "fine": np.ones((1, 2))})
    assert_one_line(lambda: array_of(tmp_path / "a.mat"), f"{tmp_path / 'a.mat'}: ", message)
    assert array_of(tmp_path / "a.mat", "fine").tolist() == [[1, 1]]


def test_a_missing_variable_says_what_there_is(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"id": 1.0, "tex": 2.0})
    assert_one_line(lambda: array_of(tmp_path / "a.mat"), "no 'exp' in the file (it holds id, tex)")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_that_was_cut_off_is_damaged_and_not_without_the_variable(
    compressed: bool, tmp_path: Path
) -> None:
    rng, path = np.random.default_rng(0), tmp_path / "a.mat"
    variables = {"id": rng.normal(size=(1, 80)), "exp": rng.normal(size=(1, 64))}
    scipy.io.savemat(path, variables, do_compression=compressed)
    whole = path.read_bytes()
    for length in (130, 400, len(whole) - 300, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert_one_line(lambda: array_of(path), "a.mat: not a readable MATLAB file (")


def bomb(path: Path, rows: int) -> Path:
    """A small file with a compressed variable of ``rows`` x 64 zeros; of a large one only the first are there."""
    data = 8 * 64 * rows
    name = struct.pack("<HH4s", 1, 3, b"exp\0")
    head = struct.pack("<IIII", 6, 8, 6, 0) + struct.pack("<IIii", 5, 8, rows, 64) + name
    packer = zlib.compressobj(9)
    packed = packer.compress(
        struct.pack("<II", 14, len(head) + 8 + data) + head + struct.pack("<II", 9, data)
    )
    packed += packer.compress(bytes(min(data, 2**20))) + packer.flush()
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<HH", 0x0100, 0x4D49)
    path.write_bytes(header + struct.pack("<II", 15, len(packed)) + packed)
    return path


def test_a_variable_too_large_for_memory_is_refused_before_it_is_allocated(tmp_path: Path) -> None:
    assert np.array_equal(array_of(bomb(tmp_path / "small.mat", 5)), np.zeros((5, 64)))
    path = bomb(tmp_path / "large.mat", 2**20 + 1)
    assert path.stat().st_size < 2**20
    tracemalloc.start()
    assert_one_line(
        lambda: array_of(path), "key 'exp' has shape (1048577, 64), expected at most 67108864 values"
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


def test_a_large_variable_that_nobody_asked_for_is_not_read(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"image": np.zeros((1000, 1000)), "exp": np.ones((1, 2))})
    tracemalloc.start()
    array_of(tmp_path / "a.mat")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


OTHERS = {
    "empty": (b"", "is empty"),
    "npy": (b"\x93NUMPY\x01\0" + bytes(100), "is a NumPy array"),
    "npz": (b"PK\x03\x04" + bytes(100), "is a zip archive"),
    "pickle": (b"\x80\x04\x95" + bytes(100), "is a Python pickle"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
    "text": (b"id exp tex\n" * 50, "not a readable MATLAB file"),
}


@pytest.mark.parametrize(("content", "message"), OTHERS.values(), ids=OTHERS.keys())
def test_files_of_other_kinds_say_what_they_are(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(content)
    assert_one_line(lambda: array_of(tmp_path / "a.mat"), f"a.mat: {message}")
    with io.BytesIO(content) as file:
        assert_one_line(
            lambda: opened_mat(Path("set.zip/a.mat"), file).__enter__(), f"set.zip/a.mat: {message}"
        )


HDF5_HEADER = (
    b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(384) + b"\x89HDF\r\n\x1a\n" + bytes(99)
)


def test_without_h5py_a_7_3_file_says_how_to_save_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mat").write_bytes(HDF5_HEADER)
    monkeypatch.setitem(sys.modules, "h5py", None)
    assert_one_line(
        lambda: array_of(tmp_path / "a.mat"), "a.mat: is a MATLAB 7.3 file", "pip install h5py", "-v7"
    )


def test_bad_variables_of_7_3_files_are_named(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = save_mat73(tmp_path / "a.mat", text="neutral")
    with h5py.File(path, "a") as file:
        file.create_dataset("huge", (64, 2**40), "f8", chunks=(64, 1024)).attrs["MATLAB_class"] = b"double"
        empty = file.create_dataset("empty", data=np.array([0, 64], np.uint64))
        empty.attrs["MATLAB_class"], empty.attrs["MATLAB_empty"] = b"double", 1
        sparse = file.create_group("sparse")
        sparse.attrs["MATLAB_class"], sparse.attrs["MATLAB_sparse"] = b"double", 3
        file.create_group("struct").attrs["MATLAB_class"] = b"struct"
        pair = np.zeros((3, 1), [("real", "f8"), ("imag", "f8")])
        file.create_dataset("pair", data=pair).attrs["MATLAB_class"] = b"double"
    for name, message in {
        "huge": "has shape (1099511627776, 64), expected at most",
        "empty": "is empty",
        "sparse": "is a MATLAB sparse",
        "struct": "is a MATLAB struct",
        "text": "is a MATLAB char",
        "pair": "expected real numbers",
    }.items():
        assert_one_line(lambda name=name: array_of(path, name), f"key '{name}'", message)
    (tmp_path / "b.mat").write_bytes(HDF5_HEADER)
    assert_one_line(lambda: array_of(tmp_path / "b.mat"), "b.mat: not a readable MATLAB file")
