"""Gradients of the adversarial and imitation losses, accumulated over parts of a batch.

Imitation losses make generated faces move as the face model's mesh does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.profiler import record_function

from anifacegan.data.posed_images import PosedImages
from anifacegan.losses.adversarial import (
    discriminator_loss_generated,
    discriminator_loss_real,
    non_saturating_loss,
    pose_loss,
    r1_penalty,
)
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.discriminator import Discriminator
from anifacegan.models.generator import ConditionedFields, FrozenField, Generator
from anifacegan.models.latent_sampling import PosedLatents
from anifacegan.training.dual import ShownMeshes
from anifacegan.training.image_imitation import ImitationTerms
from anifacegan.training.optim import BACKWARD
from anifacegan.training.patch_gradients import Conditioning, ImageRenderer, parts
from anifacegan.training.weights import AdversarialWeights


# ------------------------------------------------------------------------------------------------------- discriminator
def discriminator_gradients(
    discriminator: Discriminator,
    real: PosedImages,
    fake: PosedImages,
    weights: AdversarialWeights,
    r1_factor: float = 1.0,
    max_images: int = 0,
) -> dict[str, Tensor]:
    """Add the gradient of the discriminator's losses to the .grad of its weights; return the weighted losses, detached,
    and the shares of real and of generated images that it takes for what they are.

    Args:
        discriminator: the discriminator.
        real, fake: real and generated images, each with its head pose.
        weights: factors of the losses.
        r1_factor: multiplies the weight of the R1 penalty; if it is 0, the penalty is not computed.
        max_images: number of images that are processed at a time; 0: all.
    """
    total: dict[str, Tensor] = {}
    for images, is_real in ((real, True), (fake, False)):
        for part in parts(len(images), max_images):
            batch = images[part]
            if is_real:
                terms, right = _real_terms(discriminator, batch, weights, r1_factor)
            else:
                terms, right = _fake_terms(discriminator, batch, weights)
            share = len(batch) / len(images)
            total_of_part = share * sum(terms.values(), start=batch.image.new_zeros(()))
            with record_function(BACKWARD):
                total_of_part.backward()
            for name, value in (terms | right).items():
                total[name] = total.get(name, 0) + share * value.detach()
    return total


def _real_terms(
    discriminator: Discriminator, real: PosedImages, weights: AdversarialWeights, r1_factor: float
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Compute the losses on real images, and the share of them that the discriminator takes for real."""
    r1_weight = r1_factor * weights.discriminator_r1
    image = real.image.detach().requires_grad_(r1_weight != 0)
    output = discriminator(image, real.condition)
    terms = {
        "discriminator_real": weights.discriminator_real * discriminator_loss_real(output.logit),
        "discriminator_pose_real": weights.discriminator_pose_real * pose_loss(output.pose, real.pose),
    }
    if r1_weight:
        with record_function(BACKWARD):
            terms["discriminator_r1"] = r1_weight * r1_penalty(output.logit, image)
    return terms, {"discriminator_right_real": _share(output.logit > 0)}


def _fake_terms(
    discriminator: Discriminator, fake: PosedImages, weights: AdversarialWeights
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Compute the losses on generated images, and the share of them that the discriminator takes for generated."""
    output = discriminator(fake.image.detach(), fake.condition)
    terms = {
        "discriminator_fake": weights.discriminator_fake * discriminator_loss_generated(output.logit),
        "discriminator_pose_fake": weights.discriminator_pose_fake * pose_loss(output.pose, fake.pose),
    }
    return terms, {"discriminator_right_fake": _share(output.logit < 0)}


def _share(true: Bool[Tensor, "batch"]) -> Float[Tensor, ""]:
    return true.float().mean()


# ----------------------------------------------------------------------------------------------------------- generator
def generator_gradients(
    renderer: ImageRenderer,
    discriminator: Discriminator,
    views: PosedLatents,
    weights: AdversarialWeights,
    imitation: ImitationTerms | None = None,
    shown: ShownMeshes | None = None,
) -> dict[str, Tensor]:
    """Add the gradient of the generator's losses to the .grad of the fields' weights; return the losses, detached.

    Args:
        renderer: renders the images.
        discriminator: the discriminator; its weights get no gradient.
        views: latents and camera poses of the images.
        weights: factors of the adversarial losses.
        imitation: losses that make generated faces move as the face model's mesh does; None: no such losses.
        shown: what the discriminator sees beside the images; None: nothing.
    """
    imitation = imitation or ImitationTerms()

    def image_terms(image: Tensor, part: slice) -> dict[str, Tensor]:
        output = discriminator(image) if shown is None else shown[part].judged(discriminator, image)
        share = len(image) / len(views)
        terms = {
            "generator_fake": share * weights.generator_fake * non_saturating_loss(output.logit),
            "generator_pose": share * weights.generator_pose * pose_loss(output.pose, views.pose[part]),
        }
        return terms if imitation.image_terms is None else terms | imitation.image_terms(image, part)

    return imitation_gradients(renderer, views, replace(imitation, image_terms=image_terms))


def imitation_gradients(
    renderer: ImageRenderer, views: PosedLatents, imitation: ImitationTerms
) -> dict[str, Tensor]:
    """Add the gradient of the imitation losses to the .grad of the fields' weights; return the losses, detached.

    Imitation losses make generated faces move as the face model's mesh does. ``views`` are latents and camera poses of
    images; the images are rendered only if one of the losses needs them.
    """
    terms = accumulate_gradients(imitation.other_terms)  # first: frees their graph before images are rendered
    if imitation.image_terms is not None or imitation.ray_terms is not None:
        terms |= renderer.accumulate_gradients(views, imitation.image_terms, imitation.ray_terms)
    return terms


def accumulate_gradients(terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add the gradient of the sum of ``terms`` to the .grad of all weights on which the terms depend.

    Returns the terms, detached.
    """
    if terms:
        with record_function(BACKWARD):
            torch.stack(list(terms.values())).sum().backward()
    return {name: value.detach() for name, value in terms.items()}


# -------------------------------------------------------------------------------------------------- which fields learn
def condition_for_template(generator: Generator) -> Conditioning:
    """Return a function from latents to fields that evaluate the deformation without gradients.

    Otherwise the function is like ``generator.condition``. Template and manifolds learn from images that are rendered
    with these fields; the deformation does not.
    """

    def condition(latents: Latents) -> ConditionedFields:
        fields = generator.condition(latents)
        return replace(fields, offset=FrozenField(fields.offset))

    return condition


@contextmanager
def frozen_template(generator: Generator) -> Iterator[None]:
    """Freeze template and manifolds inside the block, so that only the deformation learns."""
    weights = [*generator.template.parameters(), *generator.manifolds.parameters()]
    try:
        for weight in weights:
            weight.requires_grad_(False)
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)
