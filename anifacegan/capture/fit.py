"""Fits the open face model to landmarks: pose, crop, identity and the strengths of the action units.

Gauss-Newton on whitened landmarks plus priors, with bounds on the units. The crop is part of the fit: it is the square
of the photograph that the generator's camera sees at this pose, so it is a similarity between the two images.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from anifacegan.capture.bounded_steps import bounded_minimum
from anifacegan.capture.correspondence import Correspondence
from anifacegan.capture.crop import Crop
from anifacegan.capture.face_points import (
    SIDES_PER_MODEL_UNIT,
    FacePoints,
    camera_axes,
    project,
    projected_derivatives,
)
from anifacegan.capture.priors import Estimate, Population
from anifacegan.geometry.conventions import ID_DIM

POSE, PLACE, IDENTITY = slice(0, 2), slice(2, 6), slice(6, 6 + ID_DIM)
UNITS = slice(6 + ID_DIM, None)
"""Parts of the vector of unknowns: (pitch, yaw), the similarity from photograph to crop, identity, units."""
ITERATIONS = 8
ANGLE_STEP = 1e-4
"""Step, radians, by which derivatives by the pose are estimated."""
STRENGTHS = (0.0, 1.05)
"""Bounds of the units' strengths."""
LARGEST_POSE = (0.8, 1.3)
"""Largest absolute pitch and yaw during the fit, radians."""
UNITS_BESIDE_ESTIMATE = 0.1
"""Weight of the population of units if there is an estimate of the expression, which holds most of it already."""
KNOWN_PRECISION = 1e6
"""Precision of an identity that is given."""
REPORT_PX = 256
"""Size of the crop in which errors are reported, pixels."""


@dataclass(frozen=True)
class LandmarkFit:
    """A face that explains the landmarks of a photograph."""

    pitch: float
    """Pitch of the generator's camera, radians."""
    yaw: float
    """Yaw of the generator's camera, radians."""
    crop: Crop
    """What the generator's camera sees of the photograph."""
    z_id: Float[np.ndarray, "80"]
    """Identity coefficients."""
    strengths: Float[np.ndarray, " unit"]
    """Strengths of the fitted action units."""
    z_exp: Float[np.ndarray, "64"]
    """Expression coefficients of these strengths."""
    error_px: float
    """Root mean square distance of landmarks and projected vertices, pixels of a crop of 256."""
    normal: Float[np.ndarray, "n n"]
    """Inverse of the unknowns' covariance, by the order of POSE, PLACE, IDENTITY, UNITS."""


class LandmarkFitter:
    """Fits a face to the landmarks of one photograph after another.

    Args:
        points: the face model at the correspondence's vertices.
        correspondence: errors of the landmarks.
        people: distribution of identities, expressions and poses.
    """

    def __init__(self, points: FacePoints, correspondence: Correspondence, people: Population) -> None:
        self.points, self.correspondence, self.people = points, correspondence, people
        self._whitening = correspondence.whitening

    def fit(
        self,
        landmarks: Float[np.ndarray, "478 2"],
        *,
        start: LandmarkFit | None = None,
        estimate: Estimate | None = None,
        identity: Float[np.ndarray, "80"] | None = None,
    ) -> LandmarkFit:
        """Fit pose, crop, identity and expression.

        Args:
            landmarks: pixel coordinates in the photograph.
            start: a fit to begin with, of the same photograph or the last frame of a video.
            estimate: what is known by other means; None: the population.
            identity: known identity coefficients of the person.
        """
        centre = landmarks.mean(axis=0)
        scale = float(np.abs(landmarks - centre).max())
        seen = (landmarks - centre) / scale
        x = self._rough(seen) if start is None else self._unknowns(start, centre, scale)
        if identity is not None:
            x[IDENTITY] = identity
        for _ in range(ITERATIONS):
            normal, gradient = self._equations(x, seen)
            self._add_priors(x, normal, gradient, estimate, identity)
            x = x + bounded_minimum(normal, gradient, *self._step_bounds(x))
        return self._result(x, normal, centre, scale, seen)

    def _unknowns(self, fit: LandmarkFit, centre: np.ndarray, scale: float) -> np.ndarray:
        place = fit.crop.similarity(centre, scale)
        return np.concatenate([[fit.pitch, fit.yaw], place, fit.z_id, fit.strengths])

    def _rough(self, seen: np.ndarray) -> np.ndarray:
        """Pose the mean face by a linear fit (scaled orthographic projection)."""
        units = len(self.points.units.names)
        mean = self.points.unposed(np.zeros(ID_DIM), self.points.units.to_exp @ np.zeros(units))
        columns = np.concatenate([mean, np.ones((len(mean), 1))], axis=1)
        rows = np.linalg.lstsq(columns, seen * np.array([1.0, -1.0]), rcond=None)[0][:3].T  # right, up
        lengths = np.linalg.norm(rows, axis=1)
        right = rows[0] / lengths[0]
        up = rows[1] - right * (rows[1] @ right)
        back = np.cross(right, up / np.linalg.norm(up))
        limits = np.array(LARGEST_POSE)
        pose = np.array([np.arcsin(np.clip(back[1], -1, 1)), np.arctan2(-back[0], back[2])])
        pitch, yaw = np.clip(pose, -limits, limits).tolist()
        axes = camera_axes(pitch, yaw)
        turn = np.array([right @ axes[:, 0], -right @ axes[:, 1]])
        place = np.append(turn / np.linalg.norm(turn) * SIDES_PER_MODEL_UNIT / lengths.mean(), [0.0, 0.0])
        apart = project(mean, pitch, yaw) - _moved(place, seen)
        place[2:] = np.median(apart, axis=0)
        return np.concatenate([[pitch, yaw], place, self.people.identity_mean, np.zeros(units)])

    def _equations(self, x: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Linearise the whitened errors of the landmarks; return normal matrix and gradient."""
        pitch, yaw = x[POSE].tolist()
        points, basis = self.points.derivatives(x[IDENTITY], x[UNITS])
        flat = project(points, pitch, yaw)
        by_pose = [
            (project(points, pitch + dp, yaw + dy) - flat) / ANGLE_STEP
            for dp, dy in ((ANGLE_STEP, 0.0), (0.0, ANGLE_STEP))
        ]
        by_shape = projected_derivatives(points, basis, camera_axes(pitch, yaw))
        one, zero = np.ones(len(seen)), np.zeros(len(seen))
        by_place = np.stack(
            [np.stack([seen[:, 0], -seen[:, 1], one, zero], -1), np.stack([seen[:, 1], seen[:, 0], zero, one], -1)],
            axis=1,
        )  # fmt: skip
        derivatives = np.concatenate([-np.stack(by_pose, axis=-1), by_place, -by_shape], axis=-1)
        error = (_moved(x[PLACE], seen) - flat).ravel() / SIDES_PER_MODEL_UNIT - self.correspondence.mean
        jacobian = self._whitening @ (derivatives.reshape(2 * len(seen), -1) / SIDES_PER_MODEL_UNIT)
        return jacobian.T @ jacobian, -jacobian.T @ (self._whitening @ error)

    def _add_priors(
        self,
        x: np.ndarray,
        normal: np.ndarray,
        gradient: np.ndarray,
        estimate: Estimate | None,
        identity: np.ndarray | None,
    ) -> None:
        """Add the priors to the normal equations in place."""
        people = self.people
        blocks = [(UNITS, people.unit_precision, np.zeros(len(x[UNITS])))]
        if estimate is None:
            blocks.append((POSE, np.diag(people.pose_precision), np.zeros(2)))
            blocks.append((IDENTITY, people.identity_precision, people.identity_mean))
        else:
            blocks[0] = (UNITS, UNITS_BESIDE_ESTIMATE * people.unit_precision, blocks[0][2])
            selected, precision = self.regressed_columns(), np.linalg.inv(estimate.covariance)
            normal += selected.T @ precision @ selected
            gradient += selected.T @ precision @ (estimate.mean - selected @ x)
        if identity is not None:
            blocks.append((IDENTITY, KNOWN_PRECISION * np.eye(ID_DIM), identity))
        for part, precision, mean in blocks:
            normal[part, part] += precision
            gradient[part] += precision @ (mean - x[part])

    def regressed_columns(self) -> Float[np.ndarray, "146 n"]:
        """Return the linear map from the unknowns to pitch, yaw, identity and expression coefficients."""
        units = self.points.units.to_exp
        matrix = np.zeros((2 + ID_DIM + len(units), IDENTITY.stop + units.shape[1]))
        matrix[:2, POSE] = np.eye(2)
        matrix[2 : 2 + ID_DIM, IDENTITY] = np.eye(ID_DIM)
        matrix[2 + ID_DIM :, UNITS] = units
        return matrix

    def _step_bounds(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        low, high = np.full(len(x), -np.inf), np.full(len(x), np.inf)
        low[UNITS], high[UNITS] = STRENGTHS
        low[POSE], high[POSE] = -np.array(LARGEST_POSE), LARGEST_POSE
        return low - x, high - x

    def _result(
        self, x: np.ndarray, normal: np.ndarray, centre: np.ndarray, scale: float, seen: np.ndarray
    ) -> LandmarkFit:
        pitch, yaw = x[POSE].tolist()
        z_exp = self.points.units.to_exp @ x[UNITS]
        apart = _moved(x[PLACE], seen) - project(self.points.unposed(x[IDENTITY], z_exp), pitch, yaw)
        error = float(np.sqrt(np.square(apart).sum(axis=1).mean())) * (REPORT_PX - 1)
        crop = Crop.from_similarity(x[PLACE], centre, scale)
        return LandmarkFit(pitch, yaw, crop, x[IDENTITY], x[UNITS], z_exp, error, normal)


def _moved(place: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply the similarity ``place`` to points, see :meth:`anifacegan.capture.crop.Crop.from_similarity`."""
    a, b, *shift = place.tolist()
    return points @ np.array([[a, b], [-b, a]]) + np.array(shift)
