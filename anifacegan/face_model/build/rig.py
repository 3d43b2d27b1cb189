"""Named parts, pivots and action units' displacements of the open face model, for :mod:`anifacegan.face_model.rig`.

A pivot is an affine combination of vertices, chosen so that it gives the pivot of the mean face. The same combination
of a person's vertices gives the pivot of the person. This is exact for the eyeballs, which are affine images of a
sphere, and near enough for the jaw.
"""

import numpy as np
from scipy.spatial import cKDTree

from anifacegan.face_model.build.topology import Topology, fit_sphere
from anifacegan.face_model.parts import EYE_LEFT, EYE_RIGHT, LOWER_TEETH, PART_NAMES, SKIN
from anifacegan.geometry.conventions import ID_DIM

JAW_SIDE = 0.6
"""Distance of the jaw's joints from the plane of symmetry, model units."""
JAW_VERTICES = 100
"""Number of skin vertices around each joint of the jaw that its position depends on."""


def rig_arrays(
    topology: Topology, mean: np.ndarray, id_basis: np.ndarray, displacements: np.ndarray, jaw_open: int
) -> dict[str, np.ndarray]:
    """Compute the arrays of the face model's file about parts, pivots, and action units' displacements, by key.

    Args:
        topology: mesh of the face model.
        mean: (V, 3) vertices of the mean face.
        id_basis: (3V, K) displacements by the identity coefficients.
        displacements: (V, 3, U) displacements by the action units.
        jaw_open: index of the action unit that opens the jaw.
    """
    vertices, weights, pivots = [], [], []
    for eye in (EYE_LEFT, EYE_RIGHT):
        ball = np.flatnonzero(topology.part == eye)
        pivots.append(fit_sphere(mean[ball])[0])
        vertices.append(ball)
        weights.append(affine_weights(mean[ball], pivots[-1]))
    teeth = topology.part == LOWER_TEETH
    pivots.append(turning_centre(mean[teeth], displacements[teeth, :, jaw_open]))
    skin = np.flatnonzero(topology.part == SKIN)
    joints = [[side * JAW_SIDE, *pivots[-1][1:]] for side in (-1, 1)]
    around = skin[cKDTree(mean[skin]).query(joints, JAW_VERTICES)[1].ravel()]
    vertices.append(around)
    weights.append(affine_weights(mean[around], pivots[-1]))
    basis = id_basis.reshape(len(mean), 3, ID_DIM)
    return {
        "part_names": np.array(PART_NAMES),
        "pivot_names": np.array([PART_NAMES[EYE_LEFT], PART_NAMES[EYE_RIGHT], "jaw"]),
        "pivots": np.array(pivots, np.float32),
        "pivot_id_basis": np.array(
            [np.tensordot(weight, basis[rows], 1) for rows, weight in zip(vertices, weights, strict=True)],
            np.float32,
        ),
        "unit_displacements": displacements.transpose(2, 0, 1).astype(np.float16),
    }


def affine_weights(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Compute weights (N,) with sum 1 for which the weighted sum of points (N, 3) is the point ``target`` (3,).

    Of all such weights, those with the smallest sum of squares are returned.
    """
    system = np.concatenate([points.T, np.ones((1, len(points)))])
    return np.linalg.lstsq(system, np.append(target, 1.0), rcond=None)[0]


def turning_centre(points: np.ndarray, displacement: np.ndarray) -> np.ndarray:
    """Find the axis parallel to x about which points turn; return its point (3,) with x = 0.

    The turn is the rigid motion in the plane of y and z that best fits the displacement.

    Args:
        points: (N, 3) points before the turn.
        displacement: (N, 3) their motion.
    """
    before, moved = points[:, 1:], (points + displacement)[:, 1:]
    middles = before.mean(axis=0), moved.mean(axis=0)
    correlation = (before - middles[0]).T @ (moved - middles[1])
    left, _, right = np.linalg.svd(correlation)
    turn = left @ np.diag([1, np.linalg.det(left @ right)]) @ right  # rows: moved = before @ turn
    centre = np.linalg.solve((np.eye(2) - turn).T, middles[1] - middles[0] @ turn)
    return np.array([0.0, *centre])
