"""Generated images to be judged: a stream that depends on a seed and a count, and on nothing else.

Every face has random generators of its own and is rendered alone, so neither the batch it is judged in, nor how many
others there are, changes a single bit of it. People are drawn from the model's priors, cameras from the data set's,
expressions from either: those of a prior are what an adversarial game asks for, those of a data set are what people do.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from tqdm import tqdm

from anifacegan.geometry.conventions import EXP_DIM
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import Generator
from anifacegan.models.sampling import (
    PosedLatents,
    ViewSamplingConfig,
    sample_generators,
    sample_posed_latents,
)
from anifacegan.rendering.frame import RenderedImage
from anifacegan.rendering.model import Face
from anifacegan.runtime.errors import require_at_least

Source = Literal["prior", "data"]
"""Where expressions come from: draws of a model's prior, or random images of a data set."""
FACES, PEOPLE, EXPRESSIONS, DETECTION, DATA_EXPRESSIONS = 101, 102, 103, 104, 105
"""Purposes of the random generators, apart from those of training."""
TURNED_RAD = 0.35
"""How far faces with given expressions turn to either side."""
OTHER_PEOPLE = 1_000_003
"""Added to a seed for people whose appearance codes are lent to others."""


@dataclass(frozen=True)
class SampleConfig:
    """Which images are generated."""

    count: int = 2000
    """How many."""
    seed: int = 1
    """Other seeds are other faces."""
    size: int = 64
    """Height and width in pixels."""
    psi: float = 1.0
    """Variety of people: 1 is all of it, 0 the average appearance."""
    batch: int = 32
    """Images that are judged at once; changes no result."""
    views: ViewSamplingConfig = field(default_factory=ViewSamplingConfig)

    def __post_init__(self) -> None:
        require_at_least(self, 1, "count", "batch")
        require_at_least(self, 2, "size")
        require_at_least(self, 0, "seed", "psi")


@dataclass(frozen=True)
class GeneratedImages:
    """Images and what they were asked to show."""

    views: PosedLatents
    rgb: Float[Tensor, "batch 3 size size"]
    """In [0, 1]."""


def sample_views(
    generator: Generator,
    poses: Float[Tensor, "item 2"],
    config: SampleConfig,
    data_exp: Float[Tensor, "item 64"] | None = None,
) -> PosedLatents:
    """All faces and cameras. ``poses`` are (pitch, yaw) of the data set's images, radians relative to frontal, and
    ``data_exp`` their expressions, neutral ones as often as they are; None: the prior's.
    """
    rngs = sample_generators(config.seed, 0, FACES, range(config.count))
    views = sample_posed_latents(generator, poses, config.views, rngs)
    if data_exp is None:
        return views
    z_exp = _random_rows(data_exp, sample_generators(config.seed, 0, DATA_EXPRESSIONS, range(config.count)))
    return replace(views, latents=replace(views.latents, z_exp=z_exp.to(views.pose)))


def generated_batches(
    generator: Generator, views: PosedLatents, config: SampleConfig
) -> Iterator[GeneratedImages]:
    """Images of the views, in their order."""
    with tqdm(total=len(views), desc="images", unit="image", disable=None, leave=False) as progress:
        for start in range(0, len(views), config.batch):
            part = views[start : start + config.batch]
            rgb = []
            for k in range(len(part)):
                rgb.append(render_view_rgb(generator, part[k : k + 1], config.size, config.psi))
                progress.update()
            yield GeneratedImages(part, torch.stack(rgb))


def render_views(
    generator: Generator, views: PosedLatents, config: SampleConfig
) -> UInt8[Tensor, "item 3 size size"]:
    """Images of the views with 8 bits a colour, as real ones have, in host memory."""
    size = config.size
    parts = [(255 * batch.rgb).round().byte().cpu() for batch in generated_batches(generator, views, config)]
    return torch.cat([torch.zeros(0, 3, size, size, dtype=torch.uint8), *parts])


@torch.inference_mode()
def render_view_rgb(
    generator: Generator, view: PosedLatents, size: int, psi: float = 1.0
) -> Float[Tensor, "3 size size"]:
    """One face's image in [0, 1]: the same whatever else is rendered."""
    return render_view(generator, view, size, psi).rgb


@torch.inference_mode()
def render_view(generator: Generator, view: PosedLatents, size: int, psi: float = 1.0) -> RenderedImage:
    """The same with depth and opacity."""
    pitch, yaw = view.pose[0].tolist()
    return Face(generator.condition(view.latents, psi), view.latents).image(yaw=yaw, pitch=pitch, size=size)


@torch.no_grad()
def expression_grid_views(
    generator: Generator,
    people: int,
    expressions: int,
    seed: int,
    data_exp: Float[Tensor, "item 64"] | None = None,
) -> PosedLatents:
    """Every person with every expression, person by person, all frontal.

    The first expression is the neutral one; the others are :func:`sample_expressions`, the same for everyone.
    """
    z_id, z_noise = _people(generator, people, seed)
    z_exp = torch.cat(
        [z_id.new_zeros(1, EXP_DIM), sample_expressions(generator, expressions - 1, seed, data_exp)]
    )
    return PosedLatents(
        Latents(
            z_id.repeat_interleave(expressions, dim=0),
            z_exp.repeat(people, 1),
            z_noise.repeat_interleave(expressions, dim=0),
        ),
        z_id.new_zeros(people * expressions, 2),
    )


@torch.no_grad()
def sample_expressions(
    generator: Generator, count: int, seed: int, data_exp: Float[Tensor, "item 64"] | None = None
) -> Float[Tensor, "expression 64"]:
    """Expressions of the prior, or random ones of ``data_exp``, some of them maybe twice."""
    prior, device = generator.expression_prior, generator.device
    rngs = sample_generators(seed, 0, EXPRESSIONS, range(count))
    if data_exp is not None:
        return _random_rows(data_exp, rngs).to(device)
    latents = [torch.randn(1, prior.config.latent_dim, generator=rng).to(device) for rng in rngs]
    return torch.cat([torch.zeros(0, EXP_DIM, device=device), *(prior.decode(code) for code in latents)])


@torch.no_grad()
def yaw_grid_views(generator: Generator, people: int, yaws: tuple[float, ...], seed: int) -> PosedLatents:
    """Every person of :func:`expression_grid_views` at every yaw (radians), neutral, person by person."""
    z_id, z_noise = (code.repeat_interleave(len(yaws), dim=0) for code in _people(generator, people, seed))
    pose = torch.tensor([(0.0, yaw) for yaw in yaws]).repeat(people, 1).to(z_id)
    return PosedLatents(Latents(z_id, z_id.new_zeros(len(z_id), EXP_DIM), z_noise), pose)


@torch.no_grad()
def appearance_grid_views(generator: Generator, people: int, appearances: int, seed: int) -> PosedLatents:
    """The same people, neutral and frontal, first with their own appearance code, then with other people's."""
    z_id, z_noise = _people(generator, people, seed)
    others = _people(generator, appearances - 1, seed + OTHER_PEOPLE)[1]
    z_noise = torch.cat([z_noise[:, None], others.expand(people, -1, -1)], dim=1).flatten(0, 1)
    z_id = z_id.repeat_interleave(appearances, dim=0)
    return PosedLatents(
        Latents(z_id, z_id.new_zeros(len(z_id), EXP_DIM), z_noise), z_id.new_zeros(len(z_id), 2)
    )


@torch.no_grad()
def expression_ramp_views(
    generator: Generator,
    people: int,
    strength: Float[Tensor, "frame"],
    seed: int,
    data_exp: Float[Tensor, "item 64"] | None = None,
) -> PosedLatents:
    """The same people, frontal, each with an expression of its own at every strength, frame by frame."""
    z_id, z_noise = (
        code.repeat_interleave(len(strength), dim=0) for code in _people(generator, people, seed)
    )
    z_exp = strength.to(z_id)[None, :, None] * sample_expressions(generator, people, seed, data_exp)[:, None]
    return PosedLatents(Latents(z_id, z_exp.flatten(0, 1), z_noise), z_id.new_zeros(len(z_id), 2))


@torch.no_grad()
def detection_views(
    generator: Generator, people: int, each: int, expressions: Float[Tensor, "expression 64"], seed: int
) -> PosedLatents:
    """People from the prior, person by person; each shows ``each`` different ones of the given expressions, at yaws
    drawn evenly from -0.35 to 0.35 radians.
    """
    z_id, z_noise = (code.repeat_interleave(each, dim=0) for code in _people(generator, people, seed))
    rngs = sample_generators(seed, 0, DETECTION, range(people))
    shown = torch.cat([torch.randperm(len(expressions), generator=rng)[:each] for rng in rngs])
    yaw = torch.cat([TURNED_RAD * (2 * torch.rand(each, generator=rng) - 1) for rng in rngs])
    pose = torch.stack([torch.zeros_like(yaw), yaw], dim=1)
    return PosedLatents(Latents(z_id, expressions.to(z_id)[shown.to(z_id.device)], z_noise), pose.to(z_id))


def _random_rows(rows: Float[Tensor, "item 64"], rngs: list[torch.Generator]) -> Float[Tensor, "draw 64"]:
    return rows[[int(torch.randint(len(rows), (), generator=rng)) for rng in rngs]]


def _people(
    generator: Generator, count: int, seed: int
) -> tuple[Float[Tensor, "person 80"], Float[Tensor, "person 80"]]:
    return generator.sample_people(sample_generators(seed, 0, PEOPLE, range(count)))
