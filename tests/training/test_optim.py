"""One step of training: precision, learning rate, gradient norms, in closed form."""

import pytest
import torch
from torch.optim.swa_utils import AveragedModel

from anifacegan.training import optim
from anifacegan.training.optim import (
    LeftOutSteps,
    MovingAverage,
    cosine_decay,
    finite_total,
    matrix_precision,
    scheduled,
    take_step,
)


def test_the_decay_is_half_a_cosine_from_one_to_its_floor() -> None:
    shares = [cosine_decay(progress, floor=0.2) for progress in (0.0, 1 / 3, 0.5, 1.0, 7.0)]
    assert shares == pytest.approx([1.0, 0.8, 0.6, 0.2, 0.2])


@pytest.mark.parametrize(
    ("precision", "expected"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)]
)
def test_matrix_products_have_the_requested_precision(precision: str, expected: torch.dtype) -> None:
    with matrix_precision(precision, torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected


@pytest.mark.parametrize("fast", [False, True])
def test_automatic_precision_is_half_where_the_device_multiplies_it(
    fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optim, "multiplies_bfloat16", lambda device: fast)
    with matrix_precision("auto", torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == (torch.bfloat16 if fast else torch.float32)


def test_a_schedule_begins_at_any_step_and_its_rates_are_the_unbroken_ones() -> None:
    def rates(start: int, steps: int) -> list[tuple[float, float]]:
        _, optimizer = two_fields()
        shares = {"template": lambda step: 1 / (1 + step), "manifolds": lambda step: 0.5**step}
        scheduler, found = scheduled(optimizer, {"template": 0.5, "manifolds": 2.0}, shares, start), []
        for _ in range(steps):
            found.append(tuple(group["lr"] for group in optimizer.param_groups))
            optimizer.step()
            scheduler.step()
        return found

    assert rates(0, 5)[:2] == [(0.5, 2.0), (0.25, 1.0)]
    assert rates(0, 5)[3:] == rates(3, 2)


# ------------------------------------------------------------------------------------------------------------- a step
def two_fields() -> tuple[torch.nn.Parameter, torch.optim.Optimizer]:
    """A field of two weights that have gradients, and one of a weight that has none."""
    weight, idle = torch.nn.Parameter(torch.zeros(2, 2)), torch.nn.Parameter(torch.zeros(3))
    bias = torch.nn.Parameter(torch.zeros(1))
    groups = [
        {"params": [weight, bias], "field": "template", "lr": 0.5},
        {"params": [idle], "field": "manifolds"},
    ]
    weight.grad, bias.grad = torch.full((2, 2), 2.0), torch.full((1,), 3.0)
    return weight, torch.optim.SGD(groups, lr=1.0)


def test_a_step_tells_rate_and_norm_of_every_field_with_a_gradient() -> None:
    weight, optimizer = two_fields()
    values = take_step(0, optimizer, limit=100.0)
    assert values == {"learning_rate/template": 0.5, "gradient_norm/template": 5.0}
    assert torch.equal(weight, torch.full((2, 2), -1.0))
    assert not any("norm" in key for group in optimizer.param_groups for key in group)


@pytest.mark.parametrize(("each_field", "expected"), [(False, 13.0), (True, 5.0)])
def test_gradients_are_cut_to_one_norm_or_field_by_field(each_field: bool, expected: float) -> None:
    weight, optimizer = two_fields()
    (idle,) = optimizer.param_groups[1]["params"]
    idle.grad = torch.tensor([0.0, 12.0, 0.0])
    assert take_step(0, optimizer, 1.0, each_field=each_field)["gradient_norm/manifolds"] == 12.0
    torch.testing.assert_close(weight.grad, torch.full((2, 2), 2.0 / expected), rtol=1e-5, atol=0)


def test_small_gradients_are_not_cut() -> None:
    weight, optimizer = two_fields()
    take_step(0, optimizer, limit=6.0)
    assert torch.equal(weight.grad, torch.full((2, 2), 2.0))


def test_a_broken_gradient_is_named_with_its_step_and_changes_nothing() -> None:
    weight, optimizer = two_fields()
    weight.grad[0, 0] = torch.inf
    with pytest.raises(FloatingPointError, match="step 7: a gradient of template, manifolds is not finite"):
        take_step(7, optimizer, 0.3)
    with pytest.raises(FloatingPointError, match="step 7: a gradient of template is not finite"):
        take_step(7, optimizer, 0.3, each_field=True)
    assert torch.equal(weight, torch.zeros(2, 2))


def test_a_broken_term_is_named_with_its_step() -> None:
    terms = {"generator_fake": torch.tensor(0.5), "generator_pose": torch.tensor(float("nan"))}
    with pytest.raises(FloatingPointError, match="step 7: generator_pose not finite"):
        finite_total(7, terms)


# --------------------------------------------------------------------------------------------------- averaged weights
def test_the_average_follows_weights_and_buffers_and_closely_at_first() -> None:
    network = torch.nn.BatchNorm1d(1, affine=True)
    network.num_batches_tracked = None  # the average has no place for counts
    average = MovingAverage(network, decay=0.5)
    expected = 0.0
    for update, value in enumerate([4.0, 8.0, 2.0, 6.0, 1.0, 3.0, 5.0, 7.0, 9.0, 3.0]):
        torch.nn.init.constant_(network.weight, value)
        network.running_mean.fill_(-value)
        average.update(network)
        decay = 0.0 if update == 0 else min(0.5, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * value
        assert average.module.weight.item() == pytest.approx(expected)
        assert average.module.running_mean.item() == pytest.approx(-expected)
    assert not average.module.weight.requires_grad and network.weight.requires_grad


def test_the_average_is_pytorchs_bit_for_bit() -> None:
    network = torch.nn.BatchNorm1d(3)

    @torch.no_grad()
    def warmed_up(means: list[torch.Tensor], values: list[torch.Tensor], updates: torch.Tensor) -> None:
        decay = min(0.9, (1 + int(updates)) / (10 + int(updates)))
        if means[0].is_floating_point():
            torch._foreach_lerp_(means, values, 1 - decay)

    theirs = AveragedModel(network, multi_avg_fn=warmed_up, use_buffers=True)
    ours = MovingAverage(network, 0.9)
    for _ in range(20):
        torch.nn.init.normal_(network.weight)
        network.running_var.uniform_()
        theirs.update_parameters(network)
        ours.update(network)
    for name in ("weight", "running_var"):
        assert torch.equal(getattr(ours.module, name), getattr(theirs.module, name))


# ------------------------------------------------------------------------------------------------- steps left out
def test_steps_are_left_out_up_to_the_limit_in_a_row(capsys: pytest.CaptureFixture) -> None:
    left_out, error = LeftOutSteps(2), FloatingPointError("step 7: colour not finite")
    for _ in range(3):  # never three in a row
        left_out.add(error, tell=True)
        left_out.add(error, tell=False)
        left_out.step_taken()
    assert (left_out.total, left_out.in_a_row) == (6, 0)
    assert capsys.readouterr().err == "step 7: colour not finite: left out, 1 in a row of 2 allowed\n" * 3
    left_out.add(error, tell=False)
    left_out.add(error, tell=False)
    with pytest.raises(FloatingPointError, match="^step 7: colour not finite; 3 steps in a row$"):
        left_out.add(error, tell=False)


def test_without_a_limit_the_first_is_the_error_itself() -> None:
    with pytest.raises(FloatingPointError, match="^step 7: colour not finite$"):
        LeftOutSteps().add(FloatingPointError("step 7: colour not finite"), tell=True)
