"""The face that a picture shows against the one that was asked for, by its landmarks (method, section 4, L_lm)."""

from jaxtyping import Float
from torch import Tensor


def landmark_error(
    found: Float[Tensor, "batch landmark 3"], wanted: Float[Tensor, "batch landmark 3"]
) -> Float[Tensor, ""]:
    """L_lm: mean squared distance over pictures and landmarks, in the squared unit of the points."""
    return (found - wanted).square().sum(-1).mean()
