"""Imitation losses: the generated face follows the 3D morphable model (3DMM; Wu et al. 2022).

    deformation   L_3DMM = mean of confidence * |D(x) - (x_neutral - x_expressive)|^2     over points near the mesh
    smoothness    mean of |D(x) - D(x + e)|^2                                             e small and random
    offset        mean of |D(x)|^2                                                        free space, and neutral faces
    surface       L_Ch = mean of |x_surface - x_mesh|_1                                   over the rays of a camera
    landmarks     L_lm = mean of |landmark - target|^2

D is the deformation field, which maps a target point to its offset to the template. All points are in world units. The
functions take finished outputs and never call backward.
"""

from jaxtyping import Float
from torch import Tensor

from anifacegan.runtime.distributed import SINGLE_PROCESS, Workers

NEIGHBOUR_WIDTH = 0.002
"""Width, in world units, of the uniform distribution from which the offset to a neighbouring point, at which the
smoothness loss compares the deformation, is drawn on each axis."""
LEAST_OPACITY = 0.01
"""Smallest foreground opacity of a ray that has a surface point; other rays do not count. The threshold has no
gradient."""


def deformation_loss(
    delta: Float[Tensor, "batch point 3"],
    delta_reference: Float[Tensor, "batch point 3"],
    confidence: Float[Tensor, "batch point"],
    workers: Workers = SINGLE_PROCESS,
) -> Float[Tensor, ""]:
    """Compute L_3DMM: the confidence-weighted mean squared distance between predicted offsets and those of the 3DMM.

    Args:
        delta: predicted offsets D(x).
        delta_reference: neutral minus expressive position of the same points of the 3DMM.
        confidence: weight of each point, in [0, 1].
        workers: the processes that share the batch; the mean is over the points of all of them.
    """
    squared = (delta - delta_reference).square().sum(-1)
    return (confidence * squared).sum() / workers.count_in_share(confidence)


def neighbours(
    x_target: Float[Tensor, "batch point 3"], uniform: Float[Tensor, "batch point 3"]
) -> Float[Tensor, "batch point 3"]:
    """Return points x + e near the points x (world units), with e = NEIGHBOUR_WIDTH * (uniform - 0.5); ``uniform`` are
    random numbers in [0, 1)."""
    return x_target + NEIGHBOUR_WIDTH * (uniform - 0.5)


def smoothness_loss(
    delta: Float[Tensor, "batch point 3"], delta_of_neighbour: Float[Tensor, "batch point 3"]
) -> Float[Tensor, ""]:
    """Compute the mean of |D(x) - D(x + e)|^2: the squared differences between the deformation's offsets at points x
    (``delta``) and at points x + e close to them (``delta_of_neighbour``), world units squared.
    """
    return (delta - delta_of_neighbour).square().sum(-1).mean()


def offset_loss(delta: Float[Tensor, "batch point 3"]) -> Float[Tensor, ""]:
    """Compute the mean squared length of the deformation's offsets ``delta`` at points where they should be zero:
    anywhere in the head's box (weakly), or on a neutral face.
    """
    return delta.square().sum(-1).mean()


def surface_loss(
    x_surface: Float[Tensor, "batch ray 3"],
    opacity: Float[Tensor, "batch ray"],
    x_mesh: Float[Tensor, "batch ray 3"],
    share: Float[Tensor, "batch ray"],
) -> Float[Tensor, ""]:
    """Compute L_Ch: the weighted sum of L1 distances between the generated surface and the face model's (3DMM) mesh
    along camera rays, world units.

    Args:
        x_surface: the ray's surface point: the mean of its points without the background plane, weighted by how much
            each contributes to the pixel.
        opacity: total weight of the ray's foreground, in [0, 1]. A ray counts as much as it is opaque, so that half
            transparent faces, as at the start of a training, learn too; rays below LEAST_OPACITY add nothing.
        x_mesh: the point where the same ray meets the mesh.
        share: weight of the ray in the sum: 1 / (face pixels of the image) on the face, 0 elsewhere.

    Returns:
        The loss, differentiable in ``x_surface`` only: no ray becomes transparent to lower it.
    """
    certain = opacity.detach() * (opacity >= LEAST_OPACITY)
    return (share * certain * (x_surface - x_mesh).abs().sum(dim=-1)).sum()


def landmark_loss(
    landmarks: Float[Tensor, "batch landmark 3"], target: Float[Tensor, "batch landmark 3"]
) -> Float[Tensor, ""]:
    """Compute L_lm: the mean squared distance between landmarks of a face and the positions that they should have.

    The unit is the square of the arguments' unit (training uses world units).
    """
    return (landmarks - target).square().sum(-1).mean()
