"""Random latents and camera poses for training and evaluation.

People and expressions are drawn from the priors, poses from the data set or from a Gaussian. Each face has a random
generator of its own, so it does not depend on the batch or process that it is drawn in.
"""

import copy
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.geometry.rays import Rays, image_rays
from anifacegan.models.coefficient_vae import CoefficientVAE, Latents, sample_people
from anifacegan.models.config import ViewSamplingConfig
from anifacegan.models.generator import Generator


class Purpose(IntEnum):
    """What random generators are for: a number that is mixed into their seeds, so that the draws of a step are
    independent of one another.
    """

    DISCRIMINATOR = 0
    GENERATOR = 1
    REAL_IMAGES = 2
    PRIOR_FACES = 51
    SHIFTS = 52
    """The shifts of dual discrimination."""
    DEFORMATION = 100
    """Step k of the deformation has number DEFORMATION + k."""


@dataclass(frozen=True)
class PosedLatents:
    """Latents of faces, each with a camera pose."""

    latents: Latents
    """Latents of the faces."""
    pose: Float[Tensor, "batch 2"]
    """Camera pose of each face: (pitch, yaw), radians relative to frontal."""

    def __len__(self) -> int:
        return len(self.pose)

    def __getitem__(self, part: slice) -> "PosedLatents":
        return PosedLatents(self.latents[part], self.pose[part])

    def rays(self, size: int, fov_deg: float) -> Rays:
        """Generate the camera rays of square images of the faces, row by row; ``size`` is pixels, ``fov_deg``
        degrees.
        """
        pitch, yaw = self.pose.unbind(-1)
        return image_rays(yaw=yaw, pitch=pitch, size=size, fov_deg=fov_deg)


@dataclass(frozen=True)
class Priors:
    """Priors of identity and expression, from which people are sampled."""

    identity_prior: CoefficientVAE
    expression_prior: CoefficientVAE

    def sample_people(
        self, rngs: list[torch.Generator]
    ) -> tuple[Float[Tensor, "batch 80"], Float[Tensor, "batch 80"]]:
        """Sample one random person with each random generator; return z_id and z_noise."""
        return sample_people(self.identity_prior, rngs)


def priors_on_cpu(generator: Generator) -> Priors:
    """Return a generator's priors on the CPU: its own where it is there, else copies, so that drawing faces neither
    uses a GPU nor waits for one. Training does not change them."""
    priors = (generator.identity_prior, generator.expression_prior)
    if generator.device.type != "cpu":
        priors = tuple(copy.deepcopy(prior).cpu() for prior in priors)  # type: ignore[assignment]
    return Priors(*priors)


def sample_generators(seed: int, step: int, purpose: int, samples: range) -> list[torch.Generator]:
    """Make one CPU random generator for each index in ``samples``, which are indices into the joint batch of all
    processes.

    ``seed`` and ``step`` are those of the run. ``purpose`` is one of :class:`Purpose`, or DEFORMATION + k; generators
    for different purposes are independent.
    """
    seeds = (
        np.random.SeedSequence((seed, step, purpose, sample)).generate_state(1, np.uint64)
        for sample in samples
    )
    return [torch.Generator().manual_seed(int(state[0])) for state in seeds]


@torch.no_grad()
def sample_posed_latents(
    generator: Generator | Priors,
    poses: Float[Tensor, "item 2"],
    config: ViewSamplingConfig,
    rngs: list[torch.Generator],
) -> PosedLatents:
    """Draw one face (person, expression and camera pose) with each of the random generators ``rngs``, from the priors
    of ``generator`` and on their device.

    ``poses`` are the camera poses of the data set's images, (pitch, yaw) in radians from frontal; ``config`` says
    whether poses are drawn from these, and how often expressions are neutral.
    """
    z_id, z_noise = generator.sample_people(rngs)
    prior = generator.expression_prior
    # One at a time, as the people: a matrix product may round differently in a larger batch.
    normal = [torch.randn(1, prior.config.latent_dim, generator=rng).to(z_id) for rng in rngs]
    expressive = torch.tensor([torch.rand((), generator=rng).item() >= config.neutral_ratio for rng in rngs])
    z_exp = torch.cat([prior.decode(row) for row in normal]) * expressive.to(z_id)[:, None]
    pose = torch.stack([_draw_pose(poses, config, rng) for rng in rngs]).to(z_id)
    return PosedLatents(Latents(z_id, z_exp, z_noise), pose)


def _draw_pose(
    poses: Float[Tensor, "item 2"], config: ViewSamplingConfig, rng: torch.Generator
) -> Float[Tensor, "2"]:
    if config.poses == "data":
        return poses[int(torch.randint(len(poses), (), generator=rng))]
    deviation = torch.tensor([config.pitch_deviation, config.yaw_deviation])
    return (deviation * torch.randn(2, generator=rng)).clamp(-config.limit, config.limit)
