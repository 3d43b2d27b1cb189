"""Priors on Gaussian data, initial manifolds on a ball: both have a known answer."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from anifacegan.geometry.conventions import SPHERE_CENTRE, WORLD_PER_NETWORK_UNIT
from anifacegan.models.coefficient_vae import CoefficientVAE
from anifacegan.models.config import CoefficientVAEConfig, ManifoldConfig
from anifacegan.models.manifolds import ManifoldField
from anifacegan.training.config import PriorConfig
from anifacegan.training.init_config import ManifoldInitConfig
from anifacegan.training.initialization import (
    SCALE_FLOOR,
    _points_about,
    compare_moments,
    fit_manifolds,
    fit_prior,
    outer_radius,
    visible_scale,
)

MIDDLE = WORLD_PER_NETWORK_UNIT * np.array(SPHERE_CENTRE)
RADIUS = 0.16
"""Of the ball, world units: its surface is where a fresh field has s = 13.3."""
LEVELS = (18.0, 16.5, 16.0, 15.5, 14.0)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def directions(count: int, seed: int = 0) -> np.ndarray:
    """Unit vectors within about a radian of the front."""
    xy = np.random.default_rng(seed).uniform(-0.8, 0.8, (count, 2))
    vectors = np.concatenate([xy, np.ones((count, 1))], axis=1)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def sphere(count: int, radius: float, seed: int = 0) -> np.ndarray:
    """Vertices all over a ball about the manifolds' centre."""
    vectors = np.random.default_rng(seed).standard_normal((count, 3))
    return MIDDLE + radius * vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# ---------------------------------------------------------------------------------------------------- initial manifolds
def test_the_outer_radius_of_a_ball_is_its_radius() -> None:
    assert np.allclose(outer_radius(sphere(4000, RADIUS), directions(100)), RADIUS, atol=1e-9)


def test_the_outer_radius_ignores_inner_vertices() -> None:
    """The inside of a mouth: more surfaces, 1 and 5 cm behind the face, of a third as many vertices."""
    inner = np.concatenate([sphere(800, RADIUS - 0.01, 1), sphere(800, RADIUS - 0.05, 2)])
    both = np.concatenate([sphere(4800, RADIUS), inner])
    assert np.allclose(outer_radius(both, directions(200)), RADIUS, atol=1e-9)


def test_the_outer_radius_follows_the_shape() -> None:
    """A ball that bulges towards the front, radius 0.16 + 0.02 z^2 along the unit direction (x, y, z)."""

    def radius(unit: np.ndarray) -> np.ndarray:
        return RADIUS + 0.02 * unit[:, 2] ** 2

    unit = (sphere(30_000, 1.0) - MIDDLE) / 1.0
    found = outer_radius(MIDDLE + radius(unit)[:, None] * unit, directions(200))
    # 48 vertices of 30,000 lie within 0.08 rad, over which the radius changes by up to 0.02 * 0.08.
    assert np.abs(found - radius(directions(200))).max() < 1.6e-3


@pytest.fixture(scope="module")
def manifold_init() -> tuple[ManifoldField, float]:
    field = ManifoldField(ManifoldConfig(hidden_dim=48, levels=LEVELS))
    field.initialize(rng(3))
    ball = sphere(4000, RADIUS)
    error = fit_manifolds(
        field, ball, (ball - MIDDLE) / RADIUS, ManifoldInitConfig(steps=1000, batch=1024), rng(4)
    )
    return field, error


def test_initial_manifolds_lie_at_their_offsets_from_a_ball(
    manifold_init: tuple[ManifoldField, float],
) -> None:
    """The manifold of level s is the sphere whose radius is larger by (s - 16) * 0.012."""
    field, _ = manifold_init
    towards = torch.from_numpy(directions(300, seed=7)).float()
    for level in LEVELS:
        radius = RADIUS + (level - 16) * 0.012
        s = field(torch.from_numpy(MIDDLE).float() + radius * towards)
        apart = (s - level) * 0.012  # world units
        # Kinks of 48 rectified units on a face that is 0.2 across; the longer a fit, the smaller.
        assert apart.abs().mean() < 1e-3 and apart.abs().max() < 5e-3


def test_the_reported_error_is_the_distance_of_the_manifold_at_the_skin(
    manifold_init: tuple[ManifoldField, float],
) -> None:
    field, error = manifold_init
    towards = torch.from_numpy(directions(2000, seed=8)).float()
    x = torch.from_numpy(MIDDLE).float() + RADIUS * towards
    measured = ((field(x) - 16) * 0.012).abs().mean().item()
    assert error == pytest.approx(measured, rel=0.5) and error < 1e-3


def test_initial_manifolds_are_a_function_of_the_generator_alone() -> None:
    weights = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(weights))
        field = ManifoldField(ManifoldConfig(hidden_dim=8))
        field.initialize(rng(0))
        ball = sphere(500, RADIUS)
        config = ManifoldInitConfig(steps=2, batch=16)
        fit_manifolds(field, ball, (ball - MIDDLE) / RADIUS, config, rng(seed))
        weights.append(field.output.weight.detach())
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_points_about_a_surface_have_signed_distances_and_lie_evenly_on_it() -> None:
    """Of a ball with ten times as many vertices in front: |x - centre| - radius, as many points on either half."""
    ball = sphere(6000, RADIUS)
    front = ball[ball[:, 2] > MIDDLE[2]]
    dense = np.concatenate([ball, *(MIDDLE + (front - MIDDLE) @ turn(k / 10) for k in range(1, 10))])
    points, distance, places = _points_about(dense, (dense - MIDDLE) / RADIUS, 0.05, 2**18, rng(5))
    radius = (points - torch.from_numpy(MIDDLE).float()).norm(dim=1)
    # The plane of a vertex up to 4 mm aside of a ball of 160 mm: 0.05 mm, and as much of the distance's slope 4 / 160.
    assert (distance - (radius - RADIUS)).abs().max() < 2e-3
    assert (distance > 0.03).any() and (distance < -0.03).any()
    assert float((places[:, 2] > MIDDLE[2]).float().mean()) == pytest.approx(0.5, abs=0.06)


def turn(angle: float) -> np.ndarray:
    """Rotation about the z axis."""
    return np.array(
        [[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0], [0.0, 0.0, 1.0]]
    )


# -------------------------------------------------------------------------------------------------------------- priors
MIXING = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [-0.3, 0.2, 0.9]])
MEAN = torch.tensor([0.5, -1.0, 2.0])


def gaussian(count: int) -> Tensor:
    return MEAN + torch.randn(count, 3, generator=rng(5)) @ MIXING.T


def small_vae() -> CoefficientVAE:
    vae = CoefficientVAE(3, CoefficientVAEConfig(hidden_dim=32, layers=2, latent_dim=5))
    vae.initialize(rng(6))
    return vae


def test_decoded_noise_has_the_mean_and_the_covariance_of_gaussian_data() -> None:
    data, vae = gaussian(4000), small_vae()
    report = fit_prior(vae, data, PriorConfig(steps=400, batch=256, lr=1e-4), rng(7), "toy")
    with torch.no_grad():
        decoded = vae.decode(torch.randn(20_000, 5, generator=rng(8)))
    assert torch.allclose(decoded.mean(0), MEAN, atol=0.1)
    # The decoder's mean leaves out the decoder's own variance, 0.03 of each coefficient's 1; the rest is sampling.
    expected = MIXING @ MIXING.T
    assert (torch.cov(decoded.T) - expected).norm() < 0.15 * expected.norm()
    assert report["mean_error_in_deviations"] < 0.12
    assert report["covariance_error"] < 0.15 * report["covariance_norm"]


def test_decoded_noise_keeps_the_covariance_of_data_with_heavy_tails() -> None:
    """Most rows are near the middle, one in twenty is five times as far out: steps pull the prior towards the many."""
    data = gaussian(6000)
    data[::20] = MEAN + 5 * (data[::20] - MEAN)
    vae = CoefficientVAE(3, CoefficientVAEConfig(hidden_dim=32, layers=2, latent_dim=3))
    vae.initialize(rng(6))
    report = fit_prior(vae, data, PriorConfig(steps=200, batch=64, lr=1e-3), rng(7), "toy")
    assert report["mean_error_in_deviations"] < 0.06
    assert report["covariance_error"] < 0.1 * report["covariance_norm"]
    vae.follow_decoder(2 * torch.eye(3), torch.zeros(3))
    latent = torch.randn(20_000, 3, generator=rng(8))
    with torch.no_grad():
        assert torch.allclose(vae.decode(latent).mean(0), 2 * MEAN, atol=0.15)


def test_fewer_items_than_coefficients_are_fitted_too() -> None:
    """Their covariance has directions without any spread, and float32 may give it negative ones."""
    data = 50 * torch.randn(6, 64, generator=rng(5))
    vae = CoefficientVAE(64, CoefficientVAEConfig(hidden_dim=128, layers=1, latent_dim=64))
    vae.initialize(rng(6))
    report = fit_prior(vae, data, PriorConfig(steps=2, batch=8), rng(7), "toy")
    assert all(math.isfinite(value) for value in report.values())
    # Six drawn rows about six rows: an error of a mean is below sqrt(1/6) deviations times the largest of 64 draws.
    assert report["mean_error_in_deviations"] < 2


def test_a_bound_that_is_not_finite_names_the_prior_and_the_step() -> None:
    with pytest.raises(FloatingPointError, match=r"step [0-9]+: .*likelihood of the toy prior.* not finite"):
        fit_prior(small_vae(), 1e30 * gaussian(50), PriorConfig(steps=2, batch=8), rng(7), "toy")


def test_a_prior_is_a_function_of_the_generator_alone() -> None:
    weights = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(weights))
        vae = small_vae()
        fit_prior(vae, gaussian(50), PriorConfig(steps=2, batch=8), rng(seed), "toy")
        weights.append(vae.mean.weight.detach())
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_moments_are_compared_in_deviations_and_against_halves_of_the_data() -> None:
    data = gaussian(1000)
    same = compare_moments(data, data)
    assert same["mean_error_in_deviations"] == 0 and same["covariance_error"] == 0
    halves = torch.cov(data[:500].T) - torch.cov(data[500:].T)
    assert same["covariance_error_of_halves"] == pytest.approx(halves.norm().item(), abs=6e-7)  # six decimals
    shifted = compare_moments(data + data.std(0) * torch.tensor([0.0, -2.0, 1.0]), data)
    assert shifted["mean_error_in_deviations"] == pytest.approx(2, abs=1e-3)
    doubled = compare_moments(math.sqrt(2) * (data - MEAN), data)
    assert doubled["covariance_error"] == pytest.approx(same["covariance_norm"], rel=1e-3)


def test_a_code_entry_is_scaled_by_what_it_shows() -> None:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(400, 3, generator=generator)
    brightness = 100 + 20 * latents[:, 0] + 10 * latents[:, 1]  # the third entry shows nothing
    images = brightness.round().clamp(0, 255).byte()[:, None, None, None].expand(-1, 32, 32, 3).contiguous()
    scale = visible_scale(latents, images)
    assert scale[0] == 1.0
    assert scale[1].item() == pytest.approx(0.5, abs=0.03)  # the draw's own deviations differ by 4 %
    assert scale[2].item() == pytest.approx(SCALE_FLOOR)
