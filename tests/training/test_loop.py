"""The training loop: what each stage teaches, failing steps, and equality of resumed and unbroken training."""

import dataclasses
import io
from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pytest
import torch
from torch import Tensor

from anifacegan.losses.mesh_points import MeshSampler
from anifacegan.models.config import DeformationConfig, GeneratorConfig
from anifacegan.models.generator import Generator
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.tensor_records import with_tensors
from anifacegan.training import loop
from anifacegan.training.loop import train, update
from anifacegan.training.paired import PairedBatch, PairedData
from anifacegan.training.schedule import Schedule
from anifacegan.training.state import State, new_state
from anifacegan.training.weights import LossWeights
from tests.fixtures.small_models import WITH_PLANES, small_generator
from tests.fixtures.tiny_training_set import GENERATOR, SCHEDULE


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def state(config: GeneratorConfig = GENERATOR) -> State:
    return new_state(small_generator(config), SCHEDULE.average_decay)


def copied(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def changed(module: torch.nn.Module, before: dict[str, Tensor]) -> bool:
    return any(not torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())


def test_the_warm_up_teaches_the_deformation_only(data: PairedData, mesh: MeshSampler) -> None:
    start = state()
    before = {name: copied(module) for name, module in start.generator.named_children()}
    schedule = dataclasses.replace(SCHEDULE, near_surface=0, complete=0)
    train(start, data, mesh, schedule, LossWeights(), lambda *_: None)
    after = dict(start.generator.named_children())
    assert {name for name, module in after.items() if changed(module, before[name])} == {"deformation"}


def test_the_deformation_learns_to_follow_the_mesh(data: PairedData, mesh: MeshSampler) -> None:
    """From a field that is zero everywhere."""
    schedule = Schedule(
        warm_up_deform=100, near_surface=0, complete=0, mesh_faces=4, mesh_points=40, lr_deformation=3e-3
    )
    deformation = DeformationConfig(hidden_dim=32, mapping_dim=32, output_scale=0.05)
    config = dataclasses.replace(GENERATOR, deformation=deformation)
    start, errors = new_state(Generator(config).initialize(rng()), schedule.average_decay), []
    train(start, data, mesh, schedule, LossWeights(), lambda _, losses: errors.append(losses["deformation"]))
    assert np.mean(errors[-20:]) < 0.5 * np.mean(errors[:3])


def test_a_term_that_is_not_finite_is_named_with_its_step_and_changes_nothing() -> None:
    broken = state()
    broken.step = 41
    before = copied(broken.generator)
    losses = {
        "colour": torch.tensor(0.5),
        "roughness": broken.generator.deformation.head.weight.sum() * torch.inf,
    }
    with pytest.raises(FloatingPointError, match=r"step 41: roughness not finite \(colour 0.5, roughness "):
        update(broken, losses, SCHEDULE)
    assert not changed(broken.generator, before)


def test_a_gradient_that_is_not_finite_is_named_with_its_field_and_changes_nothing() -> None:
    broken = state()
    broken.step = 3
    before = copied(broken.generator)
    losses = {
        "neutral": (0 * broken.generator.deformation.head.weight).sqrt().sum()
    }  # 0, with gradient 0 / 0
    with pytest.raises(FloatingPointError, match="step 3: a gradient of deformation is not finite"):
        update(broken, losses, SCHEDULE)
    assert not changed(broken.generator, before)


def test_large_gradients_are_cut_to_the_limit_field_by_field() -> None:
    learner = state()
    template = next(learner.generator.template.parameters())
    field = next(learner.generator.manifolds.parameters())
    update(learner, {"colour": 1e6 * template.sum() + 1e-3 * field.sum()}, SCHEDULE)
    assert template.grad is not None and field.grad is not None
    assert template.grad.norm().item() == pytest.approx(SCHEDULE.gradient_limit, rel=1e-4)
    assert field.grad.norm().item() == pytest.approx(1e-3 * field.numel() ** 0.5, rel=1e-4)


@pytest.mark.parametrize("step, decay", [(0, 0.0), (8, 9 / 18), (100_000, 0.999)])
def test_the_average_follows_the_weights(step: int, decay: float) -> None:
    learner = state()
    learner.averaged.updates = step
    before = learner.average.deformation.head.weight.clone()
    update(learner, {"neutral": learner.generator.deformation.head.weight.sum()}, SCHEDULE)
    expected = decay * before + (1 - decay) * learner.generator.deformation.head.weight
    assert torch.allclose(learner.average.deformation.head.weight, expected, atol=1e-7)
    assert not learner.average.deformation.head.weight.requires_grad


def test_every_field_is_in_the_optimizer_once_and_no_prior_is() -> None:
    learner = state()
    groups = {group["field"]: group["params"] for group in learner.optimizer.param_groups}
    assert list(groups) == ["template", "deformation", "manifolds"]
    for name, parameters in groups.items():
        expected = learner.generator.get_submodule(name).parameters()
        assert [id(p) for p in parameters] == [id(p) for p in expected]


class StoppedError(Exception):
    pass


@pytest.mark.parametrize(
    "config, weights, stop",
    [
        (GENERATOR, LossWeights(), 1),
        (GENERATOR, LossWeights(), 4),
        (WITH_PLANES, LossWeights(plane_variation=1e-2), 3),
        (WITH_PLANES, LossWeights(plane_variation=1e-2), 6),
    ],
    ids=["warm-up", "near", "near, planes", "complete, planes"],
)
def test_stopped_saved_and_resumed_steps_equal_the_unbroken_ones(
    config: GeneratorConfig, weights: LossWeights, stop: int, data: PairedData, mesh: MeshSampler
) -> None:
    """Bit for bit, in all three stages, whatever the state of PyTorch's global generator."""

    def steps(learner: State, until: int) -> list[dict[str, float]]:
        reported = []

        def report(learner: State, losses: dict[str, float]) -> None:
            reported.append(losses)
            if learner.step == until:
                raise StoppedError

        torch.manual_seed(until)
        try:
            train(learner, data, mesh, SCHEDULE, weights, report)
        except StoppedError:
            pass
        return reported

    unbroken, first = state(config), state(config)
    expected = steps(unbroken, SCHEDULE.steps)
    seen = steps(first, stop)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = state(config)
    second.load_state_dict(torch.load(file, weights_only=True))
    seen += steps(second, SCHEDULE.steps)
    assert seen == expected
    assert not changed(second.generator, copied(unbroken.generator))
    assert not changed(second.average, copied(unbroken.average))
    assert second.step == unbroken.step == SCHEDULE.steps
    assert second.learning == unbroken.learning


def test_every_step_draws_anew(data: PairedData, mesh: MeshSampler, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    real = PairedData.draw

    def recorded(data: PairedData, batch: int, rays: int, rng: torch.Generator) -> PairedBatch:
        drawn.append(real(data, batch, rays, rng))
        return drawn[-1]

    monkeypatch.setattr(PairedData, "draw", recorded)
    train(state(), data, mesh, SCHEDULE, LossWeights(), lambda *_: None)
    assert len(drawn) == SCHEDULE.near_surface + SCHEDULE.complete
    assert not any(torch.equal(one.rgb, other.rgb) for one, other in combinations(drawn, 2))


def test_the_seed_decides_what_is_drawn(data: PairedData, mesh: MeshSampler) -> None:
    reported = []
    for seed in (0, 1):
        schedule = dataclasses.replace(SCHEDULE, seed=seed)
        train(state(), data, mesh, schedule, LossWeights(), lambda _, losses: reported.append(losses))
    assert reported[0] != reported[SCHEDULE.steps]


def test_a_moved_state_has_the_same_weights_and_moments(data: PairedData, mesh: MeshSampler) -> None:
    here, there = state(), state()
    weights = LossWeights()
    train(here, data, mesh, SCHEDULE, weights, lambda *_: None)

    def move_halfway(state: State, losses: dict[str, float]) -> None:
        if state.step == 4:
            state.to("cpu")

    train(there, data, mesh, SCHEDULE, weights, move_halfway)
    assert not changed(there.generator, copied(here.generator)) and not changed(
        there.average, copied(here.average)
    )


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize(
    "done", [0, SCHEDULE.warm_up_deform, SCHEDULE.steps - 1], ids=["warm-up", "near", "complete"]
)
def test_the_losses_of_a_step_are_the_same_on_a_gpu(data: PairedData, mesh: MeshSampler, done: int) -> None:
    seen: list[dict[str, float]] = []
    for device in ("cpu", "cuda"):
        current = state()
        current.step = done
        current.to(device)

        def stop(state: State, losses: Mapping[str, float]) -> None:
            seen.append(dict(losses))
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(current, data, mesh, SCHEDULE, LossWeights(), stop)
        assert current.generator.device.type == device
    assert seen[1] == pytest.approx(seen[0], rel=1e-4, abs=1e-6)


# ---------------------------------------------------------------------------------------------- drawn ahead, left out
def test_batches_drawn_ahead_are_the_steps_own_bit_for_bit(data: PairedData, mesh: MeshSampler) -> None:
    def terms() -> loop.LossTerms:
        return loop.LossTerms(state().generator, data, mesh, SCHEDULE, LossWeights(), rng(3))

    last = SCHEDULE.steps - 1
    ahead, drawn = terms().step_data(last, None, pinned=False), terms()
    expected = drawn.draw(SCHEDULE.stage(last))
    found = ahead.on(torch.device("cpu"))
    for one, other in zip(expected, (*found.imitated, found.paired), strict=True):
        tensors: list[list[Tensor]] = [[], []]
        for record, of in zip((one, other), tensors, strict=True):
            with_tensors(record, lambda value, of=of: (of.append(value), value)[1])
        assert len(tensors[0]) > 5
        assert all(torch.equal(*pair) for pair in zip(*tensors, strict=True))
    assert torch.equal(drawn.rng.get_state(), ahead.rng.get_state())  # which goes on in the step


def test_a_run_whose_steps_a_thread_draws_has_the_same_losses(
    data: PairedData, mesh: MeshSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for rounding: sums on a CPU depend on where in memory their numbers lie."""
    found: list[list[dict[str, float]]] = []
    for ahead in (0, 2):
        losses: list[dict[str, float]] = []
        found.append(losses)

        def report(_: State, values: Mapping[str, float], losses: list = losses) -> None:
            losses.append(dict(values))

        monkeypatch.setattr(loop, "steps_ahead", lambda device, ahead=ahead: ahead)
        train(state(), data, mesh, SCHEDULE, LossWeights(), report)
    assert len(found[0]) == SCHEDULE.steps
    for expected, losses_of_step in zip(*found, strict=True):
        assert losses_of_step == pytest.approx(expected, rel=1e-5)


def test_an_error_in_the_thread_ends_the_run(
    data: PairedData, mesh: MeshSampler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise InputError("000003.png: not a readable image")

    monkeypatch.setattr(loop, "steps_ahead", lambda device: 2)
    monkeypatch.setattr(loop, "draw_imitation_batch", broken)
    with pytest.raises(InputError, match="000003.png"):
        train(state(), data, mesh, SCHEDULE, LossWeights(), lambda *_: None)


def test_a_step_that_is_not_finite_is_left_out_and_changes_nothing(
    data: PairedData, mesh: MeshSampler, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    real, weights, reported = loop.finite_total, [], []

    def broken(step: int, terms: dict[str, torch.Tensor]) -> torch.Tensor:
        return real(step, terms | {"colour": torch.tensor(torch.nan)} if step == 1 else terms)

    def report(current: State, losses: Mapping[str, float]) -> None:
        weights.append(copied(current.generator))
        reported.append(set(losses))

    monkeypatch.setattr(loop, "finite_total", broken)
    current = new_state(small_generator(), SCHEDULE.average_decay, left_out_limit=1)
    train(current, data, mesh, SCHEDULE, LossWeights(), report)
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert any(not torch.equal(value, weights[2][name]) for name, value in weights[0].items())
    assert not reported[1] and reported[0] and len(reported) == SCHEDULE.steps
    assert (current.left_out.total, current.left_out.in_a_row) == (1, 0)
    assert "step 1: colour not finite" in capsys.readouterr().err
    again = new_state(small_generator(), SCHEDULE.average_decay)
    again.load_state_dict(current.state_dict())
    assert again.left_out.total == 1
    assert again.averaged.updates == current.averaged.updates == SCHEDULE.steps - 1
