"""The deformation field imitates a morphable model (method, section 4).

Everything is in world units and squared; no function here calls a network's backward.

The generated surface against the face model's, on the rays of one camera (method, section 4, L_Ch).

    error = mean over the face's pixels of |x_seen - x_mesh|_1

x_seen is the mean of the points that a ray sees, weighted as it sees them, without the background plane. Both
points lie on the same ray. World units.

The face that an image shows against the one that was asked for, by its landmarks (method, section 4, L_lm).
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from anifacegan.runtime.distributed import SINGLE_PROCESS, Workers

SMOOTHNESS_WIDTH = 0.002
"""Full width, per axis, of the uniform step between neighbours."""


def deformation_error(
    delta: Float[Tensor, "batch point 3"],
    delta_reference: Float[Tensor, "batch point 3"],
    confidence: Float[Tensor, "batch point"],
    workers: Workers = SINGLE_PROCESS,
) -> Float[Tensor, ""]:
    """L_3DMM: mean squared length of D(x) - (neutral vertex - expressive vertex), weighted by confidence."""
    squared = (delta - delta_reference).square().sum(-1)
    return (confidence * squared).sum() / workers.count_in_share(confidence)


def roughness(
    offset: Callable[[Tensor], Tensor],
    x_target: Float[Tensor, "batch point 3"],
    uniform: Float[Tensor, "batch point 3"],
) -> Float[Tensor, ""]:
    """Mean ||D(x) - D(x + e)||^2, e uniform with a full width of 0.002 per axis; ``uniform`` is drawn from [0, 1)."""
    neighbour = x_target + SMOOTHNESS_WIDTH * (uniform - 0.5)
    return (offset(x_target) - offset(neighbour)).square().sum(-1).mean()


def magnitude(delta: Float[Tensor, "batch point 3"]) -> Float[Tensor, ""]:
    """Mean ||D(x)||^2: for points away from the mesh, and for neutral faces."""
    return delta.square().sum(-1).mean()


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
    keeps its share and adds nothing, so parts of an image add up to the whole. Differentiable in ``x_seen``.
    """
    opaque = opacity >= OPAQUE
    return (share * opaque * (x_seen - x_mesh).abs().sum(dim=-1)).sum()


def landmark_error(
    found: Float[Tensor, "batch landmark 3"], target: Float[Tensor, "batch landmark 3"]
) -> Float[Tensor, ""]:
    """L_lm: mean squared distance over images and landmarks, in the squared unit of the points."""
    return (found - target).square().sum(-1).mean()
