"""Camera poses in the file dataset.json of EG3D's data sets, which have a label of 25 numbers for each image.

The first 16 numbers are the rows of a 4 x 4 matrix from camera to world. The camera has x right, y down and z forward;
the world has y up, and the face, near the origin, looks along +z. The last 9 are intrinsics, which the generator's
camera does not take.
"""

import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Float

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.structured_text import parse_json

LABEL_NUMBERS = 25
"""Numbers of a label: a 4 x 4 matrix from camera to world, and 3 x 3 intrinsics."""
_TOLERANCE = 1e-2
"""Largest deviation of the rows' scalar products from those of a rotation."""
WIDEST_LOOK_DEG = 15.0
"""Largest angle between a camera's axis and its way to the origin: EG3D's own look past it by a few degrees."""


def camera_labels(content: bytes, label: Path, folder: PurePosixPath) -> dict[str, list[Any]]:
    """Return the labels of 25 numbers in a file dataset.json by the names of their images, relative to the data set.

    Labels of other lengths, such as StyleGAN's classes, are left out.

    Args:
        content: the file's content.
        label: the file's name in error messages.
        folder: the file's folder, relative to the data set.

    Raises:
        InputError: the file is no JSON file.
    """
    description = parse_json(content, label)
    labels = description.get("labels") if isinstance(description, dict) else None
    pairs = labels.items() if isinstance(labels, Mapping) else labels if isinstance(labels, list) else []
    return {
        (folder / pair[0]).as_posix(): pair[1]
        for pair in pairs
        if isinstance(pair, (list, tuple)) and len(pair) == 2 and isinstance(pair[0], str)
        if isinstance(pair[1], list) and len(pair[1]) == LABEL_NUMBERS
    }


def label_pose(numbers: list[Any], pitch_offset: float, image: Path) -> Float[np.ndarray, "2"]:
    """Get pitch and yaw of the generator's camera from a label, radians relative to frontal; its roll is left out.

    ``pitch_offset`` is subtracted from the pitch: EG3D's labels are made from Deep3DFaceRecon's angles. ``image`` names
    the image in error messages.

    Raises:
        InputError: the numbers are no pose of a camera.
    """
    expected = "a 4 x 4 matrix from camera to world and 3 x 3 intrinsics"
    try:
        values = np.array(numbers, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(
            f"{image}: its label in dataset.json holds no numbers, expected {expected}"
        ) from None
    matrix = values[:16].reshape(4, 4)
    rotation = matrix[:3, :3]
    with np.errstate(over="ignore", invalid="ignore"):
        is_rotation = (np.abs(rotation @ rotation.T - np.eye(3)) < _TOLERANCE).all()
    is_pose = is_rotation and np.linalg.det(rotation) > 0 and matrix[3].tolist() == [0, 0, 0, 1]
    if not (is_pose and np.isfinite(values).all()):
        raise InputError(f"{image}: its label in dataset.json is no camera pose, expected {expected}")
    away = math.degrees(math.acos(_cosine(-rotation[:, 2], matrix[:3, 3])))
    if away > WIDEST_LOOK_DEG:
        raise InputError(
            f"{image}: the camera of its label in dataset.json looks {away:.0f} degrees past the origin, expected "
            f"a matrix from camera to world with z forward and y down, and the face at the origin"
        )
    x, y, z = -rotation[:, 2]  # from the face to the camera
    pitch, yaw = math.asin(max(-1.0, min(1.0, y))), math.atan2(-x, z)
    return np.array([pitch - pitch_offset, yaw], np.float32)


def _cosine(axis: Float[np.ndarray, "3"], position: Float[np.ndarray, "3"]) -> float:
    """Return the cosine of the angle between a unit vector and a camera's position; 1 for a camera at the origin."""
    distance = float(np.linalg.norm(position))
    return max(-1.0, min(1.0, float(axis @ position) / distance)) if distance > 0 else 1.0
