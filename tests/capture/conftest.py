"""A fitter of landmarks, and landmarks of a person in motion without any image."""

import numpy as np
import pytest

from anifacegan.capture.correspondence import load_correspondence
from anifacegan.capture.crop import Crop
from anifacegan.capture.face_points import SIDES_PER_MODEL_UNIT, FacePoints, FittedUnits, project
from anifacegan.capture.fit import LandmarkFitter
from anifacegan.capture.priors import population
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import load_head_parts


@pytest.fixture(scope="session")
def landmark_fitter(face_model: MorphableModel) -> LandmarkFitter:
    """A fitter with the shipped correspondence."""
    parts, correspondence = load_head_parts(), load_correspondence(len(face_model.mean))
    points = FacePoints(face_model, FittedUnits.of(parts.expression_basis()), correspondence.vertices)
    return LandmarkFitter(points, correspondence, population(parts))


class Motion:
    """A person who turns the head, opens the jaw and blinks once; landmarks have random errors."""

    def __init__(self, fitter: LandmarkFitter, frames: int, noise: float) -> None:
        rng, t = np.random.default_rng(0), np.arange(frames) / 25
        names = fitter.points.units.names
        self.z_id = load_head_parts().bank_id[3].astype(np.float64)
        self.strengths = np.zeros((frames, len(names)))
        self.strengths[:, names.index("jawOpen")] = 0.3 - 0.3 * np.cos(5 * t)
        self.closed = np.exp(-np.square((t - t[frames // 2]) / 0.06))  # a blink of a fifth of a second
        for unit in ("eyeBlinkLeft", "eyeBlinkRight"):
            self.strengths[:, names.index(unit)] = self.closed
        self.pose = np.stack([0.05 * np.sin(2 * t), 0.3 * np.sin(1.5 * t)], axis=1)
        learned = fitter.correspondence
        rows = []
        for k in range(frames):
            flat = project(
                fitter.points.unposed(self.z_id, fitter.points.units.to_exp @ self.strengths[k]),
                *self.pose[k],
            )
            error = learned.mean + noise * np.sqrt(learned.rest) * rng.standard_normal(len(learned.rest))
            crop = Crop(30 + 0.1 * k, 34.0, 40.0, 0.05)
            rows.append(crop.to_photograph(flat + SIDES_PER_MODEL_UNIT * error.reshape(-1, 2)))
        self.landmarks = np.stack(rows)


@pytest.fixture(scope="session")
def motion(landmark_fitter: LandmarkFitter) -> Motion:
    """Forty frames of a person in motion."""
    return Motion(landmark_fitter, 40, 0.5)
