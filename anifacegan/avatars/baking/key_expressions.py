"""Select the expressions of a video that are baked as blendshapes, and the frames at which a baked avatar is
checked."""

import numpy as np
import scipy.linalg
from jaxtyping import Float

NEGLIGIBLE = 0.02
"""Error that the blendshapes may leave, relative to the video's longest vector of expression coefficients."""
PROBED_SHAPES = 4
"""Number of blendshapes, the strongest ones, at which a video is checked."""


def key_expressions(z_exp: Float[np.ndarray, "image 64"]) -> list[int]:
    """Select images whose expressions are a basis of all others: rows picked by QR decomposition with pivoting."""
    length = np.linalg.norm(z_exp, axis=1).max()
    if length == 0:
        return []
    triangular, order = scipy.linalg.qr(z_exp.T.astype(np.float64), mode="r", pivoting=True)
    diagonal = np.abs(np.diag(triangular))
    return [int(k) for k in order[: int((diagonal > NEGLIGIBLE * length).sum())]]


def probe_frames(z_exp: Float[np.ndarray, "image 64"], inbetweens: int) -> list[int]:
    """Select the images in which blendshapes are least accurate: those at a key expression, and those half-way to it
    from the in-between shape before; the middle image where no expression changes.

    A real face does not move along straight lines between in-between shapes, so the error is largest between them.
    """
    keys = key_expressions(z_exp)[:PROBED_SHAPES]
    if not keys:
        return [len(z_exp) // 2]
    weights = z_exp @ np.linalg.pinv(z_exp[keys])  # (T, K)
    middle = (inbetweens - 0.5) / inbetweens
    return sorted({*keys, *(int(k) for k in abs(weights - middle).argmin(axis=0))})
