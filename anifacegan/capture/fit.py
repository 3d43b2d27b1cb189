"""Fits the open face model to landmarks: pose, crop, identity and the strengths of the action units.

Gauss-Newton on landmarks, weighted by the inverse covariance of their errors, plus priors; the units have bounds. The
crop is part of the fit: it is the square of the photograph that the generator's camera sees at this pose, so it is a
similarity between the two images.
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
"""Weight of the population of units beside an estimate of the expression that is believed, which holds most of it
already."""
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
        centre, scale = _frame(landmarks)
        seen = (landmarks - centre) / scale
        x = self._rough(seen) if start is None else self.unknowns(start, landmarks)
        if identity is not None:
            x[IDENTITY] = identity
        for _ in range(ITERATIONS):
            normal, right_side = self._equations(x, seen)
            if estimate is not None:
                self._add_estimate(x, normal, right_side, estimate, landmarks)
            self._add_population(x, normal, right_side, estimate)
            if identity is not None:
                normal[IDENTITY, IDENTITY] += KNOWN_PRECISION * np.eye(ID_DIM)
                right_side[IDENTITY] += KNOWN_PRECISION * (identity - x[IDENTITY])
            x = x + bounded_minimum(normal, right_side, *self._step_bounds(x))
        return self._result(x, normal, centre, scale, seen)

    def projected(self, fit: LandmarkFit) -> Float[np.ndarray, "478 2"]:
        """Return the landmarks' vertices of a fitted face, unit coordinates of its crop."""
        return project(self.points.unposed(fit.z_id, fit.z_exp), fit.pitch, fit.yaw)

    def unknowns(self, fit: LandmarkFit, landmarks: Float[np.ndarray, "478 2"]) -> Float[np.ndarray, " n"]:
        """Return the vector of unknowns of a fit, for the photograph with these landmarks."""
        place = fit.crop.similarity(*_frame(landmarks))
        return np.concatenate([[fit.pitch, fit.yaw], place, fit.z_id, fit.strengths])

    def rough_frame(self, seen: Float[np.ndarray, "478 2"]) -> Float[np.ndarray, " n"]:
        """Return pose, similarity from ``seen`` to the crop, and strengths (0) of the mean face: unknowns without an
        identity."""
        return np.delete(self._rough(seen), IDENTITY)

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
        """Linearise the errors of the landmarks; return the weighted normal matrix and the right side
        of the normal equations, which is the negative gradient.

        The errors are those of the landmarks in the photograph, in units of the crop: derivatives by the similarity are
        taken at the expected landmarks. At the seen ones, a smaller scale would make all errors smaller.
        """
        pitch, yaw = x[POSE].tolist()
        points, basis = self.points.derivatives(x[IDENTITY], x[UNITS])
        flat = project(points, pitch, yaw)
        by_pose = [
            (project(points, pitch + dp, yaw + dy) - flat) / ANGLE_STEP
            for dp, dy in ((ANGLE_STEP, 0.0), (0.0, ANGLE_STEP))
        ]
        by_shape = projected_derivatives(points, basis, camera_axes(pitch, yaw))
        expected = flat + SIDES_PER_MODEL_UNIT * self.correspondence.mean.reshape(-1, 2)
        by_place = _place_derivatives(_moved_back(x[PLACE], expected))
        derivatives = np.concatenate([-np.stack(by_pose, axis=-1), by_place, -by_shape], axis=-1)
        error = (_moved(x[PLACE], seen) - flat).ravel() / SIDES_PER_MODEL_UNIT - self.correspondence.mean
        columns = derivatives.reshape(2 * len(seen), -1) / SIDES_PER_MODEL_UNIT
        normal, right_side = self.correspondence.normal_equations(columns, error)
        return normal, -right_side

    def _add_population(
        self, x: np.ndarray, normal: np.ndarray, right_side: np.ndarray, estimate: Estimate | None
    ) -> None:
        """Add the population to the normal equations in place. An estimate holds the pose's, and what it is believed of
        identity's and units'; the units' never quite."""
        people, belief = self.people, 0.0 if estimate is None else estimate.belief
        blocks = [
            (IDENTITY, (1 - belief) * people.identity_precision, people.identity_mean),
            (UNITS, max(1 - belief, UNITS_BESIDE_ESTIMATE) * people.unit_precision, np.zeros(len(x[UNITS]))),
        ]
        if estimate is None:
            blocks.append((POSE, np.diag(people.pose_precision), np.zeros(2)))
        for part, precision, mean in blocks:
            normal[part, part] += precision
            right_side[part] += precision @ (mean - x[part])

    def _add_estimate(
        self,
        x: np.ndarray,
        normal: np.ndarray,
        right_side: np.ndarray,
        estimate: Estimate,
        landmarks: Float[np.ndarray, "478 2"],
    ) -> None:
        """Add an estimate to the normal equations in place."""
        columns, offset = self.estimated_columns(estimate.crop, landmarks)
        weighted = columns.T @ np.linalg.inv(estimate.covariance)
        normal += weighted @ columns
        right_side += weighted @ (estimate.mean - columns @ x - offset)

    def estimated_columns(
        self, crop: Crop, landmarks: Float[np.ndarray, "478 2"]
    ) -> tuple[Float[np.ndarray, "150 n"], Float[np.ndarray, "150"]]:
        """Return the linear map, matrix and offset, from the unknowns to the numbers of an estimate, see
        :class:`anifacegan.capture.priors.Estimate`; ``crop`` is the estimate's crop."""
        units = self.points.units.to_exp
        pose, shape = 2, 2 + ID_DIM + len(units)
        matrix, offset = np.zeros((shape + 4, IDENTITY.stop + units.shape[1])), np.zeros(shape + 4)
        matrix[:pose, POSE] = np.eye(2)
        matrix[pose : pose + ID_DIM, IDENTITY] = np.eye(ID_DIM)
        matrix[pose + ID_DIM : shape, UNITS] = units
        matrix[shape:, PLACE], offset[shape:] = place_difference(crop.similarity(*_frame(landmarks)))
        return matrix, offset

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


def _frame(landmarks: Float[np.ndarray, "478 2"]) -> tuple[Float[np.ndarray, "2"], float]:
    """Return centre and scale by which landmarks are brought to [-1, 1], so that the equations are well conditioned."""
    centre = landmarks.mean(axis=0)
    return centre, float(np.abs(landmarks - centre).max())


def _moved(place: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply the similarity ``place`` to points, see :meth:`anifacegan.capture.crop.Crop.from_similarity`."""
    a, b, *shift = place.tolist()
    return points @ np.array([[a, b], [-b, a]]) + np.array(shift)


def _moved_back(place: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply the inverse of the similarity ``place`` to points."""
    a, b, *shift = place.tolist()
    return (points - np.array(shift)) @ np.array([[a, -b], [b, a]]) / (a * a + b * b)


def _place_derivatives(points: np.ndarray) -> np.ndarray:
    """Return the derivatives (point, 2, 4) of moved points by the similarity's four numbers."""
    (x, y), one, zero = points.T, np.ones(len(points)), np.zeros(len(points))
    return np.stack([np.stack([x, -y, one, zero], -1), np.stack([y, x, zero, one], -1)], axis=1)


def place_difference(
    origin: Float[np.ndarray, "4"],
) -> tuple[Float[np.ndarray, "4 4"], Float[np.ndarray, "4"]]:
    """Return the linear map by which a similarity becomes its difference from ``origin``: matrix and offset.

    The difference has scale minus 1, turn (radians for small ones) and shift (sides of the crop): what has to be
    applied after ``origin``.
    """
    a, b, c, d = origin.tolist()
    square = a * a + b * b
    turn = np.array([[a, b], [-b, a]]) / square  # of (a, b): the complex quotient by the origin's
    rows = np.zeros((4, 4))
    rows[:2, :2] = turn
    rows[2:, 2:] = np.eye(2)
    rows[2:, :2] = -np.array([[c, -d], [d, c]]) @ turn
    return rows, np.array([-1.0, 0.0, 0.0, 0.0])
