"""How likely poses, identities and expressions are before a photograph's landmarks are seen."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from anifacegan.capture.crop import Crop
from anifacegan.capture.face_points import fitted_columns
from anifacegan.data.synthetic.sampling import IDENTITY_SPREAD, PITCH_SIGMA, YAW_SIGMA
from anifacegan.face_model.open_model import HeadParts

SHRINKAGE = 0.3
"""Share of the units' correlations that is not believed: the example expressions are finite and composed."""
LEAST_STRENGTH = 0.05
"""Standard deviation that is added to the strength of each unit, as some are rare in the examples."""


@dataclass(frozen=True)
class Population:
    """A normal distribution of the people and expressions in the face model's file."""

    identity_mean: Float[np.ndarray, "80"]
    """Mean identity coefficients."""
    identity_precision: Float[np.ndarray, "80 80"]
    """Inverse covariance of the identity coefficients."""
    unit_precision: Float[np.ndarray, "unit unit"]
    """Inverse second moment of the fitted units' strengths: expressions are spread about the neutral one."""
    pose_precision: Float[np.ndarray, "2"]
    """Inverse variances of pitch and yaw, whose mean is 0, 1 / radian^2."""


@dataclass(frozen=True)
class Estimate:
    """An estimate by other means, such as the face regressor's, with its precision."""

    crop: Crop
    """Estimate of what the generator's camera sees of the photograph."""
    mean: Float[np.ndarray, "150"]
    """Pitch and yaw (radians), identity and expression coefficients, and the difference of the generator's crop from
    ``crop``: scale, turn, x and y (:func:`anifacegan.capture.fit.place_difference`)."""
    covariance: Float[np.ndarray, "150 150"]
    """Covariance of the estimate's errors."""
    belief: float = 1.0
    """How much the estimate of identity and expression is believed, 0 to 1. A believed one holds the population
    already; the population joins with the rest of the weight, or else nothing would hold the shape of a face whose
    estimate is hardly believed."""


def population(parts: HeadParts) -> Population:
    """Describe the sampled people and expressions of the face model's file."""
    people = parts.bank_id.astype(np.float64)
    names = tuple(str(name) for name in parts.au_names)
    strengths = parts.au_bank[:, fitted_columns(names)].astype(np.float64)
    moment = strengths.T @ strengths / len(strengths)
    moment = (1 - SHRINKAGE) * moment + SHRINKAGE * np.diag(np.diag(moment))
    moment += LEAST_STRENGTH**2 * np.eye(len(moment))
    return Population(
        identity_mean=people.mean(axis=0),
        identity_precision=np.linalg.inv(IDENTITY_SPREAD**2 * np.cov(people.T)),
        unit_precision=np.linalg.inv(moment),
        pose_precision=np.array([PITCH_SIGMA, YAW_SIGMA]) ** -2.0,
    )
