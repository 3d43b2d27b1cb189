"""The deformation is inverted, also where fixed-point steps do not converge."""

import numpy as np
import torch
from torch import Tensor

from anifacegan.avatars.baking.inverse_warp import (
    FIXED_POINT_STEPS,
    _fixed_point,
    target_points,
    volume_ratio,
)
from tests.fixtures.ball_people import (
    along_y,
    person,
    z_exp_rows,
)

ON, OFF = z_exp_rows((1,))[0], z_exp_rows(())[0]


def line_of_points(count: int = 61) -> Tensor:
    y = torch.linspace(-0.03, 0.03, count)
    return torch.stack([0.01 + 0 * y, y, 0.08 + 0 * y], dim=-1)


def test_a_stretch_is_inverted_where_fixed_point_steps_do_not_converge() -> None:
    """The template is compressed to a tenth of its height: the derivative of D is -0.9, and 0.9^6 = 0.53 of the error
    is left after six steps.
    """
    move = along_y(lambda y: -0.9 * 0.01 * (y / 0.01).tanh())
    condition, x_template = person(move), line_of_points()
    x, residual = target_points(condition, ON, x_template)
    reached = x + move(x, ON)
    assert (reached - x_template).norm(dim=-1).max() < 4e-5
    torch.testing.assert_close(residual, (reached - x_template).norm(dim=-1), atol=1e-6, rtol=0)
    assert (x[:, [0, 2]] - x_template[:, [0, 2]]).abs().max() < 1e-5
    assert _fixed_point(condition(ON).offset, x_template)[1].max() > 2e-4
    # y + D(y) = y_template by bisection.
    low, high = torch.full_like(x[:, 1], -0.1), torch.full_like(x[:, 1], 0.1)
    for _ in range(60):
        middle = (low + high) / 2
        above = middle - 0.9 * 0.01 * (middle / 0.01).tanh() > x_template[:, 1]
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    assert (x[:, 1] - middle).abs().max() < 4e-4  # the residual over the slope


def test_a_rotation_is_inverted_where_fixed_point_steps_diverge() -> None:
    """The template is the target rotated by 70 degrees and compressed about a point."""
    pivot, matrix = (
        torch.tensor([0.01, 0.0, 0.08]),
        torch.tensor([[0.3, 0.8, 0.0], [-0.8, 0.3, 0.1], [0.0, 0.0, 1.0]]),
    )

    def move(x: Tensor, z_exp: np.ndarray) -> Tensor:
        return float(z_exp[0]) * (x - pivot) @ (matrix - torch.eye(3)).T

    x_template = line_of_points()
    x, residual = target_points(person(move), ON, x_template)
    expected = pivot + (x_template - pivot) @ torch.linalg.inv(matrix).T
    assert residual.max() < 3e-5
    torch.testing.assert_close(x, expected, atol=5e-5, rtol=0)
    assert _fixed_point(person(move)(ON).offset, x_template)[1].max() > 1e-3


def test_a_deformation_that_is_far_too_strong_leaves_a_residual() -> None:
    """Beside slopes of a million, float32 loses what would make the matrix regular."""

    def move(x: Tensor, z_exp: np.ndarray) -> Tensor:
        return 1e6 * float(z_exp[0]) * x.sum(dim=-1, keepdim=True).expand_as(x)

    x, residual = target_points(person(move), ON, line_of_points())
    assert x.isfinite().all() and residual.isfinite().all() and residual.max() > 1e-2


def test_a_small_deformation_needs_no_newton_steps() -> None:
    calls = []
    move = along_y(lambda y: 0.001 * (100 * y).sin())

    def counted(x: Tensor, z_exp: np.ndarray) -> Tensor:
        calls.append(x.shape[1])
        return move(x, z_exp)

    x, residual = target_points(person(counted), ON, line_of_points())
    assert residual.max() < 3e-5 and len(calls) <= FIXED_POINT_STEPS
    assert (x + move(x, ON) - line_of_points()).norm(dim=-1).max() < 4e-5


def test_points_take_no_more_steps_than_they_need() -> None:
    """Half of the points are not moved, and one evaluation says so. A part of the others needs Newton's method, with
    four evaluations a step; its last steps are quadratic.
    """
    points = []
    move = along_y(lambda y: torch.where(y > 0, -0.7 * 0.01 * (y / 0.01).tanh(), 0 * y))

    def counted(x: Tensor, z_exp: np.ndarray) -> Tensor:
        points.append(x[0, :, 1])
        return move(x, z_exp)

    x_template = line_of_points()
    x, residual = target_points(person(counted), ON, x_template)
    assert residual.max() < 3e-5 and (x + move(x, ON) - x_template).norm(dim=-1).max() < 6e-5
    evaluated = torch.cat(points)
    # Newton's probes lie off the points by DIFFERENCE, so those of moved points may be below 0.
    assert 29 <= (evaluated < -2e-4).sum() <= 30
    assert len(evaluated) < 30 + 31 * 25


def test_a_quick_iteration_estimates_its_residual_from_the_last_two() -> None:
    """A step that is a hundredth of the one before leaves a hundredth of the residual."""
    move = along_y(lambda y: 0.01 * y + 0.002)
    x_template = line_of_points()
    x, residual = _fixed_point(person(move)(ON).offset, x_template)
    true = (x + move(x, ON) - x_template).norm(dim=-1)
    assert true.max() < 1e-6 and (residual - true).abs().max() < 1e-6


def test_a_volume_ratio_is_the_determinant() -> None:
    matrix = torch.tensor([[0.5, 0.1, 0.0], [0.0, 2.0, 0.3], [0.2, 0.0, 0.8]])
    ratio = volume_ratio(lambda x: x @ (matrix - torch.eye(3)).T, 0.05 * torch.randn(5, 3))
    torch.testing.assert_close(ratio, torch.linalg.det(matrix).expand(5), atol=2e-3, rtol=0)
