"""The adversarial terms, against numbers worked out by hand."""

import math

import pytest
import torch
from torch import Tensor

from anifacegan.losses.adversarial import (
    discriminator_loss_generated,
    non_saturating_loss,
    pose_loss,
    r1_penalty,
)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("loss", [non_saturating_loss, discriminator_loss_generated])
def test_undecided_costs_log_two(loss) -> None:
    assert loss(torch.zeros(5, dtype=torch.float64)).item() == pytest.approx(math.log(2), abs=1e-15)


def test_losses_are_minus_the_log_of_the_probability() -> None:
    logit = draw(50)
    real = torch.sigmoid(logit)
    assert non_saturating_loss(logit).item() == pytest.approx(-real.log().mean().item())
    assert discriminator_loss_generated(logit).item() == pytest.approx(-(1 - real).log().mean().item())


def test_far_off_the_loss_grows_linearly_and_its_slope_does_not_fade() -> None:
    """Non-saturating: a generator whose images are seen through learns at full speed."""
    logit = torch.tensor([-200.0], dtype=torch.float64, requires_grad=True)
    loss = non_saturating_loss(logit)
    loss.backward()
    assert loss.item() == 200 and logit.grad is not None and logit.grad.item() == -1


@pytest.mark.parametrize("loss", [non_saturating_loss, discriminator_loss_generated])
def test_logistic_losses_have_the_gradient_they_should(loss) -> None:
    assert torch.autograd.gradcheck(loss, (draw(6).requires_grad_(),))


def test_the_slope_of_a_linear_discriminator_is_its_weight() -> None:
    w, image = draw(3, 4, 4), draw(5, 3, 4, 4, seed=1).requires_grad_()
    logit = (w * image).sum(dim=(1, 2, 3)) + 7
    assert r1_penalty(logit, image).item() == pytest.approx(w.square().sum().item(), rel=1e-12)


def test_the_gradient_of_a_quadratic_discriminator_is_twice_its_matrix_times_the_image() -> None:
    """logit = x^T A x with symmetric A: the gradient is 2 A x, the penalty the mean of 4 |A x|^2."""
    a = draw(12, 12)
    a = a + a.T
    image = draw(4, 3, 2, 2, seed=1).requires_grad_()
    x = image.flatten(1)
    expected = 4 * (x @ a).square().sum(1).mean()
    assert r1_penalty((x @ a * x).sum(1), image).item() == pytest.approx(expected.item(), rel=1e-12)


def test_the_slope_penalty_is_differentiable_in_the_weights() -> None:
    image = draw(2, 1, 2, 2).requires_grad_()

    def penalty(w: Tensor) -> Tensor:
        return r1_penalty((w * image).sum(dim=(1, 2, 3)).sin(), image)

    assert torch.autograd.gradcheck(penalty, (draw(1, 2, 2, seed=1).requires_grad_(),))


def test_the_pose_error_is_the_mean_over_images_and_angles() -> None:
    predicted = torch.tensor([[0.1, -0.2], [0.0, 0.4]])
    pose = torch.tensor([[0.0, 0.0], [0.3, 0.0]])
    assert pose_loss(predicted, pose).item() == pytest.approx((0.01 + 0.04 + 0.09 + 0.16) / 4)


def test_the_pose_error_has_the_gradient_it_should() -> None:
    pose = draw(3, 2, seed=1)
    assert torch.autograd.gradcheck(
        lambda predicted: pose_loss(predicted, pose), (draw(3, 2).requires_grad_(),)
    )
