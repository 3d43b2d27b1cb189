"""Steps whose batch is shared by threads, against the same steps in one thread."""

import dataclasses

import pytest
import torch
from torch import Tensor

from anifacegan.losses.mesh_points import MeshSampler
from anifacegan.runtime.cpu import torch_threads
from anifacegan.runtime.distributed import SINGLE_PROCESS, Workers
from anifacegan.training.loop import train
from anifacegan.training.paired import PairedData
from anifacegan.training.state import State, new_state
from anifacegan.training.thread_shares import ThreadWorker, shared_gradients, thread_count
from anifacegan.training.weights import LossWeights
from tests.fixtures.small_models import small_generator
from tests.fixtures.tiny_training_set import GENERATOR, SCHEDULE

EVEN = dataclasses.replace(SCHEDULE, batch=4, mesh_faces=4)
CPU = torch.device("cpu")


class StoppedError(Exception):
    pass


def one_step(
    data: PairedData, mesh: MeshSampler, done: int, threads: int
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Losses and gradients of step number ``done`` from fresh weights."""
    losses, state = state_after_step(data, mesh, done, threads)
    named = state.generator.named_parameters()
    return losses, {name: weight.grad for name, weight in named if weight.grad is not None}


def state_after_step(
    data: PairedData, mesh: MeshSampler, done: int, threads: int
) -> tuple[dict[str, float], State]:
    """Losses of step number ``done`` from fresh weights, and the state after it."""
    state, losses = new_state(small_generator(GENERATOR), EVEN.average_decay), {}
    state.step = done

    def stop(_: State, found: dict[str, float]) -> None:
        losses.update(found)
        raise StoppedError

    with torch_threads(threads):
        with pytest.raises(StoppedError):
            train(state, data, mesh, EVEN, LossWeights(), stop)
        assert torch.get_num_threads() == threads
    return losses, state


each_stage = pytest.mark.parametrize(
    "done", [0, EVEN.warm_up_deform, EVEN.steps - 1], ids=["warm-up", "near", "complete"]
)


@each_stage
def test_losses_and_gradients_are_those_of_one_thread_up_to_rounding(
    done: int, data: PairedData, mesh: MeshSampler
) -> None:
    """float32 sums of a few hundred numbers in another order, through sines of frequencies about 30: 1e-4 is ample."""
    (expected, reference), (losses, gradients) = (one_step(data, mesh, done, threads) for threads in (1, 2))
    assert losses == pytest.approx(expected, rel=1e-4, abs=1e-6)
    assert gradients.keys() == reference.keys() and len(gradients) > 10
    for name, gradient in gradients.items():
        assert (gradient - reference[name]).norm() <= 1e-3 * reference[name].norm() + 1e-7, name


@each_stage
def test_weights_move_as_in_one_thread(done: int, data: PairedData, mesh: MeshSampler) -> None:
    """A fused optimizer reads weights and gradients in the order of their memory. Adam's first step moves each weight
    by its learning rate; rounding turns this round only where the gradient is nearly 0."""
    start = dict(small_generator(GENERATOR).named_parameters())
    one, two = (state_after_step(data, mesh, done, threads)[1].generator for threads in (1, 2))
    for (name, weight), other in zip(one.named_parameters(), two.parameters(), strict=True):
        if other.grad is None:
            continue
        assert other.grad.stride() == other.stride(), name
        moved = (weight - start[name]).abs().max()
        assert ((weight - other).abs() > 0.5 * moved).float().mean() <= 0.02, name


@each_stage
def test_the_same_number_of_threads_repeats_a_step_bit_for_bit(
    done: int, data: PairedData, mesh: MeshSampler
) -> None:
    (expected, reference), (losses, gradients) = (one_step(data, mesh, done, 2) for _ in range(2))
    assert losses == expected
    assert all(torch.equal(gradient, reference[name]) for name, gradient in gradients.items())


def squares(worker: ThreadWorker, x: Tensor, weight: Tensor) -> dict[str, Tensor]:
    own = worker.share(x)
    selected = (own > 0).float()
    return {
        "mean": (weight * own).square().mean(),
        "of positive ones": (weight * own * selected).sum() / worker.count_in_share(selected),
    }


@pytest.mark.parametrize("threads", [2, 3])
def test_gradients_are_of_the_mean_over_the_batch(threads: int) -> None:
    """Also of a mean over a part of it, of which the threads have unequal shares."""
    x = torch.tensor([1.0, 2.0, -3.0, 4.0, -5.0, -6.0])
    weight, idle = torch.tensor(2.0, requires_grad=True), torch.tensor(1.0, requires_grad=True)
    idle.grad = torch.tensor(7.0)
    losses = shared_gradients(threads, [weight, idle], lambda worker: squares(worker, x, weight))
    assert losses["mean"].item() == pytest.approx(4 * 91 / 6)
    assert losses["of positive ones"].item() == pytest.approx(2 * 7 / 3)
    assert weight.grad is not None and weight.grad.item() == pytest.approx(4 * 91 / 6 + 7 / 3)
    assert idle.grad is None
    assert not any(value.requires_grad for value in losses.values())


def test_losses_that_are_all_switched_off_give_no_gradients() -> None:
    weight = torch.tensor(2.0, requires_grad=True)
    assert shared_gradients(2, [weight], lambda worker: {}) == {} and weight.grad is None


@pytest.mark.parametrize("failing", [0, 1])
def test_a_failing_thread_ends_the_others_with_its_error(failing: int) -> None:
    weight = torch.tensor(2.0, requires_grad=True)

    def losses(worker: ThreadWorker) -> dict[str, Tensor]:
        if worker.rank == failing:
            raise ValueError("as planned")
        return squares(worker, torch.ones(4), weight)

    with pytest.raises(ValueError, match="as planned"):
        shared_gradients(2, [weight], losses)


def test_batches_are_shared_where_they_divide_on_a_cpu_in_a_single_process() -> None:
    with torch_threads(2):
        assert thread_count(SINGLE_PROCESS, CPU, [4, 96]) == 2
        assert thread_count(SINGLE_PROCESS, CPU, [4, 5]) == 1
        assert thread_count(SINGLE_PROCESS, torch.device("cuda"), [4, 96]) == 1
        assert thread_count(Workers(0, 2, preparation_group="gloo"), CPU, [4, 96]) == 1
