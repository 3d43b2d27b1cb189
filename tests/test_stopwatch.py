"""Phases on a clock that is turned by hand, and PyTorch's own work on the real one."""

import pytest
import torch

from anifacegan.stopwatch import Stopwatch, replaced, timing_learning, timing_methods


class Clock:
    """Seconds that pass when they are told to."""

    time = 0.0

    def __call__(self) -> float:
        return self.time

    def wait(self, seconds: float) -> float:
        self.time += seconds
        return seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> Stopwatch:
    return Stopwatch(now=clock)


def test_an_inner_phase_is_taken_from_the_outer_ones_time(clock: Clock, watch: Stopwatch) -> None:
    clock.wait(100)
    with watch.phase("outer"):
        clock.wait(1)
        with watch.phase("inner"):
            clock.wait(2)
            with watch.phase("outer"):
                clock.wait(4)
        clock.wait(8)
    clock.wait(100)
    with watch.phase("inner"):
        clock.wait(1)
    assert watch.seconds == {"outer": 13, "inner": 3}
    assert watch.shares == {"outer": 13 / 16, "inner": 3 / 16}


def test_a_phase_that_fails_ends(clock: Clock, watch: Stopwatch) -> None:
    with watch.phase("outer"):
        with pytest.raises(ZeroDivisionError), watch.phase("inner"):
            clock.wait(2)
            raise ZeroDivisionError
        clock.wait(3)
    assert watch.seconds == {"inner": 2, "outer": 3}


def test_a_timed_function_counts_inside_other_phases_only(clock: Clock, watch: Stopwatch) -> None:
    wait = watch.timed("waiting", clock.wait)
    assert wait(5) == 5
    assert watch.seconds == {}
    with watch.phase("outer"):
        assert wait(seconds=6) == 6
    assert watch.seconds == {"outer": 0, "waiting": 6}


def test_the_device_is_waited_for_before_the_time_is_read(clock: Clock) -> None:
    """What a device still does belongs to the phase that asked for it."""
    queue = [3.0]

    def finish() -> None:
        while queue:
            clock.wait(queue.pop())

    watch = Stopwatch(finish, clock)
    with watch.phase("outer"):
        with watch.phase("inner"):
            queue.append(7.0)
    assert watch.seconds == {"outer": 0, "inner": 7}


def learn(optimiser: torch.optim.Optimizer, weight: torch.Tensor, clock: Clock) -> None:
    """A step whose parts take 1, 2, 4 and 8 seconds."""

    class Slow(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: torch.Tensor) -> torch.Tensor:
            clock.wait(1)
            return 2 * x

        @staticmethod
        def backward(ctx, slope: torch.Tensor) -> torch.Tensor:
            clock.wait(2)
            return 2 * slope

    Slow.apply(weight).sum().backward()
    torch.autograd.grad(Slow.apply(weight).sum(), weight)
    torch.nn.utils.clip_grad_norm_([weight], 1.0)
    optimiser.step()


def test_learning_is_in_phases_inside_the_block_and_left_alone_after_it(clock: Clock, watch: Stopwatch) -> None:
    class SlowSgd(torch.optim.SGD):
        def step(self, closure: object = None) -> None:
            clock.wait(8)
            super().step()

    weight = torch.ones(3, requires_grad=True)
    optimiser = SlowSgd([weight], lr=0.1)
    before = (torch.autograd.backward, torch.autograd.grad, torch.nn.utils.clip_grad_norm_)
    with timing_learning(watch), watch.phase("forward"):
        learn(optimiser, weight, clock)
    expected = {"forward": 2, "backward": 4, "optimiser": 8}
    assert watch.seconds == expected
    assert (torch.autograd.backward, torch.autograd.grad, torch.nn.utils.clip_grad_norm_) == before
    with watch.phase("forward"):
        learn(optimiser, weight, clock)
    assert watch.seconds == expected | {"forward": 2 + 14}


def test_public_methods_are_phases_inside_the_block(clock: Clock, watch: Stopwatch) -> None:
    class Source:
        name = "a"

        def draw(self) -> float:
            return self._read()

        def _read(self) -> float:
            return clock.wait(3)

        @property
        def size(self) -> float:
            raise AssertionError("nobody asked")

    source = Source()
    with timing_methods(watch, source, "data"), watch.phase("outer"):
        assert source.draw() == 3
        source._read()
    assert watch.seconds == {"outer": 3, "data": 3}
    assert vars(source) == {}
    with watch.phase("outer"):
        source.draw()
    assert watch.seconds == {"outer": 6, "data": 3}


def test_a_replaced_attribute_comes_back_even_after_a_failure() -> None:
    module = torch.nn.Linear(1, 1)
    forward = module.forward
    with pytest.raises(ZeroDivisionError), replaced(module, "forward", lambda x: x):
        assert module.forward(3) == 3
        raise ZeroDivisionError
    assert module.forward == forward and "forward" not in vars(module)
