"""Select the expressions of a video that become blendshapes of an avatar, and the frames at which the avatar is
compared with the networks."""

import numpy as np
import scipy.linalg
from jaxtyping import Float

NEGLIGIBLE = 0.02
"""An expression gets no blendshape of its own if other blendshapes approximate its coefficients with a smaller error;
relative to the video's longest vector of expression coefficients."""
PROBED_SHAPES = 4
"""Number of blendshapes, the first ones of :func:`key_expressions`, at whose frames of the video the avatar is compared
with the networks."""


def key_expressions(z_exp: Float[np.ndarray, "image 64"]) -> list[int]:
    """Return indices of images such that linear combinations of their expressions approximate all others.

    They are found by QR decomposition with pivoting, and those that add most come first; empty if all are neutral.
    """
    length = np.linalg.norm(z_exp, axis=1).max()
    if length == 0:
        return []
    triangular, order = scipy.linalg.qr(z_exp.T.astype(np.float64), mode="r", pivoting=True)
    diagonal = np.abs(np.diag(triangular))
    return [int(k) for k in order[: int((diagonal > NEGLIGIBLE * length).sum())]]


def probe_frames(z_exp: Float[np.ndarray, "image 64"], inbetweens: int) -> list[int]:
    """Return the indices of the images in which an avatar is expected to be least accurate.

    These are images of key expressions, and images half-way between a key expression and the in-between shape before
    it: a blendshape moves along straight lines between in-between shapes, a real face does not. If no expression
    changes, the middle image is returned.
    """
    keys = key_expressions(z_exp)[:PROBED_SHAPES]
    if not keys:
        return [len(z_exp) // 2]
    weights = z_exp @ np.linalg.pinv(z_exp[keys])  # (T, K)
    middle = (inbetweens - 0.5) / inbetweens
    return sorted({*keys, *(int(k) for k in abs(weights - middle).argmin(axis=0))})
