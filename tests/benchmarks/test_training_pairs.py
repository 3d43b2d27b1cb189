"""The comparison of two checkouts' training steps: what it pairs and reports, not how fast these are."""

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from anifacegan.face_model.morphable import MorphableModel
from benchmarks import __main__ as benchmark_command
from benchmarks import training_pairs
from benchmarks.training_pairs import (
    REPOSITORY,
    PairsBenchmark,
    StagePair,
    measure_pairs,
    pairs_table,
    whole,
)
from tests.fixtures.one_line import assert_one_line


class Clock:
    """Stands for a process: a step takes a given time, and every later one so many times as long."""

    def __init__(
        self, calls: list[tuple[str, str, int]], name: str, seconds: float, drift: list[float]
    ) -> None:
        self.calls, self.name, self.seconds, self.drift = calls, name, seconds, drift
        self.schedule = {"warm_up_deform": 30, "near_surface": 10, "complete": 0, "adversarial": 5}

    def run(self, stage: str, steps: int) -> dict[str, float]:
        self.calls.append((self.name, stage, steps))
        self.drift[0] *= 1.1
        factor = 2.0 if stage == "near_surface" else 1.0
        return {"clock": factor * self.seconds * self.drift[0], "cpu": factor * self.seconds}


def test_checkouts_take_turns_and_the_ratio_is_of_a_pair(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On a machine whose every run is 1.1 times as slow as the one before; the order of a pair alternates."""
    calls: list[tuple[str, str, int]] = []
    drift = [1.0]

    @contextmanager
    def stepper(config: PairsBenchmark, checkout: Path, folder: Path) -> Iterator[Clock]:
        yield Clock(calls, folder.name, {"here": 1.0, "there": 3.0}[folder.name], drift)

    monkeypatch.setattr(training_pairs, "_stepper", stepper)
    config = PairsBenchmark(other=REPOSITORY, rounds=4, steps=7)
    warm_up, near, everything = measure_pairs(config, tmp_path)
    turns = ["here", "there", "here", "there", "there", "here", "here", "there", "there", "here"]
    assert [name for name, *_ in calls] == 2 * turns
    assert [steps for *_, steps in calls] == 2 * [2, 2, *8 * [7]]
    assert [pair.stage for pair in (warm_up, near, everything)] == ["warm_up_deform", "near_surface", "all"]
    assert warm_up.ratio["cpu"] == near.ratio["cpu"] == everything.ratio["cpu"] == 3
    assert warm_up.ratio["clock"] == pytest.approx((3 * 1.1 + 3 / 1.1) / 2)
    assert (warm_up.lowest["clock"], warm_up.highest["clock"]) == pytest.approx((3 / 1.1, 3 * 1.1))
    assert everything.steps == 40 and everything.here["cpu"] == pytest.approx((30 * 1 + 10 * 2) / 40)


def test_the_whole_is_weighted_by_the_time_of_the_stages() -> None:
    """Of 100 steps of a second that were two, and 50 of four seconds that were four: 400 seconds in place of 300."""

    def pair(steps: int, seconds: float, ratio: float) -> StagePair:
        here, there, ratios = (
            {unit: value for unit in ("clock", "cpu")} for value in (seconds, seconds * ratio, ratio)
        )
        return StagePair("stage", steps, here, there, ratios, ratios, ratios)

    found = whole([pair(100, 1.0, 2.0), pair(50, 4.0, 1.0)])
    assert found.ratio["clock"] == pytest.approx(400 / 300) and found.steps == 150
    assert "| all" in pairs_table([found]) and "1.33 (1.33 to 1.33)" in pairs_table([found])


def test_wrong_options_are_refused_in_one_line(tmp_path: Path) -> None:
    assert_one_line(
        lambda: benchmark_command.main(["training-pairs", "--other", str(tmp_path)]),
        "other",
        "configs/demo.yaml",
    )


@pytest.mark.slow
def test_a_checkout_is_compared_with_itself(face_model: MorphableModel, tmp_path: Path) -> None:
    """In two real processes, with a data set each; the speeds of the two are within a factor of 3."""
    options = [
        "--other",
        str(REPOSITORY),
        "--training",
        "configs/tiny_cpu.yaml",
        "--size",
        "64",
        "--images",
        "6",
    ]
    file = tmp_path / "found.json"
    rounds = ["--rounds", "3", "--steps", "1", "--threads", "1", "--precision", "float32"]
    benchmark_command.main(["training-pairs", *options, *rounds, "--json", str(file)])
    found = json.loads(file.read_text())["pairs"]
    assert [pair["stage"] for pair in found] == ["warm_up_deform", "near_surface", "complete", "all"]
    assert found[0].keys() == {field.name for field in dataclasses.fields(StagePair)}
    assert [pair["steps"] for pair in found] == [300, 500, 100, 900]
    assert all(1 / 3 < pair["ratio"]["cpu"] < 3 for pair in found)
