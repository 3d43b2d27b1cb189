"""Costs of a training run on GPUs, counted without one: against known costs, and against memory that was used."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from anifacegan.cli.main import run as run_command
from anifacegan.models import fused_sine, table_lookup
from anifacegan.models.config import DiscriminatorConfig, TemplateConfig
from anifacegan.runtime.typed_config import read_config
from anifacegan.training import plan as plan_module
from anifacegan.training.config import DualConfig, Split, TrainConfig
from anifacegan.training.cost_counter import DEVICES, CostCounter, counting, without_numbers
from anifacegan.training.plan import _adversarial_iteration, _counted, _iteration_cost, _Networks, plan, table

ROOT = Path(__file__).resolve().parents[2]
TINY = "configs/tiny_adversarial.yaml"


def tiny(**adversarial: object) -> TrainConfig:
    """A configuration with networks of few layers: an operation without numbers takes a quarter of a millisecond, so
    their number is the time of these tests."""
    config = read_config(TrainConfig, ["--config", str(ROOT / TINY)], "test")
    few = {"batch": 1, "split": Split(), "deformation_steps": 1, "r1_every": 1} | adversarial
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, size=16),
        generator=dataclasses.replace(config.generator, template=TemplateConfig(8, 3), alignment=None),
        discriminator=DiscriminatorConfig(size=16),
        adversarial=dataclasses.replace(config.adversarial, **few),
    )


def alone(config: TrainConfig, stage: str) -> TrainConfig:
    """The configuration with one stage only."""
    steps = {
        name: int(name == stage) for name in ("warm_up_deform", "near_surface", "complete", "adversarial")
    }
    return dataclasses.replace(config, schedule=dataclasses.replace(config.schedule, **steps))


def test_matrix_products_count_two_operations_for_each_product_and_sum() -> None:
    with counting() as counter:
        layer = without_numbers(lambda: nn.Linear(30, 20))
        before = counter.flops
        layer(torch.empty(50, 30)).sum().backward()
    forward = 2 * 50 * 30 * 20
    assert (
        counter.flops - before == 2 * forward
    )  # backward: the weights' gradient alone, the input needs none


def test_memory_is_that_of_the_tensors_that_exist_at_one_time() -> None:
    with counting() as counter:
        a = torch.empty(1000)
        b = a + 1
        assert counter.live_bytes == 8000
        del a
        c = b[:10] * 2  # b[:10] shares b's memory
        assert counter.live_bytes == 4000 + 40 and counter.peak_bytes == 8000
        del b, c
        assert counter.live_bytes == 0


def test_views_and_empty_tensors_start_no_kernel() -> None:
    with counting() as counter:
        a = torch.empty(10, 10)
        a.T.reshape(100)[3:].unflatten(0, (97, 1))
        assert counter.kernels == 1  # reshape copies the transposed matrix
        (a + a).detach()
        assert counter.kernels == 2


def test_the_time_of_a_kernel_is_its_slowest_part() -> None:
    counter = CostCounter()
    (device,) = (device for device in DEVICES if device.name == "A100 80GB")
    for flops, moved, expected in (
        (0, 0, 5e-6),
        (10**12, 10**6, 1e12 / (0.5 * 312e12)),
        (10**6, 10**10, 1e10 / (0.7 * device.bytes)),
    ):
        counter.seconds = dict.fromkeys(counter.seconds, 0.0)
        counter.add(flops, moved, torch.bfloat16)
        assert counter.seconds[device.name] == pytest.approx(expected)


def test_planned_memory_is_what_an_iteration_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same iteration with numbers, whose allocations PyTorch's profiler lists; without the CPU's fused sines."""
    config = tiny(skip_invisible=False)
    config = dataclasses.replace(config, weights=dataclasses.replace(config.weights, landmarks=0.0))
    planned = _counted(config, 1, lambda networks: _adversarial_iteration(networks, 1.0)).peak_bytes

    for module in (fused_sine, table_lookup):
        monkeypatch.setattr(module, "has_memory", lambda tensor: False)
    monkeypatch.setattr(plan_module, "without_numbers", lambda make: make())
    monkeypatch.setattr(torch, "empty", torch.ones)
    with torch.profiler.profile(profile_memory=True) as profile:
        _adversarial_iteration(_Networks(config, 1, CostCounter()), 1.0)
    allocations = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    live = peak = 0
    for event in sorted(allocations, key=lambda event: event.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    assert planned == pytest.approx(peak, rel=0.15)


@pytest.mark.slow  # eleven seconds of operations without numbers
def test_micro_batches_beyond_two_are_extrapolated_exactly() -> None:
    config = tiny(batch=3, split=Split(images=1), deformation_steps=0)
    every = _counted(config, 1, lambda networks: _adversarial_iteration(networks, 1.0))
    extrapolated = _iteration_cost(config, 1, 1.0)
    assert extrapolated.flops == every.flops and extrapolated.kernels == every.kernels
    assert extrapolated.peak_bytes == pytest.approx(every.peak_bytes, rel=0.02)


def test_every_stage_has_a_row_and_a_gpu_has_its_share_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny(batch=2)
    by_one, shared = plan(config, 1), plan(config, 2)
    assert [stage.stage for stage in by_one] == ["warm_up_deform", "near_surface", "complete", "adversarial"]
    for one, half in zip(by_one, shared, strict=True):
        assert 0.4 * one.cost.flops < half.cost.flops < 0.7 * one.cost.flops
    monkeypatch.setattr(plan_module, "plan", lambda *given: by_one if given[1] == 1 else plan(*given))
    rows = table(config, (1, 7))
    assert len(rows) == 2 + len(by_one)  # 7 GPUs cannot share these batches
    assert "| adversarial |" in rows[-1]


def test_half_precision_counts_on_the_matrix_units_and_tf32_helps_float32() -> None:
    config = alone(tiny(), "complete")

    def flops(precision: str) -> float:
        changed = dataclasses.replace(config.schedule, precision=precision)
        (stage,) = plan(dataclasses.replace(config, schedule=changed), 1)
        return stage.cost.flops

    assert flops("bfloat16") == flops("float32")
    counters = []
    for tf32 in (False, True):
        with counting(tf32) as counter:
            torch.empty(4096, 4096) @ torch.empty(4096, 4096)
        counters.append(counter.seconds["A100 80GB"])
    assert counters[0] / counters[1] == pytest.approx(156 / 19.5)


def test_the_command_plans_without_data_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--config", str(ROOT / TINY), "--data.path", str(tmp_path / "none"), "--plan"]
    words += [
        "--adversarial.split.rays",
        "0",
        "--adversarial.deformation_steps",
        "1",
        "--adversarial.r1_every",
        "1",
    ]
    for stage in ("warm_up_deform", "near_surface", "complete"):  # of which others tell
        words += [f"--schedule.{stage}", "0"]
    words += ["--discriminator.size", "16", "--data.size", "16", "--generator.template.layers", "2"]
    run_command([*words, "--out", str(tmp_path / "out")])
    printed = capsys.readouterr().out
    assert printed.startswith("| stage |") and "| adversarial |" in printed
    assert list(tmp_path.iterdir()) == []


def test_dual_discrimination_costs_more() -> None:
    plain, dual = (
        _counted(
            tiny(dual=DualConfig(enabled=enabled)), 1, lambda networks: _adversarial_iteration(networks, 1.0)
        )
        for enabled in (False, True)
    )
    assert dual.flops > plain.flops and dual.kernels > plain.kernels + 10
    assert dual.peak_bytes >= plain.peak_bytes
