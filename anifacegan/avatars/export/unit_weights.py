"""A sequence of expressions as weights of action units, and of poses as rotations of the head.

Recorded blendshapes are strengths of action units already. Expression coefficients are fewer than action units; the
weights are those non-negative ones whose movement of the face is nearest to that of the coefficients.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import nnls
from scipy.spatial.transform import Rotation

from anifacegan.avatars.export.person_shape import PersonShape
from anifacegan.face_model.blendshape_files import is_blendshape_file, read_blendshapes
from anifacegan.face_model.coefficients import has_poses, read_poses
from anifacegan.face_model.expressions import ExpressionReader
from anifacegan.face_model.trajectories import check_views
from anifacegan.geometry.cameras import orbit_rotation
from anifacegan.runtime.errors import InputError

SMALLNESS = 1e-3
"""Penalty on weights, against squared movement relative to that of a typical unit; it settles what is ambiguous."""


@dataclass(frozen=True)
class UnitSequence:
    """Strengths of action units and rotations of the head, frame by frame."""

    weights: dict[str, Float[np.ndarray, "frame"]]
    """Name of each action unit -> its strength in each frame."""
    rotation: Float[np.ndarray, "frame 4"] | None
    """Rotation of the head as a quaternion x, y, z, w; None where the file has no poses."""
    missed: float
    """Largest share of a frame's movement that the action units cannot make, 0 to 1."""


def read_unit_sequence(
    path: Path, expressions: ExpressionReader, shape: PersonShape, units: tuple[str, ...]
) -> UnitSequence:
    """Read a file of expressions, one a frame: .mat, or recorded blendshapes (.csv, .json).

    ``units`` are the action units that may be used. Poses are read from .mat files that have some.

    Raises:
        InputError: the file cannot be read, or belongs to another face model; or a head is turned too far.
    """
    if is_blendshape_file(path.name):
        strengths = read_blendshapes(path, units)
        return UnitSequence(dict(zip(units, strengths.T, strict=True)), None, 0.0)
    z_exp = expressions.sequence(path)
    strengths, missed = weights_of(shape, units, z_exp)
    rotation = _rotations(path, expressions.pitch_offset)
    if rotation is not None and len(rotation) != len(z_exp):
        raise InputError(
            f"{path}: has {len(rotation)} poses, expected one for each of {len(z_exp)} expressions"
        )
    return UnitSequence(dict(zip(units, strengths.T, strict=True)), rotation, missed)


def weights_of(
    shape: PersonShape, units: tuple[str, ...], z_exp: Float[np.ndarray, "frame 64"]
) -> tuple[Float[np.ndarray, "frame unit"], float]:
    """Find non-negative weights of action units whose movement is nearest to that of expression coefficients.

    Returns the weights, and the largest share of a frame's movement that they miss.
    """
    basis = shape.model.exp_basis.reshape(-1, z_exp.shape[1]).double()
    root = np.linalg.cholesky((basis.T @ basis).numpy() + 1e-12 * np.eye(z_exp.shape[1])).T
    columns = root @ shape.basis.units_to_exp[:, [shape.basis.names.index(unit) for unit in units]]
    typical = float(np.linalg.norm(columns, axis=0).mean())
    system = np.concatenate([columns / typical, np.sqrt(SMALLNESS) * np.eye(len(units))])
    found, missed = np.zeros((len(z_exp), len(units))), 0.0
    for frame, row in enumerate(z_exp.astype(np.float64)):
        target = root @ row / typical
        found[frame] = nnls(system, np.append(target, np.zeros(len(units))))[0]
        length = float(np.linalg.norm(target))
        if length > 0:
            missed = max(missed, float(np.linalg.norm(columns / typical @ found[frame] - target)) / length)
    return found, missed


def head_rotations(
    *, yaw: Float[np.ndarray, "frame"], pitch: Float[np.ndarray, "frame"]
) -> Float[np.ndarray, "frame 4"]:
    """Compute the rotations (quaternions x, y, z, w) of a head that the frontal camera then sees as the generator's
    camera at ``yaw`` and ``pitch``, radians from frontal, sees the unturned head.
    """
    _, axes = orbit_rotation(yaw=torch.from_numpy(yaw), pitch=torch.from_numpy(pitch))
    turned = Rotation.from_matrix(axes.numpy().transpose(0, 2, 1)).as_quat()
    return turned * np.where(turned[:, 3:] < 0, -1.0, 1.0)


def _rotations(path: Path, pitch_offset: float) -> Float[np.ndarray, "frame 4"] | None:
    """Read the rotations of a .mat file's poses; None where it has none."""
    if not has_poses(path):
        return None
    pitch, yaw = read_poses(path, pitch_offset).astype(np.float64).T
    check_views(yaw=yaw, pitch=pitch)
    return head_rotations(yaw=yaw, pitch=pitch)
