"""Fits many frames of one person, whose identity is known: pose, crop and the strengths of the action units.

The same Gauss-Newton as :mod:`anifacegan.capture.fit` with an identity that does not move; many frames are solved at
once, so a frame costs some hundredths of a second. Similarities from the film's frames to the crops refer to one
``Reference`` for all frames, so that they may be smoothed.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from anifacegan.capture.bounded_steps import bounded_minimum
from anifacegan.capture.crop import Crop
from anifacegan.capture.face_points import (
    SIDES_PER_MODEL_UNIT,
    UNIT_FOCAL,
    PersonPoints,
    cameras_axes,
    project_turned,
)
from anifacegan.capture.fit import ANGLE_STEP, LARGEST_POSE, REPORT_PX, STRENGTHS, LandmarkFitter
from anifacegan.geometry.cameras import RECONSTRUCTION_DISTANCE

POSE, PLACE, UNITS = slice(0, 2), slice(2, 6), slice(6, None)
"""Parts of the vector of unknowns: (pitch, yaw), the similarity from film to crop, units."""
ITERATIONS = 4
FRAMES_AT_ONCE = 16


@dataclass(frozen=True)
class Reference:
    """Coordinates of a film's frames of which the similarities to the crops are: (pixels - centre) / scale."""

    centre: Float[np.ndarray, "2"]
    """Origin, pixels."""
    scale: float
    """Unit, pixels."""

    @classmethod
    def of(cls, landmarks: Float[np.ndarray, "frame 478 2"]) -> "Reference":
        """Choose centre and scale for the landmarks of a film."""
        centre = landmarks.mean(axis=(0, 1))
        return cls(centre, float(np.abs(landmarks - centre).max()))

    def crop(self, place: Float[np.ndarray, "4"]) -> Crop:
        """Return the crop of a similarity."""
        return Crop.from_similarity(place, self.centre, self.scale)


@dataclass(frozen=True)
class FrameFits:
    """Fits of some frames of one person."""

    unknowns: Float[np.ndarray, "frame n"]
    """Unknowns in the order of POSE, PLACE, UNITS."""
    normal: Float[np.ndarray, "frame n n"]
    """Inverse of the covariance of each frame's unknowns."""
    error_px: Float[np.ndarray, " frame"]
    """Root mean square distance of landmarks and projected vertices, pixels of a crop of 256."""


class PersonFitter:
    """Fits frames of a person.

    Args:
        fitter: the fitter of single photographs.
        z_id: the person's identity coefficients.
        reference: coordinates of the film's frames.
    """

    def __init__(self, fitter: LandmarkFitter, z_id: Float[np.ndarray, "80"], reference: Reference) -> None:
        self._fitter, self.reference = fitter, reference
        self.points = PersonPoints(fitter.points, z_id)

    def fit(self, landmarks: Float[np.ndarray, "frame 478 2"]) -> FrameFits:
        """Fit frames independently of each other; ``landmarks`` are pixel coordinates in the film's frames."""
        parts = []
        for start in range(0, len(landmarks), FRAMES_AT_ONCE):
            seen = (landmarks[start : start + FRAMES_AT_ONCE] - self.reference.centre) / self.reference.scale
            x = np.stack([self._fitter.rough_frame(points) for points in seen])
            for _ in range(ITERATIONS):
                normal, right_side = self._equations(x, seen)
                x = x + self._bounded_steps(x, normal, right_side)
            parts.append((x, normal, self._errors(x, seen)))
        return FrameFits(*(np.concatenate(values) for values in zip(*parts, strict=True)))

    def _equations(self, x: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Linearise each frame's errors as :meth:`LandmarkFitter._equations` does, and add the population."""
        correspondence, people = self._fitter.correspondence, self._fitter.people
        points, blinks = self.points.with_blinks(x[:, UNITS])
        axes = cameras_axes(x[:, POSE])
        turned = points @ axes
        flat = project_turned(turned)
        derivatives = np.empty((*flat.shape, x.shape[1]))
        for k, step in enumerate(ANGLE_STEP * np.eye(2)):
            moved = project_turned(points @ cameras_axes(x[:, POSE] + step))
            derivatives[..., k] = (flat - moved) / ANGLE_STEP
        expected = flat + SIDES_PER_MODEL_UNIT * correspondence.mean.reshape(-1, 2)
        derivatives[..., PLACE] = _place_derivatives(_moved_back(x[:, PLACE], expected))
        derivatives[..., UNITS] = -self._unit_derivatives(turned, axes, blinks)
        columns = derivatives.reshape(len(x), -1, x.shape[1]) / SIDES_PER_MODEL_UNIT
        error = (_moved(x[:, PLACE], seen) - flat).reshape(len(x), -1) / SIDES_PER_MODEL_UNIT
        equations = [
            correspondence.normal_equations(c, e - correspondence.mean)
            for c, e in zip(columns, error, strict=True)
        ]
        normal, right_side = (np.stack(values) for values in zip(*equations, strict=True))
        right_side = -right_side
        normal[:, UNITS, UNITS] += people.unit_precision
        right_side[:, UNITS] -= x[:, UNITS] @ people.unit_precision
        normal[:, POSE, POSE] += np.diag(people.pose_precision)
        right_side[:, POSE] -= people.pose_precision * x[:, POSE]
        return normal, right_side

    def _unit_derivatives(
        self, turned: np.ndarray, axes: np.ndarray, blinks: dict[int, np.ndarray]
    ) -> Float[np.ndarray, "frame point 2 unit"]:
        basis = self.points.basis  # (point, 3, unit)
        moved = np.einsum("fcd,pcu->fpdu", axes, basis, optimize=True)
        for unit, derivative in blinks.items():
            moved[..., unit] = derivative @ axes
        depth = (RECONSTRUCTION_DISTANCE - turned[..., 2])[..., None, None]
        flat = moved[:, :, :2] / depth + turned[..., :2, None] * moved[:, :, 2:] / depth**2
        return UNIT_FOCAL * flat * np.array([1.0, -1.0])[:, None]

    def _bounded_steps(self, x: np.ndarray, normal: np.ndarray, right_side: np.ndarray) -> np.ndarray:
        low, high = np.full(x.shape, -np.inf), np.full(x.shape, np.inf)
        low[:, UNITS], high[:, UNITS] = STRENGTHS
        low[:, POSE], high[:, POSE] = -np.array(LARGEST_POSE), LARGEST_POSE
        frames = zip(normal, right_side, low - x, high - x, strict=True)
        return np.stack([bounded_minimum(*frame) for frame in frames])

    def _errors(self, x: np.ndarray, seen: np.ndarray) -> Float[np.ndarray, " frame"]:
        flat = project_turned(self.points.unposed(x[:, UNITS]) @ cameras_axes(x[:, POSE]))
        apart = _moved(x[:, PLACE], seen) - flat
        return np.sqrt(np.square(apart).sum(axis=2).mean(axis=1)) * (REPORT_PX - 1)


def _moved(place: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply each frame's similarity to the frame's points."""
    a, b, c, d = (place[:, k, None] for k in range(4))
    x, y = points[..., 0], points[..., 1]
    return np.stack([a * x - b * y + c, b * x + a * y + d], axis=-1)


def _moved_back(place: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply the inverse of each frame's similarity to the frame's points."""
    a, b, c, d = (place[:, k, None] for k in range(4))
    x, y = points[..., 0] - c, points[..., 1] - d
    return np.stack([a * x + b * y, a * y - b * x], axis=-1) / (a * a + b * b)[..., None]


def _place_derivatives(points: np.ndarray) -> np.ndarray:
    """Return the derivatives (frame, point, 2, 4) of moved points by the similarity's four numbers."""
    x, y = points[..., 0], points[..., 1]
    one, zero = np.ones_like(x), np.zeros_like(x)
    rows = [np.stack([x, -y, one, zero], axis=-1), np.stack([y, x, zero, one], axis=-1)]
    return np.stack(rows, axis=2)
