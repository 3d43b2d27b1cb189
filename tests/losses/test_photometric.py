"""Photometric losses, against numbers worked out by hand."""

import math

import pytest
import torch

from anifacegan.losses.photometric import colour_loss, free_space_loss, silhouette_loss


def test_the_colour_error_is_the_mean_absolute_difference() -> None:
    seen, target = torch.tensor([[[0.5, 0.5, 0.5]]]), torch.tensor([[[0.5, 0.7, 0.2]]])
    assert colour_loss(seen, target).item() == pytest.approx(0.5 / 3)


def test_the_silhouette_counts_only_where_the_cover_is_known() -> None:
    foreground, covered = torch.tensor([[0.75, 0.0, 0.5]]), torch.tensor([[1.0, 1.0, 0.0]])
    known = torch.tensor([[True, False, True]])
    assert silhouette_loss(foreground, covered, known).item() == pytest.approx((0.25 + 0.5) / 3)


def test_free_space_is_the_mean_optical_depth_of_its_points_alone() -> None:
    """Exact where little is opaque; an opaque point counts as 1,000 times weaker light, and still has a gradient."""
    alpha = torch.tensor([[[0.5, 1.0], [0.25, 1.0]]])
    free = torch.tensor([[[True, False], [True, False]]])
    expected = (-math.log(0.5) - math.log(0.75)) / 2
    even = torch.ones(1, 2)
    assert free_space_loss(alpha, free, even).item() == pytest.approx(expected, rel=2e-3)
    assert free_space_loss(alpha, torch.zeros_like(free), even).item() == 0
    assert free_space_loss(alpha, ~free, even).item() == pytest.approx(math.log(1001), rel=1e-5)
    weighted = (-math.log(0.5) - 3 * math.log(0.75)) / 2
    assert free_space_loss(alpha, free, torch.tensor([[1.0, 3.0]])).item() == pytest.approx(
        weighted, rel=2e-3
    )
    density = torch.tensor([[[0.01, 5.0]]], requires_grad=True)
    free_space_loss(-torch.expm1(-density), torch.ones(1, 1, 2, dtype=torch.bool), even[:, :1]).backward()
    assert density.grad is not None
    assert density.grad.flatten().tolist() == pytest.approx(
        [0.5, 0.5], rel=0.15
    )  # that of the density itself
