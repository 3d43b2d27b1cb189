"""A polynomial stands for the sine: it must be the sine, for every argument that a network can have."""

import numpy as np
import pytest
import torch

from anifacegan.models.numba_kernels import relu, sine


@pytest.mark.parametrize("largest", [0.1, 3.0, 100.0, 1e4])
def test_it_is_the_sine_of_the_sum(largest: float) -> None:
    h = largest * (2 * torch.rand(301, 37) - 1)
    bias = torch.randn(37)
    expected = (h + bias).double().sin()
    sine(h.numpy(), bias.numpy())
    assert (h - expected).abs().max() < 3e-7


def test_it_is_the_sine_at_and_between_the_ends_of_every_half_turn() -> None:
    turns = torch.arange(-400, 401).double()[:, None] * np.pi / 2
    near = (turns + torch.linspace(-1e-3, 1e-3, 21, dtype=torch.float64)).float()
    h = near.clone()
    sine(h.numpy(), np.zeros(21, np.float32))
    assert (h - near.double().sin()).abs().max() < 3e-7


def test_the_rectifier_adds_its_bias_and_cuts_at_zero() -> None:
    h, bias = torch.randn(33, 19), torch.randn(19)
    expected = (h + bias).relu()
    relu(h.numpy(), bias.numpy())
    torch.testing.assert_close(h, expected)
