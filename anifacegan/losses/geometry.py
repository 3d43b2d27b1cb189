"""The generated surface against the face model's, on the rays of one camera (method, section 4, L_Ch).

    error = mean over the face's pixels of |x_seen - x_mesh|_1,    x_seen = sum_i w_i x_i / sum_i w_i

The sums go over the manifolds of a ray, without the background plane. Both points lie on the same ray. World units.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.models.generator import RayColours

OPAQUE = 0.5
"""Rays whose foreground weighs less show no surface and are left out. That is a choice, without a gradient."""


def surface_error(
    seen: RayColours, x_mesh: Float[Tensor, "batch ray 3"], share: Float[Tensor, "batch ray"]
) -> Float[Tensor, ""]:
    """L_Ch: distances of what rays saw from the mesh, each times its share in the mean, summed; world units.

    A transparent ray keeps its share and adds nothing, so parts of a picture add up to the whole. Differentiable in
    the places and weights of the points that the rays saw.
    """
    opaque = seen.foreground >= OPAQUE
    weights = seen.weights[..., :-1, None]                             # (B, R, L, 1)
    total = torch.where(opaque, seen.foreground, 1.0)[..., None]
    x_seen = (weights * seen.x_target[..., :-1, :]).sum(dim=2) / total
    return (share * opaque * (x_seen - x_mesh).abs().sum(dim=-1)).sum()
