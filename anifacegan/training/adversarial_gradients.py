"""Gradients of the adversarial terms, of a batch in parts as of the whole (method, section 4).

The generator also takes the imitation terms here, whatever they look at: images, what rays saw, or points.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
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
from anifacegan.models.sampling import PosedLatents
from anifacegan.runtime.errors import require_at_least
from anifacegan.training.image_imitation import ImitationTerms
from anifacegan.training.optim import BACKWARD
from anifacegan.training.patch_gradients import Conditioning, ImageRenderer, parts


@dataclass(frozen=True)
class AdversarialWeights:
    """Factors of the terms; 0 switches one off."""

    generator_fake: float = 1.0
    """-log p(real) of generated images: the generator fools the discriminator."""
    generator_pose: float = 15.0
    """Squared error of the pose that the discriminator sees in generated images, for the generator."""
    discriminator_real: float = 1.0
    """-log p(real) of real images."""
    discriminator_fake: float = 1.0
    """-log p(generated) of generated images."""
    discriminator_r1: float = 0.5
    """Squared slope of the score at real images: half of gamma, which is 1."""
    discriminator_pose_real: float = 15.0
    """Squared error of the pose of real images."""
    discriminator_pose_fake: float = 15.0
    """Squared error of the pose of generated images."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, *vars(self))


# ------------------------------------------------------------------------------------------------------- discriminator
def discriminator_gradients(
    discriminator: Discriminator,
    real: PosedImages,
    fake: PosedImages,
    weights: AdversarialWeights,
    r1_factor: float = 1.0,
    most: int = 0,
) -> dict[str, Tensor]:
    """Add the gradient of the discriminator's terms, ``most`` images at a time; returns the terms, detached."""
    total: dict[str, Tensor] = {}
    for images, is_real in ((real, True), (fake, False)):
        for part in parts(len(images), most):
            some = images[part]
            if is_real:
                terms = _terms_of_real(discriminator, some, weights, r1_factor)
            else:
                terms = _terms_of_fake(discriminator, some, weights)
            share = len(some) / len(images)
            total_of_part = share * sum(terms.values(), start=some.image.new_zeros(()))
            with record_function(BACKWARD):
                total_of_part.backward()
            for name, value in terms.items():
                total[name] = total.get(name, 0) + share * value.detach()
    return total


def _terms_of_real(
    discriminator: Discriminator, real: PosedImages, weights: AdversarialWeights, r1_factor: float
) -> dict[str, Tensor]:
    factor = r1_factor * weights.discriminator_r1
    image = real.image.detach().requires_grad_(factor != 0)
    judged = discriminator(image)
    terms = {
        "discriminator_real": weights.discriminator_real * discriminator_loss_real(judged.logit),
        "discriminator_pose_real": weights.discriminator_pose_real * pose_loss(judged.pose, real.pose),
    }
    if factor:
        with record_function(BACKWARD):
            terms["discriminator_r1"] = factor * r1_penalty(judged.logit, image)
    return terms


def _terms_of_fake(
    discriminator: Discriminator, fake: PosedImages, weights: AdversarialWeights
) -> dict[str, Tensor]:
    judged = discriminator(fake.image.detach())
    return {
        "discriminator_fake": weights.discriminator_fake * discriminator_loss_generated(judged.logit),
        "discriminator_pose_fake": weights.discriminator_pose_fake * pose_loss(judged.pose, fake.pose),
    }


# ----------------------------------------------------------------------------------------------------------- generator
def generator_gradients(
    renderer: ImageRenderer,
    discriminator: Discriminator,
    views: PosedLatents,
    weights: AdversarialWeights,
    imitation: ImitationTerms | None = None,
) -> dict[str, Tensor]:
    """Add the gradient of the generator's terms; returns the terms, detached. The discriminator gets no gradient."""
    also = imitation or ImitationTerms()

    def image_terms(image: Tensor, part: slice) -> dict[str, Tensor]:
        judged = discriminator(image)
        share = len(image) / len(views)
        terms = {
            "generator_fake": share * weights.generator_fake * non_saturating_loss(judged.logit),
            "generator_pose": share * weights.generator_pose * pose_loss(judged.pose, views.pose[part]),
        }
        return terms if also.of_images is None else terms | also.of_images(image, part)

    return imitation_gradients(renderer, views, replace(also, of_images=image_terms))


def imitation_gradients(
    renderer: ImageRenderer, views: PosedLatents, imitation: ImitationTerms
) -> dict[str, Tensor]:
    """Add the gradient of these terms alone; returns them, detached. Nothing is rendered that no term looks at."""
    terms = own_gradients(imitation.beside)  # first: no graph waits while images are drawn
    if imitation.of_images is not None or imitation.of_rays is not None:
        terms |= renderer.accumulate_gradients(views, imitation.of_images, imitation.of_rays)
    return terms


def own_gradients(terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add the gradient of terms that look at no generated image; returns them, detached."""
    if terms:
        with record_function(BACKWARD):
            torch.stack(list(terms.values())).sum().backward()
    return {name: value.detach() for name, value in terms.items()}


def template_alone(generator: Generator) -> Conditioning:
    """Binds codes so that only template and manifolds learn: points stay where the other fields carry them."""

    def condition(latents: Latents) -> ConditionedFields:
        fields = generator.condition(latents)
        align = None if fields.align is None else FrozenField(fields.align)
        return replace(fields, offset=FrozenField(fields.offset), align=align)

    return condition


@contextmanager
def points_alone(generator: Generator) -> Iterator[None]:
    """Inside, template and manifolds learn nothing: deformation and alignment learn from what these show."""
    weights = [*generator.template.parameters(), *generator.manifolds.parameters()]
    try:
        for weight in weights:
            weight.requires_grad_(False)
        yield
    finally:
        for weight in weights:
            weight.requires_grad_(True)
