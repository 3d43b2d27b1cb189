"""Adversarial losses: non-saturating logistic GAN losses, the R1 gradient penalty and the pose regression.

Sources: Goodfellow et al. 2014 (non-saturating loss), Mescheder et al. 2018 (R1), the pi-GAN family (pose regression).
Every function returns an unweighted mean over the images of the batch. A score is the discriminator's logit, the log
odds that an image is real. No function renders an image or calls a network.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def non_saturating_loss(scores: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
    """Compute the generator's loss: the mean over generated images of -log p(real) = softplus(-score)."""
    return functional.softplus(-scores).mean()


def discriminator_loss_real(scores: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
    """Compute the discriminator's loss on real images: the mean of -log p(real) = softplus(-score)."""
    return functional.softplus(-scores).mean()


def discriminator_loss_generated(scores: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
    """Compute the discriminator's loss on generated images: the mean of -log p(generated) = softplus(score)."""
    return functional.softplus(scores).mean()


def r1_penalty(
    scores: Float[Tensor, "batch"], images: Float[Tensor, "batch channel height width"]
) -> Float[Tensor, ""]:
    """Compute the R1 penalty without its factor: the mean over images of |d score / d image|^2.

    Multiply by ``gamma / 2``; training uses gamma = 1 and images in [-1, 1].

    Args:
        scores: one score an image, computed from ``images`` with gradients enabled; each depends on its own image only.
        images: have to require gradients.

    Returns:
        The penalty, differentiable in the discriminator's weights.
    """
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return gradient.square().flatten(1).sum(1).mean()


def pose_loss(predicted: Float[Tensor, "batch 2"], pose: Float[Tensor, "batch 2"]) -> Float[Tensor, ""]:
    """Compute the mean squared error of (pitch, yaw) over images and both angles, in squared radians."""
    return (predicted - pose).square().mean()
