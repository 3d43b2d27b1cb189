"""The deformation field imitates a morphable model (method, section 4).

Everything is in world units and squared; no function here calls a network's backward.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor

from anifacegan.distribution import ALONE, Workers

SMOOTHNESS_WIDTH = 0.002
"""Full width, per axis, of the uniform step between neighbours."""


def deformation_error(
    delta: Float[Tensor, "batch point 3"],
    delta_reference: Float[Tensor, "batch point 3"],
    confidence: Float[Tensor, "batch point"],
    workers: Workers = ALONE,
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
