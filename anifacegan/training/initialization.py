"""What is fitted before the fields learn: the priors of the codes, and the shape of the manifolds.

Priors (method, section 4): a VAE for identities and one for expressions, fitted to the coefficients of the data set.

Manifolds: GRAM's start as spheres and are bent by a discriminator over a hundred thousand steps. Where a morphable
model tells how heads look, they can start as initial manifolds of the mean head: along every direction from the centre behind
the head, a shell lies a fixed distance outside the mean surface. The initial manifolds stay star-shaped about the centre,
lie close together where people's skins are, and a profile does not fall apart between two of them.
"""

import math
import sys
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn import functional
from tqdm import trange

from anifacegan.geometry.conventions import SPHERE_CENTRE, WORLD_PER_NETWORK_UNIT
from anifacegan.models.coefficient_vae import CoefficientVAE
from anifacegan.models.manifolds import SLOPE, ManifoldField
from anifacegan.runtime.errors import require_above, require_at_least
from anifacegan.training.optim import finite_total

MOMENT_DRAWS = 50_000
"""Decoded codes from which the moments of a fitted prior are measured."""


@dataclass(frozen=True)
class PriorConfig:
    """How the VAEs of the coefficients are fitted."""

    steps: int = 2000
    batch: int = 256
    lr: float = 1e-4
    noise_variance: float = 0.03
    """Variance of the decoder's Gaussian: how much of a coefficient's variance (1 or a little less) may be lost."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "steps", "batch")
        require_above(self, 0, "lr", "noise_variance")


def fit_prior(
    vae: CoefficientVAE,
    coefficients: Float[Tensor, "item dim"],
    config: PriorConfig,
    rng: torch.Generator,
    name: str,
) -> dict[str, float]:
    """Fit a VAE by its evidence bound; returns how decoded N(0, I) differs from the data in mean and covariance.

    A VAE that is wide enough starts as the identity, another one from the weights it has. The bound lets heavy tails
    shrink and the covariance drift; a wide VAE gets both of the data's moments back in the end, by a linear map.

    Raises:
        FloatingPointError: the bound is not finite; the message names its part and the step.
    """
    wide = vae.can_be_identity(coefficients.shape[1])
    if wide:
        vae.start_as_identity(coefficients.mean(0), _root(coefficients), config.noise_variance)
    optimiser = torch.optim.Adam(vae.parameters(), lr=config.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    for step in trange(config.steps, desc=f"{name} prior", disable=not sys.stderr.isatty()):
        batch = coefficients[torch.randint(len(coefficients), (config.batch,), generator=rng)]
        mean, log_variance = vae.encode(batch)
        noise = torch.randn(mean.shape, generator=rng).to(mean)
        decoded = vae.decode(mean + (log_variance / 2).exp() * noise)
        likelihood = (decoded - batch).square().sum(-1).mean() / (2 * config.noise_variance)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1).mean()
        bound = finite_total(step, {f"likelihood of the {name} prior": likelihood, "divergence": divergence})
        optimiser.zero_grad()
        bound.backward()
        optimiser.step()
        schedule.step()

    def drawn(count: int) -> Float[Tensor, "item dim"]:
        with torch.no_grad():
            return vae.decode(torch.randn(count, vae.config.latent_dim, generator=rng).to(coefficients))

    if wide:
        now = drawn(MOMENT_DRAWS)
        matrix = _root(coefficients) @ torch.linalg.inv(_root(now))
        vae.follow_decoder(matrix, coefficients.mean(0) - matrix @ now.mean(0))
    return compare_moments(drawn(len(coefficients)), coefficients)


def _root(rows: Float[Tensor, "item dim"]) -> Float[Tensor, "dim dim"]:
    """Cholesky root of the covariance of some rows, of which there may be fewer than columns."""
    covariance = torch.cov(rows.double().T)
    return torch.linalg.cholesky(covariance + 1e-6 * torch.eye(len(covariance)).to(covariance)).to(rows)


def compare_moments(drawn: Float[Tensor, "item dim"], data: Float[Tensor, "other dim"]) -> dict[str, float]:
    """:func:`moment_errors`, beside how much the covariances of two halves of the data differ, and their norm."""
    half = len(data) // 2
    return moment_errors(drawn, data) | {
        "covariance_error_of_halves": moment_errors(data[:half], data[half:])["covariance_error"],
        "covariance_norm": float(torch.cov(data.T).norm()),
    }


def moment_errors(drawn: Float[Tensor, "item dim"], data: Float[Tensor, "other dim"]) -> dict[str, float]:
    """Largest error of a mean in standard deviations of the data; error of the covariance in the Frobenius norm.

    To six digits: the last bits of a long sum depend on where in memory a process has its arrays.
    """
    deviation = data.std(0) + 1e-6
    errors = {
        "mean_error_in_deviations": ((drawn.mean(0) - data.mean(0)) / deviation).abs().max(),
        "covariance_error": (torch.cov(drawn.T) - torch.cov(data.T)).norm(),
    }
    return {name: float(f"{float(value):.6g}") for name, value in errors.items()}


@dataclass(frozen=True)
class ManifoldInitConfig:
    """How the manifolds start."""

    start: Literal["mean_head", "spheres"] = "mean_head"
    """As initial manifolds of the mean head, which takes a head; or as GRAM's spheres about a point behind it, where the other
    options say nothing."""
    level_at_skin: float = 16.0
    """Scalar s on the mean head's surface; a manifold of level s lies (s - this) * 0.012 world units outside it."""
    reach: float = 0.05
    """Shells are fitted up to this distance from the mean head, world units."""
    steps: int = 4000
    batch: int = 4096
    lr: float = 5e-3

    def __post_init__(self) -> None:
        require_at_least(self, 1, "steps", "batch")
        require_above(self, 0, "lr", "reach")


def outer_radius(
    vertices: Float[np.ndarray, "vertex 3"], directions: Float[np.ndarray, "query 3"], neighbours: int = 48
) -> Float[np.ndarray, " query"]:
    """Distance of the head's outer surface from the manifolds' centre along unit directions, world units.

    Of the nearest vertices in direction the outer ones count, which leaves out the inside of the mouth.
    """
    local = vertices - WORLD_PER_NETWORK_UNIT * np.asarray(SPHERE_CENTRE)
    radius = np.linalg.norm(local, axis=1)
    tree = cKDTree(local / radius[:, None])
    distance, nearest = tree.query(directions, k=neighbours)
    outer = radius[nearest] >= np.quantile(radius[nearest], 0.5, axis=1, keepdims=True)
    weight = outer / (0.01 + distance) ** 2
    return (weight * radius[nearest]).sum(1) / weight.sum(1)


def fit_manifolds(
    manifolds: ManifoldField,
    vertices: Float[np.ndarray, "vertex 3"],
    config: ManifoldInitConfig,
    rng: torch.Generator,
) -> float:
    """Fit ``s = level_at_skin + 10 * offset / WORLD_PER_NETWORK_UNIT`` to the offset from a head's surface.

    ``vertices`` are the head's skin in world units. Returns the mean error of a shell's place in world units.
    """
    directions = _frontal_directions(65_536, rng)
    radius = torch.from_numpy(outer_radius(vertices, directions.numpy())).float()
    optimiser = torch.optim.Adam(manifolds.parameters(), lr=config.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    error = torch.zeros(())
    for _ in trange(config.steps, desc="manifold_init", disable=not sys.stderr.isatty()):
        selected = torch.randint(len(directions), (config.batch,), generator=rng)
        offset = config.reach * (2 * torch.rand(config.batch, generator=rng) - 1)
        x = (
            WORLD_PER_NETWORK_UNIT * torch.tensor(SPHERE_CENTRE)
            + directions[selected] * (radius[selected] + offset)[:, None]
        )
        error = (manifolds(x) - config.level_at_skin) * (
            WORLD_PER_NETWORK_UNIT / SLOPE
        ) - offset  # world units
        optimiser.zero_grad()
        (error / config.reach).square().mean().backward()
        optimiser.step()
        schedule.step()
    return float(error.detach().abs().mean())


def _frontal_directions(count: int, rng: torch.Generator) -> Float[Tensor, "count 3"]:
    """Unit vectors spread over the directions that cameras within +-1 rad of frontal can see from the centre."""
    z = 1 - torch.rand(count, generator=rng) * (1 - math.cos(math.radians(80)))
    turn = 2 * math.pi * torch.rand(count, generator=rng)
    ring = (1 - z.square()).sqrt()
    return torch.stack([ring * turn.cos(), ring * turn.sin(), z], dim=-1)


SCALE_FLOOR = 0.1
"""Smallest factor of an entry of the codes."""


def visible_scale(
    latents: Float[Tensor, "item code"], images: UInt8[Tensor, "item size size 3"], cells: int = 16
) -> Float[Tensor, "code"]:
    """How much each entry of a code shows in an image, at most 1: linear regression on images of 16 x 16 cells."""
    small = torch.stack(
        [functional.adaptive_avg_pool2d(image.permute(2, 0, 1).float(), cells).flatten() for image in images]
    )  # (N, 3 * cells^2)
    rows = torch.cat([latents, torch.ones_like(latents[:, :1])], dim=1)
    effect = torch.linalg.lstsq(rows, small).solution[:-1].norm(dim=1) * latents.std(dim=0)
    return (effect / effect.max()).clamp(min=SCALE_FLOOR)
