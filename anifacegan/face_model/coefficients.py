"""Coefficient files: what a face is described by, in the .mat layout of Deep3DFaceRecon (method, section 3)."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.io

from anifacegan.geometry.conventions import EXP_DIM, ID_DIM, LIGHT_DIM, NOISE_DIM, TEX_DIM
from anifacegan.runtime.errors import InputError, first_line
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.resources import located

OPEN_FACE_MODEL = "anifacegan-open-3"
"""Name of the open face model, as coefficient files and model cards hold it."""
BFM = "bfm09"
"""Name of the Basel face model with Deep3DFaceRecon's bases."""

_SHAPES = {
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
_OPTIONAL = ("pose", "noise")


@dataclass(frozen=True)
class FaceCoefficients:
    """One face: who, which expression, seen from where, in which light. All arrays are float32."""

    id: np.ndarray
    """(80,) identity."""
    exp: np.ndarray
    """(64,) expression; zero is neutral."""
    tex: np.ndarray
    """(80,) texture."""
    angle: np.ndarray
    """(3,) pitch, yaw, roll in radians."""
    gamma: np.ndarray
    """(27,) spherical-harmonics light, 9 for each colour."""
    trans: np.ndarray
    """(3,) translation in model units."""
    lm68: np.ndarray
    """(68, 2) landmarks in pixels of a 224 px frame, y up."""
    pose: np.ndarray | None = None
    """(2,) exact pitch and yaw of the generator's camera, relative to frontal; our own data only."""
    noise: np.ndarray | None = None
    """(80,) the appearance code of a synthetic person; our own data only."""
    face_model: str | None = None
    """Name of the face model whose bases the coefficients belong to; None where the file does not say."""


def write_coefficients(path: Path, face: FaceCoefficients) -> None:
    """Write a .mat that Deep3DFaceRecon's readers understand; complete or not at all."""
    arrays: dict[str, object] = {}
    for key, shape in _SHAPES.items():
        value = getattr(face, key)
        if value is not None:
            arrays[key] = np.asarray(value, np.float32).reshape((1, *shape))
    if face.face_model is not None:
        arrays["face_model"] = face.face_model
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, arrays)
    content = bytearray(buffer.getvalue())
    content[:116] = b"MATLAB 5.0 MAT-file, written by anifacegan".ljust(
        116
    )  # scipy writes the date: not reproducible
    write_complete(path, bytes(content))


def read_coefficients(path: Path, file: io.BufferedIOBase | None = None) -> FaceCoefficients:
    """Read a whole Deep3DFaceRecon .mat (from ``file`` where it is given: an entry of a zip, say).

    Raises:
        InputError: the file is missing, is no MATLAB file, or a key is missing, misshaped or not finite.
    """
    content = _load(path, file)
    arrays = {key: _array(content, key, path) for key in _SHAPES if key in content or key not in _OPTIONAL}
    return FaceCoefficients(**arrays, face_model=_face_model(content))


def read_expression(path: Path) -> tuple[np.ndarray, str | None]:
    """The (64,) expression of a .mat, and the name of its face model where the file says one.

    Only ``exp`` has to be there.
    """
    content = _load(path)
    return _array(content, "exp", path), _face_model(content)


def read_pose(path: Path, pitch_offset: float) -> np.ndarray:
    """:func:`camera_angles` of a .mat, of which only ``pose`` or ``angle`` has to be there."""
    content = _load(path)
    if "pose" in content:
        return _array(content, "pose", path)
    return _relative_to_frontal(_array(content, "angle", path), pitch_offset)


def camera_angles(face: FaceCoefficients, pitch_offset: float) -> np.ndarray:
    """(2,) pitch and yaw of the generator's camera, radians relative to frontal, float32.

    ``pose`` where the face has it; otherwise its ``angle``, less the data set's pitch offset.
    """
    return _relative_to_frontal(face.angle, pitch_offset) if face.pose is None else face.pose


def _relative_to_frontal(angle: np.ndarray, pitch_offset: float) -> np.ndarray:
    return np.array([angle[0] - pitch_offset, angle[1]], np.float32)


def _load(path: Path, file: io.BufferedIOBase | None = None) -> dict:
    if file is None:
        path = located(path, "a .mat with face coefficients")
    try:
        return scipy.io.loadmat(file or str(path))
    except Exception as error:  # scipy raises many kinds for a broken file
        raise InputError(f"{path}: not a readable MATLAB 5 file ({first_line(error)})") from None


def _array(content: dict, key: str, path: Path) -> np.ndarray:
    expected = _SHAPES[key]
    if key not in content:
        found = ", ".join(sorted(k for k in content if not k.startswith("_"))) or "nothing"
        raise InputError(
            f"{path}: no '{key}' in the file (it holds {found}), expected shape {(1, *expected)}"
        )
    value = content[key]
    if value.dtype.kind not in "fiu" or value.size != np.prod(expected):
        raise InputError(
            f"{path}: '{key}' has shape {value.shape} of {value.dtype}, expected {(1, *expected)} numbers"
        )
    with np.errstate(over="ignore"):  # too large for float32: not finite, below
        value = np.asarray(value, np.float32).reshape(expected)
    if not np.isfinite(value).all():
        raise InputError(f"{path}: '{key}' has {int((~np.isfinite(value)).sum())} values that are not finite")
    return value


def _face_model(content: dict) -> str | None:
    value = content.get("face_model")
    return None if value is None else str(np.asarray(value).ravel()[0])


@dataclass(frozen=True)
class ExpressionBasis:
    """Named action units of a face model, and the linear map from their strengths to its coefficients."""

    names: tuple[str, ...]
    units_to_exp: np.ndarray
    """(64, unit) coefficients of one unit at full strength."""

    @property
    def known_names(self) -> list[str]:
        """Names that strengths can be given for, a pair of sides under one name."""
        return sorted({name.removesuffix("Left").removesuffix("Right") for name in self.names})

    def sides(self, name: str) -> list[int]:
        """Indices of the units that a name moves: one, or both sides where it names none; empty where it is unknown."""
        return [i for i, unit in enumerate(self.names) if unit in (name, f"{name}Left", f"{name}Right")]

    def from_strengths(self, strengths: dict[str, float]) -> np.ndarray:
        """(64,) coefficients of action units; a name without Left or Right moves both sides."""
        weights = np.zeros(len(self.names), np.float32)
        for name, strength in strengths.items():
            sides = self.sides(name)
            if not sides:
                raise InputError(f"expression '{name}' is not known; known are {', '.join(self.known_names)}")
            weights[sides] += strength
        return (self.units_to_exp @ weights).astype(np.float32)
