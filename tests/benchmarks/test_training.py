"""The training benchmark on tiny networks: what it measures and reports, not how fast that is."""

import dataclasses
import json
import math
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import record_function

from anifacegan.data.config import DataConfig
from anifacegan.data.dataset import FaceDataset
from anifacegan.runtime.typed_config import plain
from anifacegan.training import loop as training_loop
from anifacegan.training.config import Split, TrainConfig
from anifacegan.training.optim import BACKWARD, DATA, OPTIMIZER
from anifacegan.training.schedule import Schedule
from anifacegan.training.state import State
from benchmarks import __main__ as benchmark_command
from benchmarks import training
from benchmarks.training import (
    PHASES,
    STAGES,
    STEPS,
    Measurement,
    TrainingBenchmark,
    benchmark,
    collect_images,
    phase_shares,
    ratios,
    shares_of_kernels,
    table,
    variants,
)
from tests.fixtures.one_line import assert_one_line
from tests.fixtures.resumed_runs import adversarial_config
from tests.fixtures.tiny_training_set import write_tiny_set

SIZE, COUNT = 16, 6


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    write_tiny_set(folder, count=COUNT, size=SIZE)
    return folder


def requested(tiny: Path, **changes: object) -> TrainingBenchmark:
    """All four stages, one round of two steps."""
    whole = adversarial_config(tiny, tiny / "unused")
    values = {field.name: getattr(whole, field.name) for field in dataclasses.fields(TrainConfig)}
    return TrainingBenchmark(**values | {"images": 5, "steps": 2, "rounds": 2} | changes)


Call = tuple[tuple[int, ...], str, Split]
"""Steps of the stages, the precision, and how adversarial training is split."""


@pytest.fixture(scope="module")
def measured(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Measurement], list[Call]]:
    """What a benchmark finds, and how it calls the training."""
    calls: list[Call] = []
    train = training_loop.train

    def recorded(state: State, *others: object, schedule: Schedule, **options: object) -> None:
        assert state.adversarial is not None and state.step == 0
        calls.append(
            (
                tuple(getattr(schedule, stage) for stage in STAGES),
                schedule.precision,
                state.adversarial.config.split,
            )
        )
        train(state, *others, schedule=schedule, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training_loop, "train", recorded)
        return benchmark(requested(tiny), tmp_path_factory.mktemp("benchmark") / "folder"), calls


@pytest.mark.slow
def test_every_stage_is_measured_in_both_precisions_and_adversarial_training_also_unsplit(
    measured: tuple[list[Measurement], list[Call]],
) -> None:
    found = [(m.variant.stage, m.variant.name) for m in measured[0]]
    paired = [(stage, precision) for stage in STAGES[:3] for precision in ("float32", "bfloat16")]
    adversarial = [
        ("adversarial", name) for name in ("split, float32", "split, bfloat16", "unsplit, float32")
    ]
    assert found == paired + adversarial
    assert [m.images_a_step for m in measured[0]] == [
        2
    ] * 9  # faces, images, and those of adversarial training


@pytest.mark.slow
def test_variants_alternate_after_an_unmeasured_step(measured: tuple[list[Measurement], list[Call]]) -> None:
    split = Split(1, 100)

    def calls(stage: int, *ways: tuple[str, Split]) -> list[Call]:
        """One step each, two rounds of two steps, and two steps in the profiler."""
        counts = [(count, way) for count in (1, 2, 2, 2) for way in ways]
        return [((*[0] * stage, count, *[0] * (3 - stage)), *way) for count, way in counts]

    both = ("float32", split), ("bfloat16", split)
    expected = [call for stage in range(3) for call in calls(stage, *both)]
    assert measured[1] == expected + calls(3, *both, ("float32", Split()))


@pytest.mark.slow
def test_shares_of_the_phases_sum_to_one_and_none_is_zero(
    measured: tuple[list[Measurement], list[Call]],
) -> None:
    for measurement in measured[0]:
        assert tuple(measurement.shares) == PHASES
        assert sum(measurement.shares.values()) == pytest.approx(1)
        assert min(measurement.shares.values()) > 0
        assert measurement.peak_memory_mib > 10  # Python alone takes as much
        rate = measurement.images_a_step / measurement.seconds_a_step
        assert measurement.images_a_second == pytest.approx(rate) and math.isfinite(rate)


def test_the_phases_of_a_cpu_are_the_times_of_its_ranges() -> None:
    def steps() -> None:
        time.sleep(0.02)
        for name, seconds in ((DATA, 0.04), (BACKWARD, 0.06), (DATA, 0.02), (OPTIMIZER, 0.06)):
            with record_function(name):
                time.sleep(seconds)

    shares = phase_shares(torch.device("cpu"), steps)
    expected = {"data": 0.3, "forward": 0.1, "backward": 0.3, "optimizer": 0.3}
    assert shares == pytest.approx(expected, abs=0.05) and sum(shares.values()) == pytest.approx(1)


def test_a_kernel_belongs_to_the_range_in_which_it_was_started() -> None:
    """Autograd starts kernels from a thread of its own, and a GPU may run them after the range has ended."""

    def event(name: str, start: int, end: int, *kernels: int) -> FunctionEvent:
        found = FunctionEvent(id=start, name=name, thread=1, start_us=start, end_us=end)
        for duration in kernels:
            found.append_kernel("kernel", 0, duration)
        return found

    events = [
        event(STEPS, 0, 100),
        event(DATA, 10, 30),  # 20 on the CPU
        event("aten::mm", 32, 33, 40, 5),
        event(BACKWARD, 40, 60),
        event("autograd's", 45, 46, 60),
        event("aten::mm", 61, 62, 5),
        event(OPTIMIZER, 70, 80),
        event("aten::add", 70, 71, 70),
    ]
    expected = {"data": 0.1, "forward": 0.25, "backward": 0.3, "optimizer": 0.35}
    assert shares_of_kernels(events) == pytest.approx(expected)


def test_ratios_are_of_the_first_variant_to_each_of_the_others(tiny: Path) -> None:
    one, other = variants(requested(tiny), "complete")
    shares = dict.fromkeys(PHASES, 0.25)
    measurements = [Measurement(one, 8, 2.0, 30.0, shares), Measurement(other, 8, 1.0, 20.0, shares)]
    assert ratios(measurements) == {
        "complete: float32 / bfloat16": {"images_a_second": 0.5, "peak_memory": 1.5}
    }
    split, half, whole = variants(requested(tiny), "adversarial")
    adversarial = [
        Measurement(way, 4, seconds, 30.0, shares)
        for way, seconds in ((split, 3.0), (half, 1.0), (whole, 2.0))
    ]
    assert {name: found["images_a_second"] for name, found in ratios(adversarial).items()} == {
        "adversarial: split, float32 / split, bfloat16": pytest.approx(1 / 3),
        "adversarial: split, float32 / unsplit, float32": pytest.approx(2 / 3),
    }
    lines = table(measurements).splitlines()
    assert len({len(line) for line in lines[:4]}) == 1 and "| 25 %" in lines[2]
    assert "complete | float32  | 4.00     | 2.000  | 30 " in lines[2]
    assert lines[4] == "complete: float32 / bfloat16: 0.50 of the images/s, 1.50 of the memory"


def test_the_configurations_own_settings_come_first(tiny: Path) -> None:
    half = dataclasses.replace(adversarial_config(tiny, tiny).schedule, precision="bfloat16")
    assert [way.name for way in variants(requested(tiny, schedule=half), "complete")] == [
        "bfloat16",
        "float32",
    ]
    adversarial = adversarial_config(tiny, tiny).adversarial
    whole = requested(tiny, adversarial=dataclasses.replace(adversarial, split=Split()))
    assert [way.split for way in variants(whole, "adversarial")] == [Split(1, SIZE**2 // 4)] * 2 + [Split()]
    split = variants(requested(tiny, unsplit=False), "adversarial")
    assert [way.name for way in split] == ["split, float32", "split, bfloat16"]
    assert [way.precision for way in variants(requested(tiny, schedule=half), "adversarial")] == [
        "bfloat16", "float32", "bfloat16"
    ]  # fmt: skip


def test_the_first_images_of_the_data_set_are_taken(tiny: Path, tmp_path: Path) -> None:
    collect_images(requested(tiny), tmp_path / "data")
    whole, some = (FaceDataset(DataConfig(path, SIZE)) for path in (tiny / "data", tmp_path / "data"))
    assert len(some) == 5
    for index in range(5):
        assert torch.equal(some[index].image, whole[index].image)
        assert np.array_equal(some.face(index).exp, whole.face(index).exp)
        assert np.array_equal(some[index].pose, whole[index].pose)


def test_the_command_makes_images_where_there_are_none_and_writes_json(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    config = adversarial_config(tiny, tmp_path / "run")
    schedule = dataclasses.replace(config.schedule, near_surface=0, complete=0, adversarial=0)
    content = plain(dataclasses.replace(config, schedule=schedule))
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(content))
    script = benchmark_command
    monkeypatch.setattr(script, "keep_freed_memory", lambda: True)  # it would stay with this process
    options = {
        "config": tmp_path / "tiny.yaml",
        "data.path": tmp_path / "nowhere",
        "json": tmp_path / "found.json",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    script.main(["training", *words, "--images", "5", "--steps", "1", "--rounds", "1"])
    said = capsys.readouterr()
    assert "nowhere is not there: 5 images are made" in said.err and "| warm_up_deform |" in said.out
    found = json.loads((tmp_path / "found.json").read_text())
    assert found.keys() == {"device", "torch", "threads", "steps", "rounds", "measurements", "ratios"}
    assert (found["steps"], found["rounds"], len(found["measurements"])) == (1, 1, 2)
    first = found["measurements"][0]
    assert first.keys() == {
        "stage", "name", "precision", "split", "skip_invisible",
        "images_a_step", "seconds_a_step", "images_a_second", "peak_memory_mib", "shares",
    }  # fmt: skip
    assert first["split"] == {"images": 1, "rays": 100} and sum(first["shares"].values()) == pytest.approx(1)
    assert list(found["ratios"]) == ["warm_up_deform: float32 / bfloat16"]


def test_wrong_options_are_refused_in_one_line() -> None:
    script = benchmark_command
    assert_one_line(lambda: script.main(["rendering_"]), "unknown subcommand 'rendering_'")
    assert_one_line(
        lambda: script.main(["training", "--steps", "0"]), "training: steps is 0, expected at least 1"
    )
    assert_one_line(lambda: script.main(["training", "--schedule.steps", "3"]), "schedule.steps")
    assert_one_line(lambda: script.main(["training", "--images", "4"]), "images is 4, expected at least 5")


def test_a_benchmark_can_be_interrupted(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal handlers of the measured run would stop it only after a step."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for tests in the background
    monkeypatch.setattr(training, "measure_stage", lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        benchmark(requested(tiny), tmp_path / "bench")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.slow
def test_complete_adversarial_iterations_are_measured_with_the_configured_shading(
    tiny: Path, tmp_path: Path
) -> None:
    """Without the discriminator's warm-up; invisible points are skipped where images come one at a time."""
    adversarial = dataclasses.replace(
        adversarial_config(tiny, tiny / "unused").adversarial,
        split=Split(1, 0),
        skip_invisible=True,
        discriminator_warmup=1,
    )
    stages = dict.fromkeys(STAGES, 0) | {"adversarial": 2}
    schedule = dataclasses.replace(adversarial_config(tiny, tiny / "unused").schedule, **stages)
    found = benchmark(
        requested(tiny, adversarial=adversarial, schedule=schedule, steps=1, rounds=1), tmp_path / "benchmark"
    )
    assert [way.variant.skip_invisible for way in found] == [True, True, False]
    assert all(way.shares["backward"] > 0 for way in found)
