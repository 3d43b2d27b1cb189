"""Sampling and rendering of the images that the metrics are measured on.

Each face has its own random generators and is rendered separately. So an image depends only on the seed and its index,
not on the batch size or the number of images. People are sampled from the model's priors, and camera poses from the
poses of the data set's images. Expressions are sampled from the model's expression prior, as in adversarial training,
or from the expressions of the data set's images.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from tqdm import tqdm

from anifacegan.evaluation.config import SampleConfig
from anifacegan.geometry.conventions import EXP_DIM
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import Generator
from anifacegan.models.latent_sampling import PosedLatents, sample_generators, sample_posed_latents
from anifacegan.rendering.frame import RenderedImage
from anifacegan.rendering.model import Face

FACES, PEOPLE, EXPRESSIONS, DETECTION, DATA_EXPRESSIONS = 101, 102, 103, 104, 105
"""Numbers that are mixed into the seed, one for each purpose. With them, different purposes have different random
numbers, and evaluation has other random numbers than training."""
LARGEST_YAW_RAD = 0.35
"""Largest yaw to either side in the images for the detection rate, radians."""
OTHER_PEOPLE = 1_000_003
"""Number added to the seed to sample other people; their appearance latents replace the appearance latent of each
person."""


@dataclass(frozen=True)
class GeneratedImages:
    """Rendered images with the latents and camera poses that they were rendered from."""

    views: PosedLatents
    """Latents and poses of the images."""
    rgb: Float[Tensor, "batch 3 size size"]
    """Colours in [0, 1]."""


def sample_views(
    generator: Generator,
    poses: Float[Tensor, "item 2"],
    config: SampleConfig,
    data_exp: Float[Tensor, "item 64"] | None = None,
) -> PosedLatents:
    """Sample the latents and camera poses of ``config.count`` images of random people.

    Args:
        generator: its priors are sampled.
        poses: (pitch, yaw) of the data set's images, radians from frontal.
        config: number of images, random seed, and distribution of poses and expressions.
        data_exp: expression coefficients of the data set's images, of which random rows are taken. None: expressions
            are sampled from the model's expression prior.
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
    """Render faces in batches, in the order of ``views``; ``config`` has the size of the images, the truncation psi and
    the batch size.
    """
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
    """Render faces to 8-bit images on the CPU; ``config`` has the size of the images, the truncation psi and the batch
    size.
    """
    size = config.size
    parts = [(255 * batch.rgb).round().byte().cpu() for batch in generated_batches(generator, views, config)]
    return torch.cat([torch.zeros(0, 3, size, size, dtype=torch.uint8), *parts])


@torch.inference_mode()
def render_view_rgb(
    generator: Generator, view: PosedLatents, size: int, psi: float = 1.0
) -> Float[Tensor, "3 size size"]:
    """Render one face and return its colours in [0, 1].

    ``view`` is a batch of one; ``size`` is pixels; ``psi`` is the truncation of the appearance (1: none, 0: the mean).
    """
    return render_view(generator, view, size, psi).rgb


@torch.inference_mode()
def render_view(generator: Generator, view: PosedLatents, size: int, psi: float = 1.0) -> RenderedImage:
    """Render one face, one ray for each pixel, and return its colours, depth and opacity.

    ``view`` is a batch of one; ``size`` is pixels; ``psi`` is the truncation of the appearance (1: none, 0: the mean).
    """
    pitch, yaw = view.pose[0].tolist()
    face = Face(generator.condition(view.latents, psi), view.latents)
    return face.image(yaw=yaw, pitch=pitch, size=size, antialias=False)


@torch.no_grad()
def expression_grid_views(
    generator: Generator,
    people: int,
    expressions: int,
    seed: int,
    data_exp: Float[Tensor, "item 64"] | None = None,
) -> PosedLatents:
    """Sample people, and return frontal views of each person with several expressions, the same for every person.

    The views are ordered by person. The first expression is neutral. The others are random rows of the coefficients
    ``data_exp``, or samples of the generator's expression prior if ``data_exp`` is None.
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
    """Sample the coefficients of ``count`` expressions.

    They are random rows of ``data_exp``, with replacement, or samples of the generator's expression prior if
    ``data_exp`` is None.
    """
    prior, device = generator.expression_prior, generator.device
    rngs = sample_generators(seed, 0, EXPRESSIONS, range(count))
    if data_exp is not None:
        return _random_rows(data_exp, rngs).to(device)
    latents = [torch.randn(1, prior.config.latent_dim, generator=rng).to(device) for rng in rngs]
    return torch.cat([torch.zeros(0, EXP_DIM, device=device), *(prior.decode(latent) for latent in latents)])


@torch.no_grad()
def yaw_grid_views(generator: Generator, people: int, yaws: tuple[float, ...], seed: int) -> PosedLatents:
    """Sample people, and return views of each person, with a neutral expression, from each of ``yaws``.

    ``yaws`` are radians from frontal. The views are ordered by person. A seed gives the same people as in
    :func:`expression_grid_views`.
    """
    z_id, z_noise = (
        latent.repeat_interleave(len(yaws), dim=0) for latent in _people(generator, people, seed)
    )
    pose = torch.tensor([(0.0, yaw) for yaw in yaws]).repeat(people, 1).to(z_id)
    return PosedLatents(Latents(z_id, z_id.new_zeros(len(z_id), EXP_DIM), z_noise), pose)


@torch.no_grad()
def appearance_grid_views(generator: Generator, people: int, appearances: int, seed: int) -> PosedLatents:
    """Sample people, and return neutral, frontal views of each with several appearance latents z_noise.

    The first appearance latent is the person's own. The others belong to other people, and are the same for every
    person. The views are ordered by person. A seed gives the same people as :func:`expression_grid_views`.
    """
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
    """Sample people, and return frontal views of each in which an expression grows, for image sequences.

    Each person has one expression: a random row of the coefficients ``data_exp``, or a sample of the generator's
    expression prior if ``data_exp`` is None. In each frame the coefficients are multiplied by that frame's
    ``strength``. The views are ordered by person, then by frame.
    """
    z_id, z_noise = (
        latent.repeat_interleave(len(strength), dim=0) for latent in _people(generator, people, seed)
    )
    z_exp = strength.to(z_id)[None, :, None] * sample_expressions(generator, people, seed, data_exp)[:, None]
    return PosedLatents(Latents(z_id, z_exp.flatten(0, 1), z_noise), z_id.new_zeros(len(z_id), 2))


@torch.no_grad()
def detection_views(
    generator: Generator, people: int, each: int, expressions: Float[Tensor, "expression 64"], seed: int
) -> PosedLatents:
    """Sample people, and return ``each`` views of every person for face detection, ordered by person.

    The views of a person have different random rows of ``expressions``, and yaws uniform in -0.35 to 0.35 radians.
    """
    z_id, z_noise = (latent.repeat_interleave(each, dim=0) for latent in _people(generator, people, seed))
    rngs = sample_generators(seed, 0, DETECTION, range(people))
    rows = torch.cat([torch.randperm(len(expressions), generator=rng)[:each] for rng in rngs])
    yaw = torch.cat([LARGEST_YAW_RAD * (2 * torch.rand(each, generator=rng) - 1) for rng in rngs])
    pose = torch.stack([torch.zeros_like(yaw), yaw], dim=1)
    z_exp = expressions.to(z_id)[rows.to(z_id.device)]
    return PosedLatents(Latents(z_id, z_exp, z_noise), pose.to(z_id))


def _random_rows(rows: Float[Tensor, "item 64"], rngs: list[torch.Generator]) -> Float[Tensor, "draw 64"]:
    return rows[[int(torch.randint(len(rows), (), generator=rng)) for rng in rngs]]


def _people(
    generator: Generator, count: int, seed: int
) -> tuple[Float[Tensor, "person 80"], Float[Tensor, "person 80"]]:
    return generator.sample_people(sample_generators(seed, 0, PEOPLE, range(count)))
