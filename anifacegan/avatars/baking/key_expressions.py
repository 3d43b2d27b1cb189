"""Select the expressions of a video that become blendshapes of an avatar, and the frames at which the avatar is
compared with the networks."""

import numpy as np
import scipy.linalg
from jaxtyping import Float

NEGLIGIBLE = 0.02
"""An expression gets no blendshape if a linear combination of those chosen before approximates its coefficients with a
smaller error than this. The error is divided by the length of the video's longest vector of expression coefficients."""
PROBED_SHAPES = 4
"""Number of expressions, the first ones of :func:`key_expressions`, with which the avatar is tested."""


def key_expressions(z_exp: Float[np.ndarray, "image 64"]) -> list[int]:
    """Choose the frames of a video whose expressions become an avatar's blendshapes, and return their indices.

    Linear combinations of the chosen expressions approximate the expressions of all frames. They are found by QR
    decomposition with pivoting: each is the one that the earlier ones approximate worst. The list is empty if all
    frames are neutral. ``z_exp`` are the expression coefficients of each frame.
    """
    length = np.linalg.norm(z_exp, axis=1).max()
    if length == 0:
        return []
    triangular, order = scipy.linalg.qr(z_exp.T.astype(np.float64), mode="r", pivoting=True)
    diagonal = np.abs(np.diag(triangular))
    return [int(k) for k in order[: int((diagonal > NEGLIGIBLE * length).sum())]]


def probe_frames(z_exp: Float[np.ndarray, "image 64"], inbetweens: int) -> list[int]:
    """Return the indices of at most eight frames of a video in which its avatar is expected to be least accurate.

    Up to four of them are the first frames of :func:`key_expressions`, whose expressions become blendshapes. A
    blendshape stores ``inbetweens`` shapes, at equally spaced strengths up to the full expression. Between two shapes
    the avatar's vertices move along straight lines, but those of a face do not. So for each of the four expressions the
    frame is added whose strength is nearest to the middle between the last two shapes. If all frames are neutral, only
    the middle frame of the video is returned.

    ``z_exp`` are the expression coefficients of each frame.
    """
    keys = key_expressions(z_exp)[:PROBED_SHAPES]
    if not keys:
        return [len(z_exp) // 2]
    weights = z_exp @ np.linalg.pinv(z_exp[keys])  # (T, K)
    middle = (inbetweens - 0.5) / inbetweens
    return sorted({*keys, *(int(k) for k in abs(weights - middle).argmin(axis=0))})
