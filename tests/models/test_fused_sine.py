"""Compiled sine layers against the same formulas in float64, whose gradients are PyTorch's."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from anifacegan.models import fused_sine
from anifacegan.models.fused_sine import fusable, modulated_sine, sine_of_points
from anifacegan.models.siren import BoundFiLMLayer
from anifacegan.runtime.cpu import torch_threads

BATCH, POINTS, UNITS = 3, 37, 19  # no multiples of what a vector register holds


def draw(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def modulated() -> list[Tensor]:
    """Arguments of the sines up to about 50, as in an untrained field."""
    return [
        draw(BATCH, POINTS, UNITS, seed=1, scale=0.4),
        30 + draw(BATCH, UNITS, seed=2, scale=15),
        draw(BATCH, UNITS, seed=3),
    ]


def of_points() -> list[Tensor]:
    return [
        draw(BATCH, POINTS, 3, seed=4),
        draw(BATCH, 3, UNITS, seed=5, scale=10),
        draw(BATCH, UNITS, seed=6),
    ]


def modulated_formula(u: Tensor, frequency: Tensor, shift: Tensor) -> Tensor:
    return torch.sin(frequency[:, None] * u + shift[:, None])


def points_formula(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.sin(x @ weight + bias[:, None])


CASES = {
    "modulated": (modulated, modulated_sine, modulated_formula),
    "of points": (of_points, lambda *values: sine_of_points(*values, torch.float32), points_formula),
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
Case = tuple[Callable[[], list[Tensor]], Callable[..., Tensor], Callable[..., Tensor]]


def with_gradients(function: Callable[..., Tensor], values: list[Tensor], above: Tensor) -> list[Tensor]:
    """The values of a function, and the gradients of its arguments."""
    values = [value.detach().requires_grad_() for value in values]
    out = function(*values)
    return [out, *torch.autograd.grad(out, values, above.to(out.dtype))]


@each_case
def test_values_and_gradients_are_those_of_the_formula(case: Case) -> None:
    """An argument between 64 and 128 is rounded by 3.8e-6 in float32, twice where product and sum are two operations;
    so is its sine. A gradient is a sum of 37 or 57 products with that error, of numbers up to 50: 1e-3 at most, and
    1e-5 of the largest."""
    arguments, function, formula = case
    above = draw(BATCH, POINTS, UNITS, seed=7)
    found = with_gradients(function, arguments(), above)
    expected = with_gradients(formula, [value.double() for value in arguments()], above.double())
    assert (found[0] - expected[0]).abs().max() < 8e-6
    for mine, reference in zip(found[1:], expected[1:], strict=True):
        assert (mine - reference).abs().max() < 1e-5 * reference.abs().max()


@each_case
def test_second_derivatives_are_those_of_the_formula(case: Case) -> None:
    """The gradient of the squared length of the gradient, as in a gradient penalty."""
    arguments, function, formula = case

    def penalty_gradients(function: Callable[..., Tensor], values: list[Tensor]) -> list[Tensor]:
        values = [value.detach().requires_grad_() for value in values]
        first = torch.autograd.grad(function(*values).square().sum(), values, create_graph=True)
        return list(torch.autograd.grad(sum(gradient.square().sum() for gradient in first), values))

    found = penalty_gradients(function, arguments())
    expected = penalty_gradients(formula, [value.double() for value in arguments()])
    for mine, reference in zip(found, expected, strict=True):
        assert (mine - reference).abs().max() < 1e-4 * reference.abs().max()


def test_bfloat16_activations_are_rounded_once() -> None:
    """Of the float32 results for the same inputs, values and gradients are the nearest bfloat16 numbers, up to ties."""
    u, frequency, shift = modulated()
    u, above = u.bfloat16(), draw(BATCH, POINTS, UNITS, seed=7).bfloat16()
    half = with_gradients(modulated_sine, [u, frequency, shift], above)
    full = with_gradients(modulated_sine, [u.float(), frequency, shift], above.float())
    assert half[0].dtype == half[1].dtype == torch.bfloat16
    assert torch.equal(half[0], full[0].bfloat16()) and torch.equal(half[1], full[1].bfloat16())
    assert torch.equal(half[2], full[2]) and torch.equal(half[3], full[3])
    x, weight, bias = of_points()
    rounded = sine_of_points(x, weight, bias, torch.bfloat16)
    assert torch.equal(rounded, sine_of_points(x, weight, bias, torch.float32).bfloat16())


def test_large_arguments_are_reduced_exactly() -> None:
    """Up to 10^4, where float32 numbers are 0.001 apart: the sine of the very number is meant."""
    u = torch.linspace(-1e4, 1e4, 20_001)[None, :, None]
    ones, zeros = torch.ones(1, 1), torch.zeros(1, 1)
    assert (modulated_sine(u, ones, zeros) - u.double().sin()).abs().max() < 3e-7
    (gradient,) = torch.autograd.grad(modulated_sine(u.requires_grad_(), ones, zeros).sum(), u)
    assert (gradient - u.detach().double().cos()).abs().max() < 3e-7


@each_case
@pytest.mark.parametrize("block", [16, 4096])
def test_the_number_of_threads_changes_nothing(
    case: Case, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the points of a face are several blocks; those change sums by rounding only."""
    arguments, function, _ = case
    above = draw(BATCH, POINTS, UNITS, seed=7)
    whole = with_gradients(function, arguments(), above)
    monkeypatch.setattr(fused_sine, "POINTS", block)
    found = []
    for threads in (1, 2):
        with torch_threads(threads):
            found.append(with_gradients(function, arguments(), above))
    for one, two, reference in zip(*found, whole, strict=True):
        assert torch.equal(one, two)
        assert (one - reference).abs().max() <= 1e-5 * reference.abs().max()


def test_no_points_give_no_values_and_no_gradients() -> None:
    u, frequency, shift = modulated()
    out, _, *gradients = with_gradients(modulated_sine, [u[:, :0], frequency, shift], u[:, :0])
    assert out.shape == (BATCH, 0, UNITS) and not any(gradient.any() for gradient in gradients)


@pytest.mark.parametrize("in_dim", [3, 24])
def test_a_layer_is_the_same_in_one_pass_and_by_pytorch(in_dim: int) -> None:
    """float64 takes PyTorch's own operations, with frequencies folded into the weights."""
    values = [
        draw(UNITS, in_dim, seed=1, scale=0.1), 30 + draw(BATCH, UNITS, seed=2, scale=15),
        draw(BATCH, UNITS, seed=3), draw(BATCH, POINTS, in_dim, seed=4, scale=0.5),
    ]  # fmt: skip

    def layer(linear: Tensor, frequency: Tensor, shift: Tensor, x: Tensor) -> Tensor:
        assert fusable(x) == (x.dtype == torch.float32)
        return BoundFiLMLayer(linear, frequency, shift)(x)

    above = draw(BATCH, POINTS, UNITS, seed=7)
    found = with_gradients(layer, values, above)
    expected = with_gradients(layer, [value.double() for value in values], above.double())
    for mine, reference in zip(found, expected, strict=True):
        assert (mine - reference).abs().max() < 1e-5 * max(1.0, reference.abs().max().item())
