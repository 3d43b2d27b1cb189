"""Fits that come before training: coefficient priors, initial manifolds, and the scale of the template's latents.

Priors (Wu et al. 2022): a VAE of identities and one of expressions, fitted to the coefficients of the data set.

Manifolds: GRAM starts with concentric spheres, which the discriminator bends over a hundred thousand steps. With a face
model they can instead start around the mean head: each manifold lies at a fixed distance from the mean surface, along
directions from a centre behind the head. Such manifolds are star-shaped about the centre and close together where the
skin of different people lies.
"""

import sys

import numpy as np
import torch
from jaxtyping import Float, UInt8
from scipy.spatial import cKDTree
from torch import Tensor
from torch.nn import functional
from tqdm import trange

from anifacegan.geometry.conventions import SPHERE_CENTRE, WORLD_PER_NETWORK_UNIT
from anifacegan.models.coefficient_vae import CoefficientVAE
from anifacegan.models.feature_planes import FeaturePlanes
from anifacegan.models.manifolds import INITIAL_GRADIENT, ManifoldField
from anifacegan.training.batches import regular_root
from anifacegan.training.config import PriorConfig
from anifacegan.training.init_config import ManifoldInitConfig
from anifacegan.training.optim import finite_total

MOMENT_DRAWS = 50_000
"""Number of samples of a fitted prior from which its moments are estimated."""


def fit_prior(
    vae: CoefficientVAE,
    coefficients: Float[Tensor, "item dim"],
    config: PriorConfig,
    rng: torch.Generator,
    name: str,
) -> dict[str, float]:
    """Fit a VAE to coefficients by its evidence lower bound; return the errors of its samples' mean and covariance.

    A VAE whose layers are wide enough starts as the identity map; a narrower VAE starts from its present weights. The
    bound shrinks heavy tails and lets the covariance drift. Therefore a linear map is added to the end of a wide VAE's
    decoder; it gives samples the mean and covariance of the data. ``name`` is shown in the progress bar and in errors.

    Raises:
        FloatingPointError: the bound is not finite; the message names the part of the bound and the step.
    """
    wide = vae.can_be_identity(coefficients.shape[1])
    if wide:
        vae.start_as_identity(coefficients.mean(0), _root(coefficients), config.noise_variance)
    optimizer = torch.optim.Adam(vae.parameters(), lr=config.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    for step in trange(config.steps, desc=f"{name} prior", disable=not sys.stderr.isatty()):
        batch = coefficients[torch.randint(len(coefficients), (config.batch,), generator=rng)]
        mean, log_variance = vae.encode(batch)
        noise = torch.randn(mean.shape, generator=rng).to(mean)
        decoded = vae.decode(mean + (log_variance / 2).exp() * noise)
        likelihood = (decoded - batch).square().sum(-1).mean() / (2 * config.noise_variance)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1).mean()
        bound = finite_total(step, {f"likelihood of the {name} prior": likelihood, "divergence": divergence})
        optimizer.zero_grad()
        bound.backward()
        optimizer.step()
        schedule.step()

    def samples(count: int) -> Float[Tensor, "item dim"]:
        with torch.no_grad():
            return vae.decode(torch.randn(count, vae.config.latent_dim, generator=rng).to(coefficients))

    if wide:
        decoded = samples(MOMENT_DRAWS)
        matrix = _root(coefficients) @ torch.linalg.inv(_root(decoded))
        vae.follow_decoder(matrix, coefficients.mean(0) - matrix @ decoded.mean(0))
    return compare_moments(samples(len(coefficients)), coefficients)


def _root(rows: Float[Tensor, "item dim"]) -> Float[Tensor, "dim dim"]:
    """Cholesky root of the covariance of ``rows``, regularised so that there may be fewer rows than columns."""
    return regular_root(torch.cov(rows.double().T)).to(rows)


def compare_moments(samples: Float[Tensor, "item dim"], data: Float[Tensor, "other dim"]) -> dict[str, float]:
    """Compute the errors of :func:`moment_errors`, by name, and for reference the difference between the covariances of
    two halves of the data.
    """
    half = len(data) // 2
    return moment_errors(samples, data) | {
        "covariance_error_of_halves": moment_errors(data[:half], data[half:])["covariance_error"],
        "covariance_norm": float(torch.cov(data.T).norm()),
    }


def moment_errors(samples: Float[Tensor, "item dim"], data: Float[Tensor, "other dim"]) -> dict[str, float]:
    """Compute two errors of samples, by name.

    The first is the largest error of a coefficient's mean, in standard deviations of the data. The second is the
    Frobenius error of the covariance. Both are rounded to six digits, because the last bits of a long sum depend on the
    memory alignment of its arrays.
    """
    deviation = data.std(0) + 1e-6
    errors = {
        "mean_error_in_deviations": ((samples.mean(0) - data.mean(0)) / deviation).abs().max(),
        "covariance_error": (torch.cov(samples.T) - torch.cov(data.T)).norm(),
    }
    return {name: float(f"{float(value):.6g}") for name, value in errors.items()}


MANIFOLD_CENTRE = WORLD_PER_NETWORK_UNIT * np.asarray(SPHERE_CENTRE)
"""Centre of the spheres that the manifolds are before training, world units."""


def outer_radius(
    vertices: Float[np.ndarray, "vertex 3"],
    directions: Float[np.ndarray, "query 3"],
    neighbours: int = 48,
    centre: Float[np.ndarray, "3"] = MANIFOLD_CENTRE,
) -> Float[np.ndarray, " query"]:
    """Estimate the distance from a centre to the head's outer surface along unit ``directions``, world units.

    The default centre is that of the manifolds. For each direction, the vertices nearest in direction are selected, and
    the distance of the farther half of them is averaged. So the inside of the mouth does not count.
    """
    local = vertices - centre
    radius = np.linalg.norm(local, axis=1)
    tree = cKDTree(local / radius[:, None])
    distance, nearest = tree.query(directions, k=neighbours)
    outer = radius[nearest] >= np.quantile(radius[nearest], 0.5, axis=1, keepdims=True)
    weight = outer / (0.01 + distance) ** 2
    return (weight * radius[nearest]).sum(1) / weight.sum(1)


def fit_manifolds(
    manifolds: ManifoldField,
    vertices: Float[np.ndarray, "vertex 3"],
    normals: Float[np.ndarray, "vertex 3"],
    config: ManifoldInitConfig,
    rng: torch.Generator,
) -> float:
    """Fit the manifold field so that the manifolds surround a head.

    The target of the manifold scalar is ``level_at_skin + 10 * d / WORLD_PER_NETWORK_UNIT``, where d is the signed
    distance from the head's surface, positive outside, world units. Points near the surface weigh more.

    Args:
        manifolds: the field, which is changed.
        vertices: the head's surface as cameras see it, world units.
        normals: unit normals of the vertices, outward.
        config: ``level_at_skin``, the number of steps and so on.
        rng: draws the points.

    Returns:
        The mean error of the manifold at the skin, world units, in which all parts of the surface count alike.
    """
    count = max(LEAST_FIT_POINTS, min(FIT_POINTS, config.steps * config.batch))
    points, distance, on_surface = _points_about(vertices, normals, config.reach, count, rng)
    weight = 1 / (distance.abs() + NEAR_SKIN)
    optimizer = torch.optim.Adam(manifolds.parameters(), lr=config.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)

    def errors(x: Float[Tensor, "point 3"]) -> Float[Tensor, "point"]:
        return (manifolds(x) - config.level_at_skin) * (WORLD_PER_NETWORK_UNIT / INITIAL_GRADIENT)

    for _ in trange(config.steps, desc="manifold_init", disable=not sys.stderr.isatty()):
        selected = torch.randint(len(points), (config.batch,), generator=rng)
        error = errors(points[selected]) - distance[selected]
        optimizer.zero_grad()
        (weight[selected] * error).square().mean().backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        return float(errors(on_surface).abs().mean())


FIT_POINTS, LEAST_FIT_POINTS = 2**18, 2**12
"""Number of points around the surface from which the steps of :func:`fit_manifolds` draw; steps that draw fewer have as
many as they draw, but no fewer than the second number, on which the error is measured."""
NEAR_SKIN = 0.004
"""Distance from the surface, world units, up to which an error weighs about as much as on it."""
CLOSE, CLOSE_SHARE = 0.003, 0.5
"""Standard deviation of the distances of the close points, world units, and the share of these points."""


def _points_about(
    vertices: Float[np.ndarray, "vertex 3"],
    normals: Float[np.ndarray, "vertex 3"],
    reach: float,
    count: int,
    rng: torch.Generator,
) -> tuple[Float[Tensor, "point 3"], Float[Tensor, "point"], Float[Tensor, "place 3"]]:
    """Draw ``count`` points about a surface, spread evenly over it; return them, their signed distances, and as many
    places on the surface.

    The distance is that from the plane of the nearest vertex.
    """
    tree = cKDTree(vertices)
    spacing = tree.query(vertices, k=min(5, len(vertices)))[0][:, 1:].mean(axis=1)
    area = torch.from_numpy(spacing**2)
    chosen = torch.multinomial(area, count, replacement=True, generator=rng).numpy()
    wide = reach * (2 * torch.rand(count, generator=rng) - 1)
    close = CLOSE * torch.randn(count, generator=rng)
    is_close = torch.rand(count, generator=rng) < CLOSE_SHARE
    offset = torch.where(is_close, close, wide).double().numpy()
    aside = torch.randn(count, 3, generator=rng).double().numpy() * spacing[chosen, None] / 2
    points = vertices[chosen] + offset[:, None] * normals[chosen] + aside
    nearest = tree.query(points)[1]
    distance = ((points - vertices[nearest]) * normals[nearest]).sum(axis=1)
    return (
        torch.from_numpy(points).float(),
        torch.from_numpy(distance).float(),
        torch.from_numpy(vertices[chosen]).float(),
    )


def fit_chart(planes: FeaturePlanes, vertices: Float[np.ndarray, "vertex 3"]) -> None:
    """Lay the feature planes over the surface of the mean head; ``vertices`` are its vertices, world units."""
    radius = outer_radius(vertices, planes.directions(), centre=np.asarray(planes.config.centre))
    planes.radius.copy_(torch.from_numpy(radius).reshape(planes.radius.shape))


SCALE_FLOOR = 0.1
"""Smallest value of the factors that :func:`visible_scale` returns."""


def visible_scale(
    latents: Float[Tensor, "item latent"], images: UInt8[Tensor, "item size size 3"], cells: int = 16
) -> Float[Tensor, "latent"]:
    """Estimate how strongly each entry of the latents affects an image, as factors from SCALE_FLOOR to 1.

    The factors come from a linear regression of the images, reduced to ``cells`` x ``cells`` pixels, on the latents.
    """
    small = torch.stack(
        [functional.adaptive_avg_pool2d(image.permute(2, 0, 1).float(), cells).flatten() for image in images]
    )  # (N, 3 * cells^2)
    rows = torch.cat([latents, torch.ones_like(latents[:, :1])], dim=1)
    effect = torch.linalg.lstsq(rows, small).solution[:-1].norm(dim=1) * latents.std(dim=0)
    return (effect / effect.max()).clamp(min=SCALE_FLOOR)
