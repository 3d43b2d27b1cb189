"""The adversarial terms: a discriminator tells photographs from renders, and says how the head is turned.

Non-saturating logistic losses (Goodfellow et al. 2014), the gradient penalty R1 (Mescheder et al. 2018) and the pose
regression of the pi-GAN family (method, section 4). Terms are means over the images and unweighted; a logit is the
log odds that an image is real. No function here draws an image or calls a network.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional


def non_saturating_loss(logit: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
    """Mean -log p(real): of real images for the discriminator, of generated ones for the generator."""
    return functional.softplus(-logit).mean()


def generated_loss(logit: Float[Tensor, "batch"]) -> Float[Tensor, ""]:
    """Mean -log p(generated): of generated images, for the discriminator."""
    return functional.softplus(logit).mean()


def gradient_penalty(
    logit: Float[Tensor, "batch"], image: Float[Tensor, "batch channel height width"]
) -> Float[Tensor, ""]:
    """R1 without its factor: mean |d logit / d image|^2, summed over the values of an image.

    The penalty is ``gamma / 2`` times this with gamma 1 (method, section 4: ``0.5 * 1 * |grad|^2``), for images in
    [-1, 1]; the factor is the caller's weight. ``image`` has to require gradients, and ``logit`` to be computed from
    it, each from its own image. Differentiable in what the logits were computed with.
    """
    (slope,) = torch.autograd.grad(logit.sum(), image, create_graph=True)
    return slope.square().flatten(1).sum(1).mean()


def pose_error(predicted: Float[Tensor, "batch 2"], pose: Float[Tensor, "batch 2"]) -> Float[Tensor, ""]:
    """Mean squared error over images and both angles (pitch, yaw), radians squared."""
    return (predicted - pose).square().mean()
