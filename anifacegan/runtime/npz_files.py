"""NumPy's archives (.npz): the one reader. Kinds and sizes are known from headers before anything is allocated."""

import math
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from anifacegan.runtime.errors import InputError, first_line
from anifacegan.runtime.file_kinds import ZIP, require_kind

MOST_BYTES = 2**30
"""Largest size of an array in a file; the largest of the open face model has 31 MB."""


def read_npz(path: Path, expected: str, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Read arrays of numbers or texts from an .npz file; ``names`` None reads all.

    Raises:
        InputError: the file is missing, damaged or of another kind; it lacks a name; an array is too large, or holds
            Python objects. The message ends with ``expected``.
    """
    require_kind(path, expected, ZIP)
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {name.removesuffix(".npy"): name for name in archive.namelist()}
            wanted = list(entries if names is None else names)
            missing = [name for name in wanted if name not in entries]
            if missing:
                held = ", ".join(sorted(entries)) or "nothing"
                raise InputError(
                    f"{path}: no '{missing[0]}' in the file (it holds {held}), expected {expected}"
                )
            return {name: _array(path, name, archive, entries[name]) for name in wanted}
    except InputError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise many kinds for a broken file
        reason = first_line(error)
        raise InputError(f"{path}: not a readable .npz ({reason}), expected {expected}") from None


def _array(path: Path, name: str, archive: zipfile.ZipFile, entry: str) -> np.ndarray:
    size = archive.getinfo(entry).file_size
    if size > MOST_BYTES:
        raise InputError(f"{path}: '{name}' has {size} bytes, expected at most {MOST_BYTES}")
    with archive.open(entry) as file:
        shape, dtype, begin = _header(file)
    if dtype.hasobject:
        raise InputError(f"{path}: '{name}' holds Python objects, expected numbers or texts")
    if math.prod(shape) * dtype.itemsize != size - begin:
        raise InputError(
            f"{path}: '{name}' announces shape {shape} of {dtype} but holds {size - begin} bytes"
        )
    with archive.open(entry) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _header(file: Any) -> tuple[tuple[int, ...], np.dtype, int]:
    """Return shape, type and the position of the first value of an array in a file."""
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read:
        raise ValueError(f"version {version} of NumPy's format")
    shape, _, dtype = read[version](file)
    return shape, dtype, file.tell()
