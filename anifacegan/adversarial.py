"""One step of the adversarial game: the discriminator learns to tell renders from photographs, the generator to fool it
(method, section 4).

Both steps take a batch in parts and add up gradients that equal the unsplit ones. The generator's step also takes the
imitation terms, whatever they look at: pictures, what rays saw, or points.
"""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from anifacegan.image_gradients import Conditioning, ImageTerms, PictureRenderer, RayTerms, Split, parts
from anifacegan.losses.adversarial import pose_error, squared_slope, taken_for_generated, taken_for_real
from anifacegan.models.discriminator import Discriminator
from anifacegan.models.generator import Avatar, Generator
from anifacegan.models.latents import Latents
from anifacegan.real_pictures import PosedPictures, RealPictures
from anifacegan.views import ViewConfig, Views, draw_views, sample_generators


@dataclass(frozen=True)
class AdversarialWeights:
    """Factors of the terms; 0 switches one off."""

    generator_fake: float = 1.0
    """-log p(real) of generated pictures: the generator fools the discriminator."""
    generator_pose: float = 15.0
    """Squared error of the pose that the discriminator sees in generated pictures, for the generator."""
    discriminator_real: float = 1.0
    """-log p(real) of real pictures."""
    discriminator_fake: float = 1.0
    """-log p(generated) of generated pictures."""
    discriminator_r1: float = 0.5
    """Squared slope of the score at real pictures: half of gamma, which is 1."""
    discriminator_pose_real: float = 15.0
    """Squared error of the pose of real pictures."""
    discriminator_pose_fake: float = 15.0
    """Squared error of the pose of generated pictures."""


@dataclass(frozen=True)
class AdversarialConfig:
    """How the game is played."""

    batch: int = 4
    """Pictures of each kind a step."""
    split: Split = field(default_factory=Split)
    views: ViewConfig = field(default_factory=ViewConfig)
    r1_every: int = 1
    """The slope is penalised every so many steps of the discriminator, and so many times as much."""
    lr_generator: float = 2e-5
    lr_discriminator: float = 2e-4
    gradient_limit: float = 0.3
    """Largest norm of a network's gradient."""

    def __post_init__(self) -> None:
        for name in ("batch", "r1_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"adversarial.{name} is {getattr(self, name)}, expected at least 1")

    def r1_factor(self, turn: int) -> float:
        """Factor on the slope's weight in the discriminator's step number ``turn``."""
        return float(self.r1_every) if turn % self.r1_every == 0 else 0.0


@dataclass(frozen=True)
class ImitationTerms:
    """Weighted terms that the generator's step takes beside the adversarial ones."""

    of_images: ImageTerms | None = None
    of_rays: RayTerms | None = None
    of_points: dict[str, Tensor] = field(default_factory=dict)


# ------------------------------------------------------------------------------------------------------- discriminator
def discriminator_gradients(
    discriminator: Discriminator,
    real: PosedPictures,
    fake: PosedPictures,
    weights: AdversarialWeights,
    r1_factor: float = 1.0,
    most: int = 0,
) -> dict[str, Tensor]:
    """Add the gradient of the discriminator's terms, ``most`` pictures at a time; returns the terms, detached."""
    total: dict[str, Tensor] = {}
    for pictures, is_real in ((real, True), (fake, False)):
        for part in parts(len(pictures), most):
            some = pictures[part]
            if is_real:
                terms = _terms_of_real(discriminator, some, weights, r1_factor)
            else:
                terms = _terms_of_fake(discriminator, some, weights)
            share = len(some) / len(pictures)
            (share * sum(terms.values(), start=some.image.new_zeros(()))).backward()
            for name, value in terms.items():
                total[name] = total.get(name, 0) + share * value.detach()
    return total


def _terms_of_real(
    discriminator: Discriminator, real: PosedPictures, weights: AdversarialWeights, r1_factor: float
) -> dict[str, Tensor]:
    factor = r1_factor * weights.discriminator_r1
    image = real.image.detach().requires_grad_(factor != 0)
    judged = discriminator(image)
    terms = {
        "discriminator_real": weights.discriminator_real * taken_for_real(judged.logit),
        "discriminator_pose_real": weights.discriminator_pose_real * pose_error(judged.pose, real.pose),
    }
    if factor:
        terms["discriminator_r1"] = factor * squared_slope(judged.logit, image)
    return terms


def _terms_of_fake(
    discriminator: Discriminator, fake: PosedPictures, weights: AdversarialWeights
) -> dict[str, Tensor]:
    judged = discriminator(fake.image.detach())
    return {
        "discriminator_fake": weights.discriminator_fake * taken_for_generated(judged.logit),
        "discriminator_pose_fake": weights.discriminator_pose_fake * pose_error(judged.pose, fake.pose),
    }


# ----------------------------------------------------------------------------------------------------------- generator
def generator_gradients(
    renderer: PictureRenderer,
    discriminator: Discriminator,
    views: Views,
    weights: AdversarialWeights,
    imitation: ImitationTerms | None = None,
) -> dict[str, Tensor]:
    """Add the gradient of the generator's terms; returns the terms, detached. The discriminator gets no gradient."""
    also = imitation or ImitationTerms()

    def image_terms(image: Tensor, part: slice) -> dict[str, Tensor]:
        judged = discriminator(image)
        share = len(image) / len(views)
        terms = {
            "generator_fake": share * weights.generator_fake * taken_for_real(judged.logit),
            "generator_pose": share * weights.generator_pose * pose_error(judged.pose, views.pose[part]),
        }
        return terms if also.of_images is None else terms | also.of_images(image, part)

    terms = renderer.accumulate_gradients(views, image_terms, also.of_rays)
    if also.of_points:
        torch.stack(list(also.of_points.values())).sum().backward()
    return terms | {name: value.detach() for name, value in also.of_points.items()}


def template_alone(generator: Generator) -> Conditioning:
    """Binds codes so that only template and manifolds learn: points stay where the other fields carry them."""

    def condition(latents: Latents) -> Avatar:
        avatar = generator.condition(latents)
        align = None if avatar.align is None else torch.no_grad()(avatar.align)
        return replace(avatar, offset=torch.no_grad()(avatar.offset), align=align)

    return condition


# ------------------------------------------------------------------------------------------------------------ the game
FOR_DISCRIMINATOR, FOR_GENERATOR, OF_REAL = range(3)
"""What a random generator draws."""
FIELDS = ("template", "deformation", "manifolds", "alignment")


@dataclass(frozen=True)
class Turn:
    """Everything that a step draws comes from here."""

    seed: int
    step: int
    """Of the run."""
    number: int
    """Of the discriminator's steps, from 0."""

    def generators(self, purpose: int, count: int) -> list[torch.Generator]:
        """One a picture."""
        return sample_generators(self.seed, self.step, purpose, range(count))


class AdversarialGame:
    """A generator, its discriminator, what each learns with, and the real pictures.

    The optimisers are Adam with betas (0, 0.9). Weights change only in the two steps.
    """

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator,
        real: RealPictures,
        config: AdversarialConfig,
        weights: AdversarialWeights,
    ) -> None:
        self.generator, self.discriminator, self.real = generator, discriminator, real
        self.config, self.weights = config, weights
        fields = {name: getattr(generator, name) for name in FIELDS if getattr(generator, name) is not None}
        self.generator_optimiser = _adam(fields, config.lr_generator)
        self.discriminator_optimiser = _adam({"discriminator": discriminator}, config.lr_discriminator)

    def discriminator_step(self, turn: Turn) -> dict[str, Tensor]:
        """Real pictures up, generated ones down. Returns the weighted terms.

        Raises:
            FloatingPointError: a term or a gradient is not finite; no weight has changed.
        """
        config = self.config
        views = self._draw(turn, FOR_DISCRIMINATOR)
        fake = PosedPictures(self._renderer(self.generator.condition).draw(views), views.pose)
        real = self.real.draw(turn.generators(OF_REAL, config.batch))
        self.discriminator_optimiser.zero_grad()
        factor = config.r1_factor(turn.number)
        terms = discriminator_gradients(
            self.discriminator, real, fake, self.weights, factor, config.split.pictures
        )
        optimise(turn.step, self.discriminator_optimiser, terms, config.gradient_limit)
        return terms

    def generator_step(
        self, turn: Turn, condition: Conditioning | None = None, imitation: ImitationTerms | None = None
    ) -> dict[str, Tensor]:
        """Generated pictures up. Returns the weighted terms. ``condition`` decides which fields the pictures teach,
        all of them where it is left out.

        Raises:
            FloatingPointError: a term or a gradient is not finite; no weight has changed.
        """
        views = self._draw(turn, FOR_GENERATOR)
        renderer = self._renderer(condition or self.generator.condition)
        self.generator_optimiser.zero_grad()
        terms = generator_gradients(renderer, self.discriminator, views, self.weights, imitation)
        optimise(turn.step, self.generator_optimiser, terms, self.config.gradient_limit)
        return terms

    def _draw(self, turn: Turn, purpose: int) -> Views:
        rngs = turn.generators(purpose, self.config.batch)
        return draw_views(self.generator, self.real.poses, self.config.views, rngs)

    def _renderer(self, condition: Conditioning) -> PictureRenderer:
        size, fov_deg = self.discriminator.config.size, self.generator.config.march.fov_deg
        return PictureRenderer(condition, size, fov_deg, self.config.split)


def _adam(modules: dict[str, nn.Module], lr: float) -> torch.optim.Adam:
    groups = [{"params": list(module.parameters()), "field": name} for name, module in modules.items()]
    return torch.optim.Adam(groups, lr=lr, betas=(0.0, 0.9))


def optimise(step: int, optimiser: torch.optim.Optimizer, terms: dict[str, Tensor], limit: float) -> None:
    """One step of an optimiser with the gradients that are there, cut to a common norm; they are gone afterwards.

    Raises:
        FloatingPointError: a term or a gradient is not finite; the weights are those of the step before.
    """
    broken = [name for name, value in terms.items() if not torch.isfinite(value)]
    if broken:
        named = ", ".join(f"{name} {value.item():.4g}" for name, value in terms.items())
        raise FloatingPointError(f"step {step}: {' and '.join(broken)} not finite ({named})")
    groups = {group["field"]: group["params"] for group in optimiser.param_groups}
    norm = nn.utils.clip_grad_norm_([weight for weights in groups.values() for weight in weights], limit)
    if not torch.isfinite(norm):
        raise FloatingPointError(f"step {step}: a gradient of {', '.join(groups)} is not finite")
    optimiser.step()
    optimiser.zero_grad()


@torch.no_grad()
def follow(average: nn.Module, module: nn.Module, decay: float) -> None:
    """Exponential moving average of the weights."""
    for mean, value in zip(average.parameters(), module.parameters(), strict=True):
        mean.lerp_(value, 1 - decay)
