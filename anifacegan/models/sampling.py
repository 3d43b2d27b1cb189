"""Random faces before random cameras: what a generator is asked to show in a training step.

People and expressions are drawn from the priors, poses from the data set or from a Gaussian (method, section 4). A
face comes from a random generator of its own, so it is the same whichever batch, or whichever process, it is part of.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.geometry.rays import Rays, image_rays
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.generator import Generator
from anifacegan.runtime.errors import ConfigError, require_at_least


@dataclass(frozen=True)
class ViewSamplingConfig:
    """What is drawn."""

    poses: Literal["data", "gaussian"] = "data"
    """Poses of random images of the data set, or normally distributed ones about the frontal view."""
    yaw_deviation: float = 0.3
    """Standard deviation of the yaw of Gaussian poses, radians."""
    pitch_deviation: float = 0.155
    """Standard deviation of the pitch of Gaussian poses, radians."""
    limit: float = 1.3
    """Gaussian poses are clamped to this far from frontal, radians."""
    neutral_ratio: float = 0.1
    """Share of faces that have no expression."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "yaw_deviation", "pitch_deviation", "limit", "neutral_ratio")
        if self.neutral_ratio > 1:
            raise ConfigError("neutral_ratio", self.neutral_ratio, "0 to 1")


@dataclass(frozen=True)
class PosedLatents:
    """Faces, each with its camera."""

    latents: Latents
    pose: Float[Tensor, "batch 2"]
    """(pitch, yaw), radians relative to frontal."""

    def __len__(self) -> int:
        return len(self.pose)

    def __getitem__(self, part: slice) -> "PosedLatents":
        return PosedLatents(self.latents[part], self.pose[part])

    def rays(self, size: int, fov_deg: float) -> Rays:
        """All rays of the images, row by row."""
        pitch, yaw = self.pose.unbind(-1)
        return image_rays(yaw=yaw, pitch=pitch, size=size, fov_deg=fov_deg)


def sample_generators(seed: int, step: int, purpose: int, samples: range) -> list[torch.Generator]:
    """One random generator a sample, by its place in the whole batch; another ``purpose`` draws independently."""
    seeds = (
        np.random.SeedSequence((seed, step, purpose, sample)).generate_state(1, np.uint64)
        for sample in samples
    )
    return [torch.Generator().manual_seed(int(state[0])) for state in seeds]


@torch.no_grad()
def sample_posed_latents(
    generator: Generator,
    poses: Float[Tensor, "item 2"],
    config: ViewSamplingConfig,
    rngs: list[torch.Generator],
) -> PosedLatents:
    """One face a random generator. ``poses`` are those of the data set's images."""
    z_id, z_noise = generator.sample_people(rngs)
    prior = generator.expression_prior
    # One at a time, as the people: a matrix product may round differently in a larger batch.
    latents = [torch.randn(1, prior.config.latent_dim, generator=rng).to(z_id) for rng in rngs]
    shown = torch.tensor([torch.rand((), generator=rng).item() >= config.neutral_ratio for rng in rngs])
    z_exp = torch.cat([prior.decode(code) for code in latents]) * shown.to(z_id)[:, None]
    pose = torch.stack([_draw_pose(poses, config, rng) for rng in rngs]).to(z_id)
    return PosedLatents(Latents(z_id, z_exp, z_noise), pose)


def _draw_pose(
    poses: Float[Tensor, "item 2"], config: ViewSamplingConfig, rng: torch.Generator
) -> Float[Tensor, "2"]:
    if config.poses == "data":
        return poses[int(torch.randint(len(poses), (), generator=rng))]
    deviation = torch.tensor([config.pitch_deviation, config.yaw_deviation])
    return (deviation * torch.randn(2, generator=rng)).clamp(-config.limit, config.limit)
