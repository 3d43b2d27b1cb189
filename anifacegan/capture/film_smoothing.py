"""Smooths the fits of a film's frames over time: pose, crop and units together, and bridges frames without a fit.

The most probable film is sought: a frame's unknowns differ from its own fit with the precision of that fit, and their
accelerations are normally distributed about 0. Where a frame's landmarks leave a direction open (a nod, or a higher
brow?), the neighbours decide. Blinks may accelerate so much that they are hardly smoothed. Frames without a fit have
almost no precision, and follow from their neighbours. The equations are banded and solved exactly.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import solveh_banded

from anifacegan.capture.fit import STRENGTHS
from anifacegan.capture.person_fit import PLACE, POSE, UNITS

BELIEVED = 0.1
"""Share of a fit's precision that is believed, as the landmarks of neighbouring frames err alike."""
POSE_ACCELERATION, PLACE_ACCELERATION = 5.0, 2.0
"""Standard deviations of the accelerations of pitch and yaw, radians / s^2, and of the similarity, 1 / s^2."""
UNIT_ACCELERATIONS: dict[str, float] = {"eyeBlink": 1000.0, "jaw": 100.0}
OTHER_ACCELERATION = 30.0
"""Standard deviations of the accelerations of units, 1 / s^2, by the beginnings of their names, and of other units."""
BRIDGE_PRECISION = 1e-3
"""Precision of a bridged frame, as a share of the median precision of each unknown in the fitted frames."""


def accelerations(unit_names: tuple[str, ...]) -> Float[np.ndarray, " n"]:
    """Return the standard deviation of each unknown's acceleration."""
    found = np.full(UNITS.start + len(unit_names), OTHER_ACCELERATION)
    found[POSE], found[PLACE] = POSE_ACCELERATION, PLACE_ACCELERATION
    for k, name in enumerate(unit_names):
        start = next((start for start in UNIT_ACCELERATIONS if name.startswith(start)), None)
        if start is not None:
            found[UNITS.start + k] = UNIT_ACCELERATIONS[start]
    return found


def smoothed(
    unknowns: Float[np.ndarray, "frame n"],
    normal: Float[np.ndarray, "frame n n"],
    times: Float[np.ndarray, " frame"],
    acceleration: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "frame n"]:
    """Return the most probable unknowns of all frames.

    Args:
        unknowns: each frame's own fit.
        normal: its precision, the inverse of its covariance.
        times: seconds, strictly rising.
        acceleration: see :func:`accelerations`.
    """
    frames, count = unknowns.shape
    if frames < 3:
        return unknowns
    band = np.zeros((3 * count, unknowns.size))  # row r holds the entries r below the diagonal
    row, column = np.tril_indices(count)
    for frame, precision in enumerate(normal):
        band[row - column, frame * count + column] += BELIEVED * precision[row, column]
    weight, unknown = acceleration**-2.0, np.arange(count)
    for frame in range(1, frames - 1):
        before, after = times[frame] - times[frame - 1], times[frame + 1] - times[frame]
        second = np.array([1 / before, -1 / before - 1 / after, 1 / after]) * 2 / (before + after)
        for i in range(3):
            for j in range(i + 1):
                band[(i - j) * count, (frame - 1 + j) * count + unknown] += second[i] * second[j] * weight
    target = BELIEVED * np.einsum("fij,fj->fi", normal, unknowns)
    found = solveh_banded(band, target.ravel(), lower=True).reshape(unknowns.shape)
    found[:, UNITS] = found[:, UNITS].clip(*STRENGTHS)
    return found


def bridged_unknowns(
    unknowns: Float[np.ndarray, "frame n"],
    fitted: Bool[np.ndarray, " frame"],
    times: Float[np.ndarray, " frame"],
) -> Float[np.ndarray, "frame n"]:
    """Replace the unknowns of frames that are not fitted: between their neighbours, or equal to the nearest."""
    columns = [np.interp(times, times[fitted], values) for values in unknowns[fitted].T]
    return np.stack(columns, axis=1)


def bridged_normal(
    normal: Float[np.ndarray, "frame n n"], fitted: Bool[np.ndarray, " frame"]
) -> Float[np.ndarray, "frame n n"]:
    """Replace the precision of frames that are not fitted by a small one; at least one frame is fitted."""
    precision = np.median(np.diagonal(normal[fitted], axis1=1, axis2=2), axis=0)
    result = normal.copy()
    result[~fitted] = BRIDGE_PRECISION * np.diag(precision)
    return result
