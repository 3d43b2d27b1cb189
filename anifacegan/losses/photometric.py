"""The rendered image against the one that was taken. For paired data: the warm start of a generator.

Terms are means over rays, named and weighted by the caller; no function here renders or calls backward.
"""

from jaxtyping import Bool, Float
from torch import Tensor

from anifacegan.runtime.distributed import SINGLE_PROCESS, Workers


def colour_error(
    rgb: Float[Tensor, "batch ray 3"], target: Float[Tensor, "batch ray 3"]
) -> Float[Tensor, ""]:
    """Mean absolute difference of colours in [0, 1]."""
    return (rgb - target).abs().mean()


def silhouette_error(
    foreground: Float[Tensor, "batch ray"],
    covered: Float[Tensor, "batch ray"],
    known: Bool[Tensor, "batch ray"],
) -> Float[Tensor, ""]:
    """Mean absolute difference of the head's opacity from its true cover, where the cover is known."""
    return ((foreground - covered).abs() * known).mean()


def free_space(
    alpha: Float[Tensor, "batch ray point"],
    free: Bool[Tensor, "batch ray point"],
    workers: Workers = SINGLE_PROCESS,
) -> Float[Tensor, ""]:
    """Mean opacity of points that lie before the surface, where nothing is."""
    return (alpha * free).sum() / workers.count_in_share(free)
