"""One step of training: precision, learning rate, gradient norms, in closed form."""

import math

import pytest
import torch

from anifacegan.optimisation import cosine_decay, keep_gradient_norms, learning, matrix_precision


def test_the_decay_is_half_a_cosine_from_one_to_its_floor() -> None:
    shares = [cosine_decay(progress, floor=0.2) for progress in (0.0, 1 / 3, 0.5, 1.0, 7.0)]
    assert shares == pytest.approx([1.0, 0.8, 0.6, 0.2, 0.2])


@pytest.mark.parametrize(("precision", "expected"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_matrix_products_have_the_precision_that_is_asked_for(precision: str, expected: torch.dtype) -> None:
    with matrix_precision(precision, torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected


def two_fields() -> tuple[torch.nn.Parameter, torch.optim.Optimizer]:
    """A field of two weights that will have gradients, and one that will not."""
    weight, idle = torch.nn.Parameter(torch.zeros(2, 2)), torch.nn.Parameter(torch.zeros(3))
    bias = torch.nn.Parameter(torch.zeros(1))
    groups = [{"params": [weight, bias], "field": "template", "lr": 0.5}, {"params": [idle], "field": "manifolds"}]
    weight.grad, bias.grad = torch.full((2, 2), 2.0), torch.full((1,), 3.0)
    return weight, torch.optim.Adam(groups)


def test_the_norm_of_a_field_is_that_of_all_its_gradients() -> None:
    _, optimiser = two_fields()
    keep_gradient_norms(optimiser)
    assert learning([optimiser]) == {"learning_rate/template": 0.5, "gradient_norm/template": 5.0}


def test_a_field_without_a_gradient_keeps_the_norm_of_its_last_one() -> None:
    _, optimiser = two_fields()
    keep_gradient_norms(optimiser)
    optimiser.zero_grad()
    keep_gradient_norms(optimiser)
    assert learning([optimiser])["gradient_norm/template"] == 5.0


def test_a_field_of_two_optimisers_is_the_last_ones() -> None:
    (_, before), (weight, after) = two_fields(), two_fields()
    keep_gradient_norms(before)
    assert learning([before, after])["gradient_norm/template"] == 5.0  # the second has not begun
    weight.grad = torch.full((2, 2), math.sqrt(4.0))
    after.param_groups[0]["lr"] = 0.25
    keep_gradient_norms(after)
    assert learning([before, after])["learning_rate/template"] == 0.25


def test_norms_are_part_of_a_snapshot_and_of_older_ones_are_not_missed() -> None:
    _, optimiser = two_fields()
    older = optimiser.state_dict()
    keep_gradient_norms(optimiser)
    _, again = two_fields()
    again.load_state_dict(optimiser.state_dict())
    assert learning([again])["gradient_norm/template"] == 5.0
    for group in older["param_groups"]:
        del group["field"]
    again.load_state_dict(older)
    keep_gradient_norms(again)
    assert learning([again]) == {}
