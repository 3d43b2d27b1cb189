"""Compositing weights against closed forms and the painter's algorithm."""

import pytest
import torch
from torch import Tensor

from anifacegan.rendering.compositing import blending_weights

TINY = 1e-8
"""The 1e-10 that every product carries, over a handful of levels, and float64 rounding."""


def random_levels(seed: int) -> tuple[Tensor, Tensor]:
    """Opacities and hits (2, 10, 6)."""
    rng = torch.Generator().manual_seed(seed)
    alpha, chance = torch.rand(2, 2, 10, 6, generator=rng, dtype=torch.float64)
    return alpha, chance < 0.7


def everywhere(alpha: Tensor) -> Tensor:
    return torch.ones_like(alpha, dtype=torch.bool)


def test_equal_levels_fade_geometrically() -> None:
    alpha = torch.full((1, 1, 4), 0.25, dtype=torch.float64)
    expected = torch.tensor([[[0.25, 0.25 * 0.75, 0.25 * 0.75**2, 0.25 * 0.75**3]]], dtype=torch.float64)
    torch.testing.assert_close(blending_weights(alpha, everywhere(alpha)), expected, atol=TINY, rtol=0)


@pytest.mark.parametrize("seed", range(3))
def test_matches_painters_algorithm(seed: int) -> None:
    """Paint the levels from the last to the first; the colour of a level is its unit vector, so paint is weights."""
    alpha, hit = random_levels(seed)
    weights = blending_weights(alpha, hit)
    for b in range(2):
        for r in range(10):
            canvas = torch.zeros(6, dtype=torch.float64)
            for level in reversed(range(6)):
                if hit[b, r, level]:
                    canvas = (1 - alpha[b, r, level]) * canvas
                    canvas[level] += alpha[b, r, level]
            torch.testing.assert_close(weights[b, r], canvas, atol=TINY, rtol=0)


def test_opaque_first_level_hides_the_rest() -> None:
    alpha = torch.tensor([[[1.0, 0.5, 1.0]]])
    torch.testing.assert_close(
        blending_weights(alpha, everywhere(alpha)), torch.tensor([[[1.0, 0.0, 0.0]]]), atol=TINY, rtol=0
    )


def test_missed_level_changes_nothing() -> None:
    alpha, _ = random_levels(3)
    hit = everywhere(alpha)
    hit[..., 2] = False
    rest = [0, 1, 3, 4, 5]
    weights, without = blending_weights(alpha, hit), blending_weights(alpha[..., rest], hit[..., rest])
    torch.testing.assert_close(weights[..., rest], without, atol=TINY, rtol=0)
    assert not weights[..., 2].any()


def test_weights_over_an_opaque_last_level_add_up_to_one() -> None:
    alpha, hit = random_levels(4)
    alpha[..., -1], hit[..., -1] = 1.0, True
    torch.testing.assert_close(
        blending_weights(alpha, hit).sum(-1), torch.ones(2, 10, dtype=torch.float64), atol=TINY, rtol=0
    )


def test_light_behind_an_opaque_level_is_1e_10() -> None:
    alpha = torch.tensor([[[1.0, 1.0]]], dtype=torch.float64)
    assert blending_weights(alpha, everywhere(alpha))[0, 0, 1].item() == pytest.approx(1e-10, rel=1e-3)


def test_blending_is_differentiable_where_levels_are_missed() -> None:
    alpha, hit = random_levels(5)
    assert torch.autograd.gradcheck(
        lambda a: blending_weights(a, hit[:1, :2]), [alpha[:1, :2].requires_grad_()]
    )


def test_opaque_levels_have_finite_gradients() -> None:
    alpha = torch.tensor([[[0.5, 1.0, 1.0, 0.5]]], requires_grad=True)
    blending_weights(alpha, everywhere(alpha))[..., -1].sum().backward()
    assert alpha.grad is not None and alpha.grad.isfinite().all()
