"""Adversarial training: generator against discriminator, with the imitation terms (Wu et al. 2022)."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import record_function

from anifacegan.data.posed_images import PosedImages, RealImages
from anifacegan.models.discriminator import Discriminator
from anifacegan.models.generator import Generator
from anifacegan.models.latent_sampling import (
    PosedLatents,
    ViewSamplingConfig,
    sample_generators,
    sample_posed_latents,
)
from anifacegan.runtime.distributed import SINGLE_PROCESS, Workers
from anifacegan.runtime.errors import ConfigError, require_above, require_at_least
from anifacegan.training.adversarial_gradients import (
    accumulate_gradients,
    condition_for_template,
    discriminator_gradients,
    frozen_template,
    generator_gradients,
    imitation_gradients,
)
from anifacegan.training.image_imitation import ImageImitation, ImitationTerms
from anifacegan.training.optim import DATA, OPTIMIZER, Precision, finite_total, take_step
from anifacegan.training.patch_gradients import Conditioning, ImageRenderer, Split
from anifacegan.training.weights import AdversarialWeights


@dataclass(frozen=True)
class AdversarialConfig:
    """Batch, order of steps and learning rates of adversarial training."""

    batch: int = 4
    """Real images, and generated images, in each step."""
    split: Split = field(default_factory=Split)
    views: ViewSamplingConfig = field(default_factory=ViewSamplingConfig)
    skip_invisible: bool = False
    """Do not shade points that less than 1/16384 of the light reaches: half the time, with gradients that differ by
    less than a thousandth. Needs split.images 1."""
    discriminator_warmup: int = 0
    """Steps at the beginning of adversarial training in which only the discriminator learns. A fresh discriminator
    would harm a generator that is already good."""
    deformation_steps: int = 2
    """Steps of deformation and alignment on their imitation terms in each iteration, before one step of the
    discriminator and one of template and manifolds. 0: all fields learn from all terms in one step."""
    image_steps: int = 1
    """How many of the deformation_steps, the last ones, also render images for the terms landmarks and geometry, where
    these have a weight; each costs as much as a step of the generator."""
    paired_rays: int = 0
    """Rays of each of schedule.batch paired images that the generator's step also compares with the data, near the
    surface, with the weights of colour, silhouette and free_space; 0: none. Needs synthetic data."""
    r1_every: int = 1
    """Apply the R1 penalty in every so many steps of the discriminator, multiplied by this number."""
    lr_generator: float = 2e-5
    """Learning rate of the generator's fields."""
    lr_discriminator: float = 2e-4
    """Learning rate of the discriminator."""
    gradient_limit: float = 0.3
    """Largest gradient norm of each network; larger gradients are clipped."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "batch", "r1_every")
        require_at_least(self, 0, "discriminator_warmup", "deformation_steps", "image_steps", "paired_rays")
        require_above(self, 0, "lr_generator", "lr_discriminator", "gradient_limit")
        if self.skip_invisible and self.split.images != 1:
            one = "1 with skip_invisible: visibility is found out one image at a time"
            raise ConfigError("split.images", self.split.images, one)

    def r1_factor(self, number: int) -> float:
        """Return the factor on the R1 penalty in the discriminator's step ``number``, counted from 0."""
        return float(self.r1_every) if number % self.r1_every == 0 else 0.0


DRAW_FOR_DISCRIMINATOR, DRAW_FOR_GENERATOR, DRAW_REAL, DRAW_FOR_DEFORMATION = range(4)
"""Purposes of the random generators of an iteration; deformation step k has DRAW_FOR_DEFORMATION + k."""
FIELDS = ("template", "deformation", "manifolds", "alignment")
"""Names of the generator's fields, in the order of the optimizers' parameter groups."""


@dataclass(frozen=True)
class Iteration:
    """One iteration of adversarial training: the source of its random draws, and its precision."""

    seed: int
    step: int
    """Step of the run, counted from 0."""
    number: int
    """Iteration of adversarial training, counted from 0."""
    precision: Precision = "float32"
    """Precision of the fields and of the face reconstruction network while images are rendered and compared. The
    discriminator is always float32: its R1 penalty takes second derivatives."""

    def generators(self, purpose: int, images: range) -> list[torch.Generator]:
        """Return a random generator for each image, given by its place in the whole batch."""
        return sample_generators(self.seed, self.step, purpose, images)


class AdversarialTraining:
    """Generator, discriminator, their optimizers, and the real images; each worker processes its share of a batch.

    Both optimizers are Adam with betas (0, 0.9). Terms of points (mesh imitation) belong to the deformation's steps.
    Terms of images (landmarks, geometry) belong to the deformation's and to the generator's step: an expression's
    shape comes from the deformation, a person's neutral surface and its colours from the template.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        real: RealImages,
        config: AdversarialConfig,
        weights: AdversarialWeights,
        imitation: ImageImitation | None = None,
        workers: Workers = SINGLE_PROCESS,
    ) -> None:
        """Create fresh optimizers. ``imitation`` holds the terms of generated images besides the discriminator's."""
        self.generator, self.discriminator, self.real = generator, discriminator, real
        self.config, self.weights, self.imitation, self.workers = config, weights, imitation, workers
        fields = {name: getattr(generator, name) for name in FIELDS if getattr(generator, name) is not None}
        self.generator_optimizer = _adam(fields, config.lr_generator)
        self.discriminator_optimizer = _adam({"discriminator": discriminator}, config.lr_discriminator)
        self.learning: dict[str, float] = {}
        """Learning rate and gradient norm of every network, from its last step."""

    def to(self, device: str) -> None:
        """Move discriminator, image terms and optimizer states; the generator has to be there already."""
        self.discriminator.to(device)
        if self.imitation is not None:
            self.imitation.to(device)
        for optimizer in (self.discriminator_optimizer, self.generator_optimizer):
            optimizer.load_state_dict(optimizer.state_dict())  # moves its moments to the weights' device

    # --------------------------------------------------------------------------------------------------------- steps
    def run_iteration(
        self,
        iteration: Iteration,
        imitation: Callable[[], dict[str, Tensor]],
        paired: Callable[[], dict[str, Tensor]] | None = None,
    ) -> dict[str, Tensor]:
        """Take the steps of deformation, discriminator and generator, in this order; returns the weighted terms.

        ``imitation`` draws mesh points anew with every call and returns weighted terms of them, ``paired`` weighted
        terms of paired images for the generator's step. In the first config.discriminator_warmup iterations only the
        discriminator learns.

        Raises:
            FloatingPointError: a term or a gradient is not finite; it has changed no weight.
        """
        if iteration.number < self.config.discriminator_warmup:
            return self.discriminator_step(iteration)
        steps = self.config.deformation_steps
        losses: dict[str, Tensor] = {}
        for k in range(steps):
            with_images = k >= steps - self.config.image_steps
            losses |= self.deformation_step(iteration, k, imitation(), with_images)
        losses |= self.discriminator_step(iteration)
        paired_terms = {} if paired is None else paired()
        if steps:
            condition = condition_for_template(self.generator)
            return losses | self.generator_step(iteration, condition, paired_terms)
        return losses | self.generator_step(iteration, other_terms=imitation() | paired_terms)

    def deformation_step(
        self, iteration: Iteration, number: int, point_terms: dict[str, Tensor], with_images: bool
    ) -> dict[str, Tensor]:
        """Take one step of deformation and alignment on imitation terms; returns the weighted terms.

        ``number`` counts the deformation's steps of the iteration. With ``with_images`` the terms of generated images
        are added to ``point_terms``.

        Raises:
            FloatingPointError: a term or a gradient is not finite; no weight has changed.
        """
        self.generator_optimizer.zero_grad()
        with frozen_template(self.generator):
            if with_images and self.imitation is not None:
                views = self._draw(iteration, DRAW_FOR_DEFORMATION + number)
                renderer = self._renderer(iteration, self.generator.condition)
                terms = imitation_gradients(renderer, views, self._imitation(iteration, views, point_terms))
            else:
                terms = accumulate_gradients(point_terms)
        return self._optimize(iteration, self.generator_optimizer, terms)

    def discriminator_step(self, iteration: Iteration) -> dict[str, Tensor]:
        """Take one step of the discriminator on real and generated images; returns the weighted terms.

        Raises:
            FloatingPointError: a term or a gradient is not finite; no weight has changed.
        """
        config = self.config
        views = self._draw(iteration, DRAW_FOR_DISCRIMINATOR)
        fake = PosedImages(self._renderer(iteration, self.generator.condition).draw(views), views.pose)
        with record_function(DATA):
            real = self.real.draw(iteration.generators(DRAW_REAL, self._share()))
            real = PosedImages(real.image.to(fake.image), real.pose.to(fake.pose))
        self.discriminator_optimizer.zero_grad()
        r1_factor = config.r1_factor(iteration.number)
        terms = discriminator_gradients(
            self.discriminator, real, fake, self.weights, r1_factor, config.split.images
        )
        return self._optimize(iteration, self.discriminator_optimizer, terms)

    def generator_step(
        self,
        iteration: Iteration,
        condition: Conditioning | None = None,
        other_terms: dict[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Take one step of the generator on adversarial and imitation terms; returns the weighted terms.

        ``condition`` decides which fields learn from the images; by default all. ``other_terms`` need no generated
        image.

        Raises:
            FloatingPointError: a term or a gradient is not finite; no weight has changed.
        """
        views = self._draw(iteration, DRAW_FOR_GENERATOR)
        renderer = self._renderer(iteration, condition or self.generator.condition)
        imitation = self._imitation(iteration, views, other_terms or {})
        self.generator_optimizer.zero_grad()
        terms = generator_gradients(renderer, self.discriminator, views, self.weights, imitation)
        return self._optimize(iteration, self.generator_optimizer, terms)

    # ----------------------------------------------------------------------------------------------------- snapshots
    def state_dict(self) -> dict[str, Any]:
        """Return discriminator and optimizer states; the generator is not included."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned.

        Raises:
            RuntimeError, ValueError: the content belongs to other networks.
        """
        for name, part in self._parts().items():
            part.load_state_dict(content[name])

    def _parts(self) -> dict[str, Any]:
        names = ("discriminator", "discriminator_optimizer", "generator_optimizer")
        return {name: getattr(self, name) for name in names}

    # ------------------------------------------------------------------------------------------------------- helpers
    def _draw(self, iteration: Iteration, purpose: int) -> PosedLatents:
        rngs = iteration.generators(purpose, self._share())
        return sample_posed_latents(self.generator, self.real.poses, self.config.views, rngs)

    def _share(self) -> range:
        """Places of this worker's images in the whole batch."""
        return range(self.config.batch)[self.workers.part(self.config.batch)]

    def _renderer(self, iteration: Iteration, condition: Conditioning) -> ImageRenderer:
        size, fov_deg = self.discriminator.config.size, self.generator.config.ray_sampling.fov_deg
        return ImageRenderer(
            condition, size, fov_deg, self.config.split, iteration.precision, self.config.skip_invisible
        )

    def _imitation(
        self, iteration: Iteration, views: PosedLatents, other_terms: dict[str, Tensor]
    ) -> ImitationTerms:
        if self.imitation is None:
            return ImitationTerms(other_terms=other_terms)
        terms = self.imitation.terms(views, self.discriminator.config.size, iteration.precision)
        return replace(terms, other_terms=other_terms)

    def _optimize(
        self, iteration: Iteration, optimizer: torch.optim.Optimizer, terms: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Take one step with the mean gradients of all workers; returns the terms of the whole batch."""
        terms = self.workers.mean(terms)
        self.workers.mean_gradients(weight for group in optimizer.param_groups for weight in group["params"])
        finite_total(iteration.step, terms)
        with record_function(OPTIMIZER):
            self.learning |= take_step(iteration.step, optimizer, self.config.gradient_limit)
        optimizer.zero_grad()
        return terms


def _adam(modules: dict[str, nn.Module], lr: float) -> torch.optim.Adam:
    groups = [{"params": list(module.parameters()), "field": name} for name, module in modules.items()]
    return torch.optim.Adam(groups, lr=lr, betas=(0.0, 0.9))
