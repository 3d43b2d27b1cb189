"""Reader and writer of face coefficients in .mat files with the keys of Deep3DFaceRecon's."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from jaxtyping import Float

from anifacegan.face_model.coefficient_rows import COLUMNS, OWN_KEYS, SHAPES, read_rows
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import write_complete

OPEN_FACE_MODEL = "anifacegan-open-4"
"""Name of the open face model in coefficient files and model cards."""
BFM = "bfm09"
"""Name of the Basel face model with Deep3DFaceRecon's bases."""
MAT_TITLE = b"MATLAB 5.0 MAT-file, written by anifacegan".ljust(116)
"""The first bytes of each .mat file that this program writes."""


@dataclass(frozen=True)
class FaceCoefficients:
    """Coefficients of one face: identity, expression, texture, pose and light; all arrays are float32."""

    id: np.ndarray
    """(80,) identity coefficients."""
    exp: np.ndarray
    """(64,) expression coefficients; zero is the neutral expression."""
    tex: np.ndarray
    """(80,) texture coefficients."""
    angle: np.ndarray
    """(3,) Euler angles of the head: pitch, yaw, roll, radians."""
    gamma: np.ndarray
    """(27,) spherical-harmonics light, nine numbers for each of red, green and blue."""
    trans: np.ndarray
    """(3,) translation of the head, model units."""
    lm68: np.ndarray | None
    """(68, 2) landmarks: pixel coordinates (x right, y down, integers at pixel centres) of a 224 px image, whatever the
    size of the face's image; None if the file has none, as those of 257 columns."""
    pose: np.ndarray | None = None
    """(2,) pitch and yaw of the generator's camera, radians relative to frontal; in files of synthetic images only."""
    noise: np.ndarray | None = None
    """(80,) latent of hair, clothes, background and light; in files of synthetic images only."""
    face_model: str | None = None
    """Name of the face model to whose bases the coefficients belong; None if the file does not name its face model."""


def write_coefficients(path: Path, face: FaceCoefficients) -> None:
    """Write a .mat file with the keys and units of Deep3DFaceRecon's, atomically."""
    write_sequence(path, [face])


def write_sequence(
    path: Path, faces: Sequence[FaceCoefficients], **columns: Float[np.ndarray, " row"]
) -> None:
    """Write a .mat file with a row for each face, as the frames of a film, atomically; see :func:`mat_content`."""
    write_complete(path, mat_content(faces, **columns))


def mat_content(faces: Sequence[FaceCoefficients], **columns: Float[np.ndarray, " row"]) -> bytes:
    """Return the content of a .mat file with a row for each face.

    ``columns`` are further numbers of each face, by key. All faces have the same keys and the same face model.
    """
    arrays: dict[str, object] = {}
    for key, shape in SHAPES.items():
        if getattr(faces[0], key) is not None:
            arrays[key] = np.stack(
                [np.asarray(getattr(face, key), np.float32).reshape(shape) for face in faces]
            )
    for key, values in columns.items():
        arrays[key] = np.asarray(values)[:, None]
    if faces[0].face_model is not None:
        arrays["face_model"] = faces[0].face_model
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, arrays)
    content = bytearray(buffer.getvalue())
    content[: len(MAT_TITLE)] = MAT_TITLE  # scipy writes the date: not reproducible
    return bytes(content)


def read_coefficients(path: Path, file: io.BufferedIOBase | None = None) -> FaceCoefficients:
    """Read all coefficients of one face from a .mat file, in any layout of :mod:`coefficient_rows`.

    If ``file`` is given, for example an entry of a zip, it is read, and ``path`` is only its name in messages.

    Raises:
        InputError: the file is missing, is no MATLAB file, holds several faces, or a key is missing, misshaped or not
            finite.
    """
    content = read_rows(path, (*COLUMNS, "lm68"), OWN_KEYS, file)
    count = len(content.arrays["exp"])
    if count != 1:
        raise InputError(f"{path}: holds {count} faces, one a row, expected one")
    absent: dict[str, Any] = dict.fromkeys(SHAPES)
    present = {key: rows[0] for key, rows in content.arrays.items()}
    return FaceCoefficients(**absent | present, face_model=content.face_model)


def read_expressions(path: Path) -> tuple[np.ndarray, str | None]:
    """Read the (N, 64) expression coefficients of a .mat file, a row for each frame, and the name of their face model.

    The file needs no other key than ``exp``. The name is BFM if the file does not name its face model, but has
    Deep3DFaceRecon's keys, and None if nothing tells the face model.

    Raises:
        InputError: the file is missing, is no MATLAB file, or ``exp`` is missing, misshaped or not finite.
    """
    content = read_rows(path, ("exp",))
    return content.arrays["exp"], BFM if content.is_reconstruction else content.face_model


def read_expression(path: Path) -> tuple[np.ndarray, str | None]:
    """Read the (64,) expression coefficients of a .mat file of one face, and the name of their face model.

    See :func:`read_expressions`.

    Raises:
        InputError: as :func:`read_expressions`, or the file holds several expressions.
    """
    rows, owner = read_expressions(path)
    if len(rows) != 1:
        raise InputError(f"{path}: holds {len(rows)} expressions, one a row, expected one")
    return rows[0], owner


def read_poses(path: Path, pitch_offset: float) -> np.ndarray:
    """Read the (N, 2) pitch and yaw of the generator's camera from a .mat file, a row for each frame.

    Angles are radians relative to frontal. If the file has the key ``pose``, its pitch and yaw are returned. Otherwise
    they are taken from ``angle``, and ``pitch_offset`` is subtracted from the pitch. ``pitch_offset`` is the pitch that
    Deep3DFaceRecon reports for a frontal face, radians.

    Raises:
        InputError: the file is missing, is no MATLAB file, or the angles are missing, misshaped or not finite.
    """
    arrays = read_rows(path, (), ("pose", "angle")).arrays
    if "pose" in arrays:
        return arrays["pose"]
    if "angle" not in arrays:
        arrays = read_rows(path, ("angle",)).arrays  # says what the file holds
    return np.stack([_relative_to_frontal(angle, pitch_offset) for angle in arrays["angle"]])


def has_poses(path: Path) -> bool:
    """Return whether a .mat file holds what :func:`read_poses` reads.

    Raises:
        InputError: the file is missing or no MATLAB file, or the angles are misshaped or not finite.
    """
    return bool(read_rows(path, (), ("pose", "angle")).arrays)


def camera_angles(face: FaceCoefficients, pitch_offset: float) -> np.ndarray:
    """Get the (2,) pitch and yaw of the generator's camera that shows a face, radians relative to frontal.

    If ``face.pose`` is not None, it is returned. Otherwise pitch and yaw are taken from ``face.angle``, and
    ``pitch_offset`` is subtracted from the pitch. ``pitch_offset`` is the pitch that Deep3DFaceRecon reports for a
    frontal face, radians.
    """
    return _relative_to_frontal(face.angle, pitch_offset) if face.pose is None else face.pose


def _relative_to_frontal(angle: np.ndarray, pitch_offset: float) -> np.ndarray:
    return np.array([angle[0] - pitch_offset, angle[1]], np.float32)


@dataclass(frozen=True)
class ExpressionBasis:
    """Action units of a face model, and the linear map from their strengths to expression coefficients.

    An action unit is a named elementary movement of the face, such as jawOpen.
    """

    names: tuple[str, ...]
    """Names of the action units."""
    units_to_exp: np.ndarray
    """(64, unit) expression coefficients of each action unit at strength 1."""

    @property
    def known_names(self) -> list[str]:
        """Names that :meth:`from_strengths` accepts, sorted and without the suffixes Left and Right."""
        return sorted({name.removesuffix("Left").removesuffix("Right") for name in self.names})

    def sides(self, name: str) -> list[int]:
        """Return the indices in ``names`` of the action units that a name means.

        A name without Left or Right means the units of both sides; an unknown name gives an empty list.
        """
        return [i for i, unit in enumerate(self.names) if unit in (name, f"{name}Left", f"{name}Right")]

    def from_strengths(self, strengths: dict[str, float]) -> np.ndarray:
        """Compute the (64,) expression coefficients of action units with given strengths (1 is full), by name.

        A name without Left or Right moves both sides of the face.

        Raises:
            InputError: a name is unknown.
        """
        weights = np.zeros(len(self.names), np.float32)
        for name, strength in strengths.items():
            sides = self.sides(name)
            if not sides:
                raise InputError(f"expression '{name}' is not known; known are {', '.join(self.known_names)}")
            weights[sides] += strength
        return (self.units_to_exp @ weights).astype(np.float32)
