"""Sums of table rows against the definition, and the compiled gradient against PyTorch's."""

import pytest
import torch
from torch import Tensor

from anifacegan.models.table_lookup import weighted_rows
from anifacegan.runtime.cpu import torch_threads

ROWS, CHANNELS = 7, 3
ROUNDING = 200 * 2**-24
"""A row of the table gets about 4 * 200 / 7 products of size 1 at most, summed in float32."""


def arguments(points: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(points)
    table = torch.randn(ROWS, CHANNELS, generator=rng, dtype=dtype)
    index = torch.randint(ROWS, (points, 4), generator=rng)
    return table, index, torch.rand(points, 4, generator=rng, dtype=dtype)


@pytest.mark.parametrize("points", [0, 1, 5])
def test_each_sum_is_that_of_its_weighted_rows(points: int) -> None:
    table, index, weight = arguments(points)
    expected = torch.zeros(points, CHANNELS, dtype=torch.float64)
    for n in range(points):
        for corner in range(4):
            expected[n] += weight[n, corner] * table[index[n, corner]]
    torch.testing.assert_close(weighted_rows(table, index, weight), expected)


def test_gradients_of_table_and_weights_are_right() -> None:
    table, index, weight = arguments(5)
    assert torch.autograd.gradcheck(
        lambda rows, factors: weighted_rows(rows, index, factors),
        (table.requires_grad_(), weight.requires_grad_()),
    )


@pytest.mark.parametrize("points", [0, 1, 200])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_compiled_gradient_is_that_of_pytorch(points: int, threads: int) -> None:
    """In float32 a compiled loop sums; rows that no point reads get 0, rows read twice both."""
    table, index, weight = arguments(points, torch.float32)
    other = table.clone().requires_grad_()
    table.requires_grad_()
    upstream = torch.rand(points, CHANNELS, generator=torch.Generator().manual_seed(1))
    with torch_threads(threads):
        weighted_rows(table, index, weight).backward(upstream)
    (other[index] * weight[..., None]).sum(1).backward(upstream)
    torch.testing.assert_close(table.grad, other.grad, atol=ROUNDING, rtol=1e-5)
    assert ((table.grad == 0).all(1) == ~torch.isin(torch.arange(ROWS), index)).all()


def test_only_what_needs_a_gradient_gets_one() -> None:
    table, index, weight = arguments(5, torch.float32)
    weighted_rows(table, index, weight.requires_grad_()).sum().backward()
    assert table.grad is None and weight.grad is not None
