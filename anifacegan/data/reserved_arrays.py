"""Large arrays that are written to disk piece by piece, and checksums that tell whether they have changed since."""

import os
import zlib
from pathlib import Path

import numpy as np

from anifacegan.runtime.files import not_writable_error


def reserved_array(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.memmap:
    """Create a memory-mapped array and reserve its disk space, because a full disk would kill the process later.

    Raises:
        InputError: the file cannot be written, or the disk is full.
    """
    path.unlink(missing_ok=True)  # it may be a link that other runs share
    try:
        array = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)
        if hasattr(os, "posix_fallocate"):  # Linux and BSD
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise not_writable_error(path, error) from None
    return array


def checksum(array: np.ndarray) -> int:
    """Return the CRC-32 of an array's numbers, row by row, so that a memory-mapped one is not copied at once.

    It finds accidental damage, at more than a gigabyte a second; it is no protection against intent.
    """
    value = 0
    for row in array:
        value = zlib.crc32(np.ascontiguousarray(row), value)
    return value
