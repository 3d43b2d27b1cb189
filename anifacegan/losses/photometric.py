"""Photometric losses: a rendered image compared with its ground-truth image and geometry.

Used on paired data, where the latents and the pose of every training image are known, to initialize a generator. Every
function returns an unweighted mean over rays or points; none of them renders or calls backward.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from anifacegan.runtime.distributed import SINGLE_PROCESS, Workers

LEAST_TRANSPARENCY = 1e-3
"""Added to 1 - alpha, so that the optical depth of an opaque point is finite: 6.9."""


def colour_loss(rgb: Float[Tensor, "batch ray 3"], target: Float[Tensor, "batch ray 3"]) -> Float[Tensor, ""]:
    """Compute the mean absolute difference of colours in [0, 1]."""
    return (rgb - target).abs().mean()


def silhouette_loss(
    opacity: Float[Tensor, "batch ray"],
    covered: Float[Tensor, "batch ray"],
    known: Bool[Tensor, "batch ray"],
) -> Float[Tensor, ""]:
    """Compute the mean over all rays of the absolute difference between foreground opacity and ground-truth coverage.

    Args:
        opacity: total weight of the ray's foreground, in [0, 1].
        covered: 1 where the head covers the pixel, 0 where the background shows.
        known: rays whose coverage is known; the others add zero.
    """
    return ((opacity - covered).abs() * known).mean()


def free_space_loss(
    alpha: Float[Tensor, "batch ray point"],
    free: Bool[Tensor, "batch ray point"],
    weight: Float[Tensor, "batch ray"],
    workers: Workers = SINGLE_PROCESS,
) -> Float[Tensor, ""]:
    """Compute the weighted mean optical depth, -ln(1 - alpha), of the points in free space, between the camera and the
    face's surface.

    The gradient of alpha itself nearly vanishes where a point is opaque.

    Args:
        alpha: opacity of every point of every ray, in [0, 1].
        free: which points lie in free space; the mean is over these.
        weight: factor of the points of each ray.
        workers: the processes that share the batch; the mean is over the points of all of them.
    """
    depth = -torch.log((1 - alpha + LEAST_TRANSPARENCY) / (1 + LEAST_TRANSPARENCY))
    return (depth * free * weight[..., None]).sum() / workers.count_in_share(free)
