"""The manifold field: its formula, its initial spheres and its levels."""

import math
from itertools import pairwise

import pytest
import torch

from anifacegan.models.config import ManifoldConfig
from anifacegan.models.manifolds import ManifoldField
from anifacegan.runtime.errors import InputError
from tests.fixtures.closed_forms import numbers


def field(hidden_dim: int, seed: int) -> ManifoldField:
    manifolds = ManifoldField(ManifoldConfig(hidden_dim=hidden_dim))
    manifolds.initialize(torch.Generator().manual_seed(seed))
    return manifolds


def test_levels_fall_evenly_from_23_to_8() -> None:
    levels = ManifoldField(ManifoldConfig()).levels
    torch.testing.assert_close(levels, torch.tensor([23 - k * 15 / 22 for k in range(23)]))


def test_the_field_follows_the_formula_in_network_units() -> None:
    """MLP with ReLU on ``x / 0.12 - (0, 0, -1.5)``."""
    manifolds = field(hidden_dim=16, seed=0).double()
    x = 0.1 * torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    s = manifolds(x)
    for b in range(2):
        for n in range(5):
            h = x[b, n] / 0.12 - numbers(0, 0, -1.5)
            for layer in manifolds.hidden:
                h = (layer.weight @ h + layer.bias).clamp(min=0)
            expected = manifolds.output.weight @ h + manifolds.output.bias
            torch.testing.assert_close(s[b, n], expected[0], atol=1e-12, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_manifolds_start_as_spheres_about_a_point_behind_the_head(seed: int) -> None:
    """s is 10 |x / 0.12 - centre| in expectation. A finite width scatters about it: at 2048 the mean ratio was measured
    within 0.95 .. 1.05, and the ratio of a single point within 0.90 .. 1.10."""
    rng = torch.Generator().manual_seed(100 + seed)
    u = 2 * torch.rand(1000, 3, generator=rng) - 1
    with torch.no_grad():
        ratio = field(hidden_dim=2048, seed=seed)(0.12 * u) / (
            10 * (u - torch.tensor([0.0, 0.0, -1.5])).norm(dim=-1)
        )
    assert ratio.mean().item() == pytest.approx(1, abs=0.1)
    assert ratio.min() > 0.8 and ratio.max() < 1.2


def test_hidden_layers_start_normal_and_the_last_one_constant() -> None:
    """The standard deviation of 512 * 512 draws is known within 1 %."""
    manifolds = field(hidden_dim=512, seed=0)
    assert manifolds.hidden[1].weight.std().item() == pytest.approx(math.sqrt(2 / 512), rel=0.01)
    constant = torch.full((1, 512), 10 * math.sqrt(math.pi / 512))
    torch.testing.assert_close(manifolds.output.weight.detach(), constant)
    assert not manifolds.output.bias.any() and not any(layer.bias.any() for layer in manifolds.hidden)


def test_s_falls_along_a_ray_that_enters_the_face() -> None:
    z = torch.linspace(0.12, -0.12, 64)
    with torch.no_grad():
        s = field(hidden_dim=2048, seed=0)(torch.stack([0 * z, 0 * z, z], dim=-1))
    assert (s.diff() < 0).all()
    assert s[0] > 23 and s[-1] < 8


def test_given_levels_take_the_place_of_even_ones() -> None:
    levels = ManifoldField(ManifoldConfig(levels=(20.0, 14.0, 13.0))).levels
    assert levels.tolist() == [20.0, 14.0, 13.0]


@pytest.mark.parametrize(
    "bad",
    [
        {"count": 1},
        {"first_level": 8.0, "last_level": 23.0},
        {"levels": (20.0,)},
        {"levels": (20.0, 13.0, 13.0)},
    ],
)
def test_levels_that_do_not_fall_are_refused(bad: dict) -> None:
    with pytest.raises(ValueError, match="level"):
        ManifoldConfig(**bad)


@pytest.mark.parametrize("count", [2, 23, 1024])
def test_evenly_spaced_levels_are_refused_before_two_are_equal_as_float32(count: int) -> None:
    """At the smallest spacing that is accepted, every level is lower than the one before."""
    smallest = 2.0**-21 * 23
    accepted = ManifoldConfig(count=count, last_level=23 - 1.01 * smallest * (count - 1))
    assert accepted.manifold_count == len(accepted.values()) == count
    assert all(a > b for a, b in pairwise(accepted.values()))
    with pytest.raises(InputError, match="levels is "):
        ManifoldConfig(count=count, last_level=23 - 0.99 * smallest * (count - 1))
