"""MATLAB files: the one reader of .mat files, of MATLAB 5 (SciPy) and 7.3 (HDF5, with the optional package h5py).

Only the variables that a caller names are read. Kind and shape of each are known from its header, so that a variable
that is too large for memory, sparse, empty or no array is refused before anything is allocated.
"""

import io
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from anifacegan.runtime.errors import InputError, first_line
from anifacegan.runtime.file_kinds import foreign_face_model, foreign_kind
from anifacegan.runtime.files import numeric_order
from anifacegan.runtime.mat_elements import complex_names, require_whole
from anifacegan.runtime.paths import require_file

MOST_VALUES = 2**26
"""Largest number of values of a variable: 512 MB of float64. The largest basis of the Basel face model has 8.6
million."""
_NUMBERS = ("double", "single", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
_HDF5 = b"\x89HDF\r\n\x1a\n"
_HDF5_START = 512
"""Position of HDF5's signature in MATLAB's files, after a header in text."""
_NEEDS_H5PY = (
    "is a MATLAB 7.3 file, expected the package h5py (pip install h5py, the extra 'mat73') or, "
    "saved again in MATLAB, save('NAME.mat', ..., '-v7')"
)


def is_mat_file(name: str) -> bool:
    """Return whether a file is a .mat file by its name's ending, in lower or upper case."""
    return name.lower().endswith(".mat")


def mat_files_in_order(folder: Path) -> list[Path]:
    """Return the .mat files in a folder, numbers in numeric order; hidden files are left out."""
    names = [
        path.name for path in folder.iterdir() if is_mat_file(path.name) and not path.name.startswith(".")
    ]
    return [folder / name for name in sorted(names, key=numeric_order)]


class MatFile:
    """An open .mat file, whose variables are listed but not read yet.

    Attributes:
        path: its name in error messages.
        names: names of its variables, in alphabetical order.
    """

    def __init__(self, path: Path, variables: dict[str, tuple[tuple[int, ...], str]], source: Any) -> None:
        self.path = path
        self.names = tuple(sorted(variables))
        self._variables, self._source = variables, source

    def __contains__(self, name: object) -> bool:
        return name in self._variables

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a variable; it is not read."""
        return self._variables[name][0]

    def arrays(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Read arrays of real numbers.

        Raises:
            InputError: a variable is missing, empty, sparse, complex, too large, or no array of numbers, or the file is
                damaged.
        """
        names = list(names)
        for name in names:
            self._require(name, _NUMBERS, "numbers")
        values = self._read(names)
        for name, value in values.items():
            if value.dtype.kind not in "fiu":
                raise InputError(f"{self.path}: key '{name}' is {value.dtype}, expected real numbers")
        return values

    def text(self, name: str) -> str:
        """Read a text.

        Raises:
            InputError: the variable is missing, empty or no text, or the file is damaged.
        """
        self._require(name, ("char",), "a text")
        return str(np.ravel(self._read([name])[name])[0])

    def _require(self, name: str, kinds: tuple[str, ...], expected: str) -> None:
        if name not in self._variables:
            found = ", ".join(self.names) or "nothing"
            raise InputError(f"{self.path}: no '{name}' in the file (it holds {found})")
        shape, kind = self._variables[name]
        if kind not in kinds:
            raise InputError(f"{self.path}: key '{name}' is a MATLAB {kind}, expected {expected}")
        count = math.prod(shape)
        if count == 0:
            raise InputError(f"{self.path}: key '{name}' is empty (shape {shape}), expected {expected}")
        if count > MOST_VALUES:
            raise InputError(
                f"{self.path}: key '{name}' has shape {shape}, expected at most {MOST_VALUES} values"
            )

    def _read(self, names: list[str]) -> dict[str, np.ndarray]:
        with _damaged_as_input_error(self.path):
            if not isinstance(self._source, io.IOBase):
                return {name: _hdf5_value(self._source[name], self._variables[name][1]) for name in names}
            for name in complex_names(self._source, names):
                raise InputError(f"{self.path}: key '{name}' is complex, expected real numbers")
            self._source.seek(0)
            content = scipy.io.loadmat(self._source, variable_names=names)
            return {name: np.asarray(content[name]) for name in names}


@contextmanager
def opened_mat(
    path: Path, file: io.BufferedIOBase | None = None, expected: str = "a MATLAB file"
) -> Iterator[MatFile]:
    """Open a .mat file and list its variables.

    If ``file`` is given, for example an entry of a zip, it is read, and ``path`` is only its name in messages;
    ``expected`` is the end of the message about a file of another kind.

    Raises:
        InputError: the file is missing, is no MATLAB file, or is a MATLAB 7.3 file and h5py is not installed.
    """
    if file is None:
        require_file(path, "a .mat file")
    try:
        stream = path.open("rb") if file is None else file
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}), expected a .mat file"
        ) from None
    with stream:
        head = stream.read(_HDF5_START + len(_HDF5))
        kind = foreign_face_model(head, stream) or foreign_kind(head, b"MATLAB", _HDF5[:4])
        stream.seek(0)
        if kind is not None:
            raise InputError(f"{path}: {kind}, expected {expected}")
        if head.startswith((_HDF5, b"MATLAB 7.3")) or head[_HDF5_START:] == _HDF5:
            with _opened_hdf5(path, stream) as source:
                yield MatFile(path, dict(_hdf5_variables(path, source)), source)
            return
        with _damaged_as_input_error(path, expected):
            listed = scipy.io.whosmat(stream)
            require_whole(stream)
        yield MatFile(path, {name: (tuple(shape), kind) for name, shape, kind in listed}, stream)


@contextmanager
def _damaged_as_input_error(path: Path, expected: str = "a MATLAB file") -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # SciPy and h5py raise many kinds for a broken file
        raise InputError(
            f"{path}: not a readable MATLAB file ({first_line(error)}), expected {expected}"
        ) from None


@contextmanager
def _opened_hdf5(path: Path, stream: io.BufferedIOBase) -> Iterator[Any]:
    try:
        import h5py
    except ImportError:
        raise InputError(f"{path}: {_NEEDS_H5PY}") from None
    with _damaged_as_input_error(path, "MATLAB 7.3's layout"):
        source = h5py.File(stream, "r")
    with source:
        yield source


def _hdf5_variables(path: Path, source: Any) -> Iterator[tuple[str, tuple[tuple[int, ...], str]]]:
    """List name, shape as MATLAB shows it, and kind of the variables of a MATLAB 7.3 file."""
    with _damaged_as_input_error(path):
        for name in source:
            if name.startswith("#"):  # what cells and structures refer to
                continue
            item = source[name]
            kind = item.attrs.get("MATLAB_class", b"struct")
            kind = kind.decode() if isinstance(kind, bytes) else str(kind)
            if "MATLAB_sparse" in item.attrs or not hasattr(item, "shape"):
                yield name, ((1, 1), "sparse" if "MATLAB_sparse" in item.attrs else "struct")
            elif item.attrs.get("MATLAB_empty", 0):
                yield name, ((0, 0), kind)
            else:
                yield name, (tuple(reversed(item.shape)), kind)


def _hdf5_value(item: Any, kind: str) -> np.ndarray:
    value = np.asarray(item[()]).T  # MATLAB's axes are in the opposite order
    if kind == "char":
        return np.array(["".join(map(chr, value.ravel(order="F")))])
    return value
