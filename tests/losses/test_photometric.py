"""Photometric losses, against numbers worked out by hand."""

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


def test_free_space_is_the_mean_opacity_of_its_points_alone() -> None:
    alpha = torch.tensor([[[0.5, 1.0], [0.25, 1.0]]])
    free = torch.tensor([[[True, False], [True, False]]])
    assert free_space_loss(alpha, free).item() == pytest.approx(0.375)
    assert free_space_loss(alpha, torch.zeros_like(free)).item() == 0
