"""Crossings of rays and levels: closed forms, and a slow reference."""

import pytest
import torch
from torch import Tensor

from anifacegan.geometry.intersection import Crossings, first_crossings


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def cross(s: Tensor, *levels: float) -> Crossings:
    """Crossings of one ray; its arrays have the shape (1, 1, level)."""
    return first_crossings(s[None, None], numbers(*levels))


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


def test_the_position_of_a_crossing_is_differentiable_in_s() -> None:
    s = torch.tensor([[[9.0, 7.5, 4.0, 6.0, 1.0]]], dtype=torch.float64, requires_grad=True)
    levels = numbers(8.0, 5.0, 2.0)
    assert torch.autograd.gradcheck(lambda s: first_crossings(s, levels).fraction, [s])


def test_missed_levels_have_finite_gradients() -> None:
    """A constant s crosses no level; its gradient must not be 0 / 0."""
    s = torch.full((1, 1, 4), 5.0, requires_grad=True)
    first_crossings(s, torch.tensor([7.0, 5.0, 3.0])).fraction.sum().backward()
    assert s.grad is not None and s.grad.isfinite().all()
