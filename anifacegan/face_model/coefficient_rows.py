"""Arrays of face coefficients in .mat files, whichever of the layouts that are in use a file has.

A file has a variable for each kind of coefficients, as Deep3DFaceRecon writes it for PyTorch, or all kinds side by side
in one variable, as its version for TensorFlow and PIRenderer have it. In both layouts a row is a face, and the rows of
a sequence are its frames.
"""

import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anifacegan.geometry.conventions import EXP_DIM, ID_DIM, LIGHT_DIM, NOISE_DIM, TEX_DIM
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.mat_files import MatFile, opened_mat
from anifacegan.runtime.resources import located

SHAPES: Mapping[str, tuple[int, ...]] = {
    "id": (ID_DIM,),
    "exp": (EXP_DIM,),
    "tex": (TEX_DIM,),
    "angle": (3,),
    "gamma": (LIGHT_DIM,),
    "trans": (3,),
    "lm68": (68, 2),
    "pose": (2,),
    "noise": (NOISE_DIM,),
}
"""Shape of one face's coefficients, by key."""
LARGEST = 1e6
"""Largest absolute value of a coefficient that is read; pixels, the largest that trackers write, stay below 1,000."""
OWN_KEYS = ("pose", "noise")
"""Keys that only this project's files have."""
COLUMNS = ("id", "exp", "tex", "angle", "gamma", "trans")
"""Keys whose coefficients lie side by side, in this order, in the single variable of the other layout; a file that has
all of them, but does not name its face model, is Deep3DFaceRecon's."""
WIDTH = sum(SHAPES[key][0] for key in COLUMNS)
"""Number of columns of the single variable, 257."""
SINGLE_VARIABLES = ("coeff", "coeff_3dmm")
"""Names of the single variable in files of other programs."""


@dataclass(frozen=True)
class CoefficientRows:
    """Coefficients of one face or of a sequence of faces."""

    arrays: dict[str, np.ndarray]
    """(N, ...) float32 arrays by key, a row for each face."""
    face_model: str | None
    """Name of the face model in the file; None if the file does not name it."""
    is_reconstruction: bool
    """Whether the file is recognised as Deep3DFaceRecon's, whose coefficients are those of the Basel face model."""


def read_rows(
    path: Path, required: Iterable[str], optional: Iterable[str] = (), file: io.BufferedIOBase | None = None
) -> CoefficientRows:
    """Read coefficients of the required keys, and of the optional ones that the file has.

    If ``file`` is given, for example an entry of a zip, it is read, and ``path`` is only its name in messages. The
    single variable of 257 columns has no landmarks: ``lm68`` is left out of its result even if it is required.

    Raises:
        InputError: the file is missing or no MATLAB file; a required key is missing; an array is misshaped, empty,
            sparse, too large or not finite; or two arrays have different numbers of rows.
    """
    if file is None:
        path = located(path, "a .mat with face coefficients")
    with opened_mat(path, file) as mat:
        name = mat.text("face_model") if "face_model" in mat else None
        single = next((key for key in SINGLE_VARIABLES if key in mat and "exp" not in mat), None)
        if single is not None:
            arrays = _columns_of(mat, single)
            wanted = {*required, *optional}
            arrays = {key: rows for key, rows in arrays.items() if key in wanted}
            return CoefficientRows(arrays, name, name is None)
        keys = [*required, *(key for key in optional if key in mat)]
        for key in keys:
            if key not in mat:
                held = ", ".join(mat.names) or "nothing"
                raise InputError(
                    f"{path}: no '{key}' in the file (it holds {held}), expected shape {(1, *SHAPES[key])}"
                )
        arrays = {key: _rows(path, key, value, SHAPES[key]) for key, value in mat.arrays(keys).items()}
        is_reconstruction = name is None and all(key in mat for key in COLUMNS)
    counts = {len(rows) for rows in arrays.values()}
    if len(counts) > 1:
        lengths = ", ".join(f"'{key}' {len(rows)}" for key, rows in arrays.items())
        raise InputError(f"{path}: arrays of different numbers of rows ({lengths}), expected one row a face")
    return CoefficientRows(arrays, name, is_reconstruction)


def _columns_of(mat: MatFile, single: str) -> dict[str, np.ndarray]:
    joint = _rows(mat.path, single, mat.arrays([single])[single], (WIDTH,))
    ends = np.cumsum([SHAPES[key][0] for key in COLUMNS])
    return dict(zip(COLUMNS, np.split(joint, ends[:-1], axis=1), strict=True))


def _rows(path: Path, key: str, value: np.ndarray, expected: tuple[int, ...]) -> np.ndarray:
    """Return an array as float32 with a row for each face; axes of length 1 may stand anywhere.

    Raises:
        InputError: the shape is neither that of one face, a row or a column, nor that of a row for each face; or a
            value is not finite.
    """
    shape = tuple(length for length in value.shape if length != 1)
    one = shape == expected or (len(shape) < 2 and value.size == math.prod(expected))
    if not one and shape[1:] != expected:
        rows = ", ".join(map(str, ("N", *expected)))
        raise InputError(
            f"{path}: '{key}' has shape {value.shape} of {value.dtype}, expected {(1, *expected)} numbers, "
            f"or ({rows}) of N frames"
        )
    with np.errstate(over="ignore"):  # too large for float32: not finite, below
        array = np.asarray(value, np.float32).reshape(-1, *expected)
    if not np.isfinite(array).all():
        raise InputError(f"{path}: '{key}' has {int((~np.isfinite(array)).sum())} values that are not finite")
    if (largest := np.abs(array).max(initial=0)) > LARGEST:
        raise InputError(f"{path}: '{key}' has a number of size {largest:.3g}, expected at most {LARGEST:g}")
    return array
