"""The generated surface against the face model's, on the rays of one camera (method, section 4, L_Ch).

    error = mean over the face's pixels of |x_seen - x_mesh|_1

x_seen is the mean of the points that a ray sees, weighted as it sees them, without the background plane. Both
points lie on the same ray. World units.
"""

from jaxtyping import Float
from torch import Tensor

OPAQUE = 0.5
"""Rays whose foreground weighs less show no surface and are left out. That is a choice, without a gradient."""


def surface_error(
    x_seen: Float[Tensor, "batch ray 3"],
    opacity: Float[Tensor, "batch ray"],
    x_mesh: Float[Tensor, "batch ray 3"],
    share: Float[Tensor, "batch ray"],
) -> Float[Tensor, ""]:
    """L_Ch: sum the distances of the rays' surface points from the mesh, each times its share in the mean.

    All points are in world units. ``opacity`` is the weight of a ray's foreground, in [0, 1]. A transparent ray
    keeps its share and adds nothing, so parts of a picture add up to the whole. Differentiable in ``x_seen``.
    """
    opaque = opacity >= OPAQUE
    return (share * opaque * (x_seen - x_mesh).abs().sum(dim=-1)).sum()
