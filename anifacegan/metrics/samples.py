"""Generated pictures to be judged: a stream that depends on a seed and a count, and on nothing else.

Every face has random generators of its own and is rendered alone, so neither the batch it is judged in, nor how many
others there are, changes a single bit of it. Codes are drawn from the model's priors, cameras from the data set's.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from anifacegan.errors import require
from anifacegan.library import Face
from anifacegan.models.generator import Generator
from anifacegan.models.latents import Latents
from anifacegan.shapes import EXP_DIM
from anifacegan.views import ViewConfig, Views, draw_views, sample_generators

FACES, PEOPLE, EXPRESSIONS = 101, 102, 103
"""Purposes of the random generators, apart from those of training."""


@dataclass(frozen=True)
class SampleConfig:
    """Which pictures are generated."""

    count: int = 2000
    """How many."""
    seed: int = 1
    """Other seeds are other faces."""
    size: int = 64
    """Height and width in pixels."""
    psi: float = 1.0
    """Variety of people: 1 is all of it, 0 the average appearance."""
    batch: int = 32
    """Pictures that are judged at once; changes no result."""
    views: ViewConfig = field(default_factory=ViewConfig)

    def __post_init__(self) -> None:
        require(self, "samples", "count batch", at_least=1)
        require(self, "samples", "size", at_least=2)
        require(self, "samples", "seed psi", at_least=0)


@dataclass(frozen=True)
class GeneratedPictures:
    """Pictures and what they were asked to show."""

    views: Views
    rgb: Float[Tensor, "batch 3 size size"]
    """In [0, 1]."""


def draw_samples(generator: Generator, poses: Float[Tensor, "item 2"], config: SampleConfig) -> Views:
    """All faces and cameras. ``poses`` are (pitch, yaw) of the data set's pictures, radians relative to frontal."""
    rngs = sample_generators(config.seed, 0, FACES, range(config.count))
    return draw_views(generator, poses, config.views, rngs)


def generated_batches(generator: Generator, views: Views, config: SampleConfig) -> Iterator[GeneratedPictures]:
    """Pictures of the views, in their order."""
    with tqdm(total=len(views), desc="pictures", unit="picture", disable=None, leave=False) as progress:
        for start in range(0, len(views), config.batch):
            part = views[start : start + config.batch]
            rgb = []
            for k in range(len(part)):
                rgb.append(render_alone(generator, part[k : k + 1], config.size, config.psi))
                progress.update()
            yield GeneratedPictures(part, torch.stack(rgb))


@torch.inference_mode()
def render_alone(generator: Generator, view: Views, size: int, psi: float = 1.0) -> Float[Tensor, "3 size size"]:
    """One face's picture in [0, 1]: the same whatever else is rendered."""
    pitch, yaw = view.pose[0].tolist()
    return Face(generator.condition(view.latents, psi), view.latents).render(yaw, pitch, size)


@torch.no_grad()
def people_with_expressions(
    generator: Generator, people: int, expressions: int, seed: int, pose: tuple[float, float] = (0.0, 0.0)
) -> Views:
    """Every person with every expression, person by person, all seen from ``pose`` (pitch, yaw in radians).

    The first expression is the neutral one; the others are drawn from the prior and are the same for everyone.
    """
    z_id, z_noise = generator.sample_people(sample_generators(seed, 0, PEOPLE, range(people)))
    prior = generator.expression_prior
    codes = [
        torch.randn(1, prior.config.latent_dim, generator=rng).to(z_id)
        for rng in sample_generators(seed, 0, EXPRESSIONS, range(expressions - 1))
    ]
    neutral = z_id.new_zeros(1, EXP_DIM)
    z_exp = torch.cat([neutral, *(prior.decode(code) for code in codes)])
    return Views(
        Latents(
            z_id.repeat_interleave(expressions, dim=0),
            z_exp.repeat(people, 1),
            z_noise.repeat_interleave(expressions, dim=0),
        ),
        z_id.new_tensor(pose).expand(people * expressions, 2),
    )
