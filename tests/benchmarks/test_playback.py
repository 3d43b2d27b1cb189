"""Every player is measured at every size; and the table says what was measured."""

import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import pytest

from anifacegan.avatars.config import BakeConfig
from anifacegan.rendering.model import load_model
from anifacegan.runtime.errors import InputError
from benchmarks import playback
from benchmarks.playback import (
    PlaybackBenchmark,
    PlaybackMeasurement,
    measure_playback,
    playback_table,
    write_playback_json,
)
from tests.fixtures.small_models import write_small_model

SMALL = PlaybackBenchmark(
    frames=3,
    sizes=(16, 32),
    players=("numba", "torch"),
    expression="smile",
    bake=BakeConfig(texture=32, grid=16),
)


def test_every_player_is_measured_at_every_size(tmp_path: Path) -> None:
    found = measure_playback(load_model(write_small_model(tmp_path / "small")), SMALL)
    assert [(m.size, m.player) for m in found] == [(16, "numba"), (16, "torch"), (32, "numba"), (32, "torch")]
    assert all(m.latency_ms > 0 and m.frames_per_second > 0 for m in found)
    write_playback_json(tmp_path / "found.json", SMALL, found)
    content = json.loads((tmp_path / "found.json").read_text())
    assert content["measurements"][3]["frames_per_second"] == found[3].frames_per_second


def test_the_table_says_what_a_pixel_costs() -> None:
    """Twice the side at half the rate: a pixel costs half as much."""
    found = [
        PlaybackMeasurement("numba", "cpu", 64, 9.87, 100.0),
        PlaybackMeasurement("numba", "cpu", 128, 20.0, 50.0),
    ]
    rows = [line.split(" | ") for line in playback_table(found).splitlines()[2:]]
    assert [row[-1].rstrip(" |") for row in rows] == ["1.00", "0.50"]
    assert rows[0][3] == "9.87" and rows[1][4] == "50"


def test_nvdiffrast_on_a_cpu_is_refused(tmp_path: Path) -> None:
    config = PlaybackBenchmark(frames=2, sizes=16, players="nvdiffrast", bake=BakeConfig(texture=32, grid=16))
    with pytest.raises(InputError, match="nvdiffrast"):
        measure_playback(load_model(write_small_model(tmp_path / "small")), config)


def test_frames_that_take_their_time_are_measured_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """40 ms a frame, and 200 until they are there."""
    waited = []

    def video(latents: np.ndarray, yaw: np.ndarray, size: int) -> None:
        time.sleep(0.04 * len(latents))

    def wait() -> None:
        waited.append(time.sleep(0.2))

    monkeypatch.setattr(playback, "_videos", lambda name, avatar: ("cpu", video, wait))
    config = dataclasses.replace(SMALL, frames=5, sizes=16, players="numba")
    (found,) = measure_playback(load_model(write_small_model(tmp_path / "small")), config)
    assert len(waited) == 1 + 5 + 1  # after compiling, each frame, and once for all
    assert found.latency_ms >= 240 and found.frames_per_second <= 5 / 0.4


@pytest.mark.parametrize(
    ("name", "value"), [("frames", 1), ("sizes", 4), ("seed", -1), ("yaw", 1.0), ("players", "auto")]
)
def test_a_wrong_value_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        PlaybackBenchmark(**{name: value})
