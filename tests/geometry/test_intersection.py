"""Manifolds and where rays cross them: closed forms, and a slow reference for the crossing rule."""

import math

import pytest
import torch
from torch import Tensor

from anifacegan.geometry.intersection import Crossings, first_crossings
from anifacegan.models.manifolds import ManifoldConfig, ManifoldField


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def cross(s: Tensor, *levels: float) -> Crossings:
    """Crossings of one ray; its arrays have the shape (1, 1, level)."""
    return first_crossings(s[None, None], numbers(*levels))


def field(hidden_dim: int, seed: int) -> ManifoldField:
    manifolds = ManifoldField(ManifoldConfig(hidden_dim=hidden_dim))
    manifolds.initialise(torch.Generator().manual_seed(seed))
    return manifolds


def test_a_falling_line_is_crossed_where_it_takes_the_level() -> None:
    crossings = cross(numbers(10, 8, 6, 4, 2), 9.5, 7.0, 2.5)
    assert crossings.hit.all()
    assert crossings.interval.tolist() == [[[0, 1, 3]]]
    torch.testing.assert_close(crossings.fraction[0, 0], numbers(0.25, 0.5, 0.75))


def test_a_level_out_of_reach_is_missed() -> None:
    crossings = cross(numbers(10, 8, 6), 11.0, 5.0)
    assert not crossings.hit.any()
    assert not crossings.interval.any() and not crossings.fraction.any()


def test_a_rising_crossing_is_missed() -> None:
    assert not cross(numbers(2, 4, 6, 8), 5.0).hit.any()


def test_a_level_that_is_first_crossed_rising_is_missed_even_if_s_falls_through_it_later() -> None:
    s = numbers(5, 12, 20, 12, 5, 1)
    assert cross(s, 10.0, 19.0, 3.0).hit.tolist() == [[[False, False, True]]]


def test_the_first_of_several_falls_counts() -> None:
    crossings = cross(numbers(20, 16, 4, 20, 0, 20), 10.0, 2.0)
    assert crossings.hit.all()
    assert crossings.interval.tolist() == [[[1, 3]]]
    torch.testing.assert_close(crossings.fraction[0, 0], numbers(0.5, 0.9))


def test_a_near_sample_exactly_on_the_level_counts() -> None:
    crossings = cross(numbers(10, 8, 6), 10.0)
    assert crossings.hit.all() and crossings.fraction.item() == 0


@pytest.mark.parametrize("seed", range(5))
def test_crossings_of_jagged_s_match_a_slow_reference(seed: int) -> None:
    """The first pair of neighbours on different sides of the level; it counts where near >= level >= far."""
    s = torch.randn(2, 20, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    levels = [1.0, 0.3, -0.2, -1.5]
    crossings = first_crossings(s, numbers(*levels))
    falls = rises = 0
    for b in range(2):
        for r in range(20):
            for k, level in enumerate(levels):
                values = s[b, r].tolist()
                pairs = [i for i in range(5) if (values[i] - level) * (values[i + 1] - level) < 0]
                hit = bool(pairs) and values[pairs[0]] > values[pairs[0] + 1]
                assert crossings.hit[b, r, k].item() == hit
                if hit:
                    near, far = values[pairs[0]], values[pairs[0] + 1]
                    assert crossings.interval[b, r, k].item() == pairs[0]
                    assert crossings.fraction[b, r, k].item() == pytest.approx((near - level) / (near - far))
                falls, rises = falls + hit, rises + (bool(pairs) and not hit)
    assert falls > 10 and rises > 10


def test_s_interpolated_at_a_crossing_is_the_level() -> None:
    s = torch.randn(2, 20, 6, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    levels = numbers(0.7, 0.0, -0.7)
    crossings = first_crossings(s, levels)
    at_level = crossings.interpolate(s[..., None])[..., 0]
    torch.testing.assert_close(at_level[crossings.hit], levels.expand(2, 20, 3)[crossings.hit])


def test_points_are_interpolated_from_near_to_far() -> None:
    points = torch.tensor([[[[0.0, 10.0], [1.0, 20.0], [2.0, 40.0]]]], dtype=torch.float64)
    crossed = cross(numbers(4, 2, 0), 3.5, 0.5).interpolate(points)
    torch.testing.assert_close(crossed[0, 0], torch.tensor([[0.25, 12.5], [1.75, 35.0]], dtype=torch.float64))


def test_the_place_of_a_crossing_is_differentiable_in_s() -> None:
    s = torch.tensor([[[9.0, 7.5, 4.0, 6.0, 1.0]]], dtype=torch.float64, requires_grad=True)
    levels = numbers(8.0, 5.0, 2.0)
    assert torch.autograd.gradcheck(lambda s: first_crossings(s, levels).fraction, [s])


def test_missed_levels_have_finite_gradients() -> None:
    """A flat s crosses nothing: no 0 / 0 on the way back."""
    s = torch.full((1, 1, 4), 5.0, requires_grad=True)
    first_crossings(s, torch.tensor([7.0, 5.0, 3.0])).fraction.sum().backward()
    assert s.grad is not None and s.grad.isfinite().all()


def test_levels_fall_evenly_from_23_to_8() -> None:
    levels = ManifoldField(ManifoldConfig()).levels
    torch.testing.assert_close(levels, torch.tensor([23 - k * 15 / 22 for k in range(23)]))


def test_the_field_is_the_unfolded_formula_in_network_units() -> None:
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
