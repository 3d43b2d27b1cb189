"""The alignment field: linear in the identity, a sine network in the point, steps in world units."""

import torch
from torch import Tensor

from anifacegan.models.alignment import AlignmentConfig, AlignmentField

SMALL = AlignmentConfig(hidden_dim=6, layers=2, frequency=7.0, output_scale=0.25)


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def field() -> AlignmentField:
    """A field that moves points: the head's weight is not zero."""
    alignment = AlignmentField(SMALL).double()
    alignment.initialise(torch.Generator().manual_seed(0))
    with torch.no_grad():
        alignment.head.weight.copy_(draw(240, 6, seed=1))
    return alignment


def test_starts_as_the_identity() -> None:
    alignment = AlignmentField(AlignmentConfig())
    alignment.initialise(torch.Generator().manual_seed(0))
    assert not alignment.bind(torch.ones(2, 80))(torch.rand(2, 7, 3)).any()


def test_the_step_is_the_unfolded_formula() -> None:
    """x / 0.12 -> sin(frequency * (W x + b)), layer by layer -> 80 steps for each axis, weighted by z_id, scaled."""
    alignment, z_id, x = field(), draw(2, 80, seed=2), 0.1 * draw(2, 5, 3, seed=3)
    steps = alignment.bind(z_id)(x)
    for b in range(2):
        for n in range(5):
            h = x[b, n] / 0.12
            for layer in alignment.layers:
                h = (7.0 * (layer.linear.weight @ h + layer.linear.bias)).sin()
            outputs = alignment.head.weight @ h                        # x of the 80 steps, then y, then z
            expected = [0.25 * (outputs[80 * axis : 80 * axis + 80] * z_id[b]).sum() for axis in range(3)]
            torch.testing.assert_close(steps[b, n], torch.stack(expected), atol=1e-12, rtol=0)


def test_the_mean_identity_stays_where_it_is_and_half_an_identity_moves_half_as_far() -> None:
    alignment, z_id, x = field(), draw(1, 80, seed=2), 0.1 * draw(1, 5, 3, seed=3)
    whole = alignment.bind(z_id)(x)
    torch.testing.assert_close(alignment.bind(0.5 * z_id)(x), 0.5 * whole)
    assert not alignment.bind(0 * z_id)(x).any()
