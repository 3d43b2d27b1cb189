"""Adversarial training: a discriminator learns to tell renders from photographs, the generator to fool it (method,
section 4).
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import record_function

from anifacegan.data.posed_images import PosedImages, RealImages
from anifacegan.models.discriminator import Discriminator
from anifacegan.models.generator import Generator
from anifacegan.models.sampling import (
    PosedLatents,
    ViewSamplingConfig,
    sample_generators,
    sample_posed_latents,
)
from anifacegan.runtime.distributed import SINGLE_PROCESS, Workers
from anifacegan.runtime.errors import ConfigError, require_above, require_at_least
from anifacegan.training.adversarial_gradients import (
    AdversarialWeights,
    discriminator_gradients,
    generator_gradients,
    imitation_gradients,
    own_gradients,
    points_alone,
    template_alone,
)
from anifacegan.training.image_imitation import ImageImitation, ImitationTerms
from anifacegan.training.optim import DATA, OPTIMISER, Precision, finite_total, take_step
from anifacegan.training.patch_gradients import Conditioning, ImageRenderer, Split


@dataclass(frozen=True)
class AdversarialConfig:
    """How adversarial training is played."""

    batch: int = 4
    """Images of each kind a step."""
    split: Split = field(default_factory=Split)
    views: ViewSamplingConfig = field(default_factory=ViewSamplingConfig)
    skip_invisible: bool = False
    """Leave out points that less than 1/16384 of the light reaches: half the time, and gradients within a thousandth.
    Needs split.images 1."""
    discriminator_warmup: int = 0
    """Steps at the beginning in which the discriminator learns alone: what a fresh one says of a generator that is
    already good would only harm it."""
    deformation_steps: int = 2
    """Steps of the deformation field (and the alignment) on its imitation terms before each of the others. With 0 all
    fields learn from all terms at once."""
    image_steps: int = 1
    """Of the deformation's steps, the last so many also render images for the landmarks and the geometry, where
    these terms have a weight; each costs as much as a step of the generator."""
    paired_rays: int = 0
    """An anchor: in the generator's step, template and alignment are also compared with so many rays of each of
    schedule.batch synthetic images, near the surface as in the paired steps, and with the weights of colour,
    silhouette and free space. 0 is without. Photographs hold no codes to compare with."""
    r1_every: int = 1
    """The slope is penalised every so many steps of the discriminator, and so many times as much."""
    lr_generator: float = 2e-5
    lr_discriminator: float = 2e-4
    gradient_limit: float = 0.3
    """Largest norm of a network's gradient."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "batch", "r1_every")
        require_at_least(self, 0, "discriminator_warmup", "deformation_steps", "image_steps", "paired_rays")
        require_above(self, 0, "lr_generator", "lr_discriminator", "gradient_limit")
        if self.skip_invisible and self.split.images != 1:
            one = "1 with skip_invisible: visibility is found out one image at a time"
            raise ConfigError("split.images", self.split.images, one)

    def r1_factor(self, turn: int) -> float:
        """Factor on the slope's weight in the discriminator's step number ``turn``."""
        return float(self.r1_every) if turn % self.r1_every == 0 else 0.0


FOR_DISCRIMINATOR, FOR_GENERATOR, OF_REAL, FOR_DEFORMATION = range(4)
"""What a random generator draws; the deformation's steps in their order from FOR_DEFORMATION on."""
FIELDS = ("template", "deformation", "manifolds", "alignment")


@dataclass(frozen=True)
class Iteration:
    """Everything that a step draws comes from here, and how exactly it computes."""

    seed: int
    step: int
    """Of the run."""
    number: int
    """Of the discriminator's steps, from 0."""
    precision: Precision = "float32"
    """Of the fields while images are rendered, and of the network R; the discriminator is always float32: its
    penalty takes the slope of a slope."""

    def generators(self, purpose: int, images: range) -> list[torch.Generator]:
        """One an image, by its place in the whole batch."""
        return sample_generators(self.seed, self.step, purpose, images)


class AdversarialTraining:
    """A generator, its discriminator, what each learns with, and the real images; each of ``workers`` has its share.

    The optimisers are Adam with betas (0, 0.9). Weights change only in the three steps.
    """

    imitation: ImageImitation | None = None
    """What generated images are compared with beside the discriminator's opinion; None compares them with nothing."""

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        real: RealImages,
        config: AdversarialConfig,
        weights: AdversarialWeights,
        workers: Workers = SINGLE_PROCESS,
    ) -> None:
        self.generator, self.discriminator, self.real = generator, discriminator, real
        self.config, self.weights, self.workers = config, weights, workers
        fields = {name: getattr(generator, name) for name in FIELDS if getattr(generator, name) is not None}
        self.generator_optimiser = _adam(fields, config.lr_generator)
        self.discriminator_optimiser = _adam({"discriminator": discriminator}, config.lr_discriminator)
        self.learning: dict[str, float] = {}
        """Learning rate and gradient norm of every network, of the last step it took since adversarial training was made."""

    def to(self, device: str) -> None:
        """Move the discriminator and what the optimisers keep; the generator is its owner's to move, before this."""
        self.discriminator.to(device)
        if self.imitation is not None:
            self.imitation.to(device)
        for optimiser in (self.discriminator_optimiser, self.generator_optimiser):
            optimiser.load_state_dict(optimiser.state_dict())  # it puts its moments where the weights are

    def play(
        self,
        turn: Iteration,
        imitation: Callable[[], dict[str, Tensor]],
        anchor: Callable[[], dict[str, Tensor]] | None = None,
    ) -> dict[str, Tensor]:
        """Some steps of the deformation field, one of the discriminator, one of the generator (method, section 4).

        ``imitation`` draws points and returns weighted terms, other ones with every call. Terms of points belong to
        the deformation's steps alone. Terms of images (landmarks, geometry) belong to both: an expression's shape
        comes from the deformation, but where a person's neutral surface lies, and what is drawn on it, is the
        template's. The generator's step has rendered its images anyway; of the deformation's steps, the cheap ones
        on points come first and ``image_steps`` with images last. ``anchor`` draws pairs of codes and images and
        returns weighted terms of them; they belong to the generator's step.

        The first ``discriminator_warmup`` turns are the discriminator's alone. Returns the weighted terms, of the
        imitation the last ones.

        Raises:
            FloatingPointError: a term or a gradient is not finite; it has changed no weight.
        """
        if turn.number < self.config.discriminator_warmup:
            return self.discriminator_step(turn)
        steps = self.config.deformation_steps
        terms: dict[str, Tensor] = {}
        for k in range(steps):
            terms |= self.deformation_step(turn, k, imitation(), images=steps - k <= self.config.image_steps)
        judged = self.discriminator_step(turn)
        paired = {} if anchor is None else anchor()
        if steps:
            return terms | judged | self.generator_step(turn, template_alone(self.generator), paired)
        return judged | self.generator_step(turn, beside=imitation() | paired)

    def deformation_step(
        self, turn: Iteration, number: int, points: dict[str, Tensor], images: bool
    ) -> dict[str, Tensor]:
        """Deformation and alignment imitate the face model, on points and, where asked, in whole ``images``.

        ``number`` counts the turn's steps of this kind. Returns the weighted terms.

        Raises:
            FloatingPointError: a term or a gradient is not finite; no weight has changed.
        """
        self.generator_optimiser.zero_grad()
        with points_alone(self.generator):
            if images and self.imitation is not None:
                views = self._draw(turn, FOR_DEFORMATION + number)
                renderer = self._renderer(turn, self.generator.condition)
                terms = imitation_gradients(renderer, views, self._imitation(turn, views, points))
            else:
                terms = own_gradients(points)
        return self._optimise(turn, self.generator_optimiser, terms)

    def discriminator_step(self, turn: Iteration) -> dict[str, Tensor]:
        """Real images up, generated ones down. Returns the weighted terms.

        Raises:
            FloatingPointError: a term or a gradient is not finite; no weight has changed.
        """
        config = self.config
        views = self._draw(turn, FOR_DISCRIMINATOR)
        fake = PosedImages(self._renderer(turn, self.generator.condition).draw(views), views.pose)
        with record_function(DATA):
            real = self.real.draw(turn.generators(OF_REAL, self._images()))
            real = PosedImages(real.image.to(fake.image), real.pose.to(fake.pose))
        self.discriminator_optimiser.zero_grad()
        factor = config.r1_factor(turn.number)
        terms = discriminator_gradients(
            self.discriminator, real, fake, self.weights, factor, config.split.images
        )
        return self._optimise(turn, self.discriminator_optimiser, terms)

    def generator_step(
        self, turn: Iteration, condition: Conditioning | None = None, beside: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Generated images up, and like the face model. Returns the weighted terms.

        ``condition`` decides which fields the images teach, all of them where it is left out; ``beside`` are terms
        that look at no generated image.

        Raises:
            FloatingPointError: a term or a gradient is not finite; no weight has changed.
        """
        views = self._draw(turn, FOR_GENERATOR)
        renderer = self._renderer(turn, condition or self.generator.condition)
        imitation = self._imitation(turn, views, beside or {})
        self.generator_optimiser.zero_grad()
        terms = generator_gradients(renderer, self.discriminator, views, self.weights, imitation)
        return self._optimise(turn, self.generator_optimiser, terms)

    def state_dict(self) -> dict[str, Any]:
        """What adversarial training holds beside the generator."""
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Raises RuntimeError or ValueError where the content is of other networks."""
        for name, part in self._parts().items():
            part.load_state_dict(content[name])

    def _parts(self) -> dict[str, Any]:
        names = ("discriminator", "discriminator_optimiser", "generator_optimiser")
        return {name: getattr(self, name) for name in names}

    def _draw(self, turn: Iteration, purpose: int) -> PosedLatents:
        rngs = turn.generators(purpose, self._images())
        return sample_posed_latents(self.generator, self.real.poses, self.config.views, rngs)

    def _imitation(self, turn: Iteration, views: PosedLatents, points: dict[str, Tensor]) -> ImitationTerms:
        if self.imitation is None:
            return ImitationTerms(beside=points)
        of_images = self.imitation.terms(views, self.discriminator.config.size, turn.precision)
        return replace(of_images, beside=points)

    def _images(self) -> range:
        """Those that this worker draws, by their places in the whole batch."""
        return range(self.config.batch)[self.workers.part(self.config.batch)]

    def _optimise(
        self, turn: Iteration, optimiser: torch.optim.Optimizer, terms: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """One step with the gradients of the whole batch; returns its terms."""
        terms = self.workers.mean(terms)
        self.workers.mean_gradients(weight for group in optimiser.param_groups for weight in group["params"])
        finite_total(turn.step, terms)
        with record_function(OPTIMISER):
            self.learning |= take_step(turn.step, optimiser, self.config.gradient_limit)
        optimiser.zero_grad()
        return terms

    def _renderer(self, turn: Iteration, condition: Conditioning) -> ImageRenderer:
        size, fov_deg = self.discriminator.config.size, self.generator.config.ray_sampling.fov_deg
        return ImageRenderer(
            condition, size, fov_deg, self.config.split, turn.precision, self.config.skip_invisible
        )


def _adam(modules: dict[str, nn.Module], lr: float) -> torch.optim.Adam:
    groups = [{"params": list(module.parameters()), "field": name} for name, module in modules.items()]
    return torch.optim.Adam(groups, lr=lr, betas=(0.0, 0.9))
