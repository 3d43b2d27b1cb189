"""Imitation losses, against numbers worked out by hand."""

import pytest
import torch

from anifacegan.losses.imitation import (
    NEIGHBOUR_WIDTH,
    deformation_loss,
    neighbours,
    offset_loss,
    smoothness_loss,
)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_deformation_error_is_the_mean_squared_length_over_seen_points() -> None:
    delta = torch.tensor([[[3.0, 4.0, 0.0], [0.0, 0.0, 2.0], [9.0, 9.0, 9.0]]])
    confidence = torch.tensor([[1.0, 0.5, 0.0]])
    error = deformation_loss(delta + 1, torch.ones_like(delta), confidence)
    assert error.item() == pytest.approx((1 * 25 + 0.5 * 4) / 1.5)


def test_faces_of_which_nothing_is_seen_have_no_deformation_error() -> None:
    assert deformation_loss(torch.ones(2, 3, 3), torch.zeros(2, 3, 3), torch.zeros(2, 3)).item() == 0


def test_unseen_points_pull_at_nothing() -> None:
    delta = torch.randn(1, 4, 3, generator=rng(), requires_grad=True)
    confidence = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    deformation_loss(delta, torch.zeros(1, 4, 3), confidence).backward()
    assert delta.grad is not None
    assert (delta.grad.norm(dim=-1) > 0).tolist() == [[True, False, True, False]]


def test_the_deformation_error_has_the_gradient_it_should() -> None:
    delta = torch.randn(2, 3, 3, dtype=torch.float64, generator=rng(), requires_grad=True)
    reference = torch.randn(2, 3, 3, dtype=torch.float64, generator=rng(1))
    confidence = torch.rand(2, 3, dtype=torch.float64, generator=rng(2)) + 0.5
    assert torch.autograd.gradcheck(lambda d: deformation_loss(d, reference, confidence), (delta,))


def test_a_field_that_moves_all_points_alike_is_not_rough() -> None:
    assert smoothness_loss(torch.ones(2, 5, 3), torch.ones(2, 5, 3)).item() == 0


def test_roughness_is_the_squared_slope_times_that_of_a_step() -> None:
    """For D(x) = A x it is the mean of |A e|^2, and a uniform step of full width w has the variance w^2 / 12."""
    matrix = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 3.0]])
    points = torch.zeros(1, 40_000, 3)  # at the origin float32 resolves the step
    expected = matrix.square().sum().item() * 0.002**2 / 12
    near = neighbours(points, torch.rand(points.shape, generator=rng()))
    found = smoothness_loss(points @ matrix, near @ matrix)
    assert found.item() == pytest.approx(expected, rel=0.02)  # 4 deviations
    assert NEIGHBOUR_WIDTH == pytest.approx(0.24 / 24 / 5)  # 0.24 is the width of the networks' cube


def test_neighbours_lie_within_half_a_width_on_both_sides() -> None:
    step = neighbours(torch.zeros(1, 2000, 3), torch.rand(1, 2000, 3, generator=rng()))
    assert step.abs().max() <= 0.001 and step.min() < -0.00095 and step.max() > 0.00095


def test_magnitude_is_the_mean_squared_length() -> None:
    delta = torch.tensor([[[3.0, 4.0, 0.0]], [[0.0, 0.0, 1.0]]])
    assert offset_loss(delta).item() == pytest.approx((25 + 1) / 2)
