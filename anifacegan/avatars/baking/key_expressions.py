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
    """Choose the frames of a video whose expressions become an avatar's blendshapes: linear combinations of these
    expressions approximate those of all frames. Return the frames' indices.

    ``z_exp`` are the expression coefficients of each frame. The frames are found by QR decomposition with pivoting;
    those that add most come first. The list is empty if all frames are neutral.
    """
    length = np.linalg.norm(z_exp, axis=1).max()
    if length == 0:
        return []
    triangular, order = scipy.linalg.qr(z_exp.T.astype(np.float64), mode="r", pivoting=True)
    diagonal = np.abs(np.diag(triangular))
    return [int(k) for k in order[: int((diagonal > NEGLIGIBLE * length).sum())]]


def probe_frames(z_exp: Float[np.ndarray, "image 64"], inbetweens: int) -> list[int]:
    """Return the indices of the frames of a video in which its avatar is expected to be least accurate, at most eight.

    An avatar's blendshape stores ``inbetweens`` shapes, at equally spaced strengths up to the full expression; between
    them vertices move along straight lines, which a real face's do not. The frames are those of the first four
    expressions that get a blendshape, and for each of these the frame nearest to the middle between its last two
    shapes. If all frames are neutral, the middle one is returned.

    ``z_exp`` are the expression coefficients of each frame.
    """
    keys = key_expressions(z_exp)[:PROBED_SHAPES]
    if not keys:
        return [len(z_exp) // 2]
    weights = z_exp @ np.linalg.pinv(z_exp[keys])  # (T, K)
    middle = (inbetweens - 0.5) / inbetweens
    return sorted({*keys, *(int(k) for k in abs(weights - middle).argmin(axis=0))})
