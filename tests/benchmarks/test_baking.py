"""The benchmark of baking: its numbers for videos with known errors."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from anifacegan.rendering.frame import decibels
from anifacegan.rendering.model import load_model
from benchmarks.baking import (
    BakeBenchmark,
    BakeMeasurement,
    _video,
    baking_table,
    measure_baking,
    write_baking_json,
)
from tests.fixtures.small_models import write_small_model

TINY = BakeBenchmark(
    expression=("smile", "jawOpen"),
    frames=5,
    size=24,
    textures=(32, 48),
    grids=(16, 12),
    blendshapes=1,
    rounds=1,
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[BakeMeasurement]:
    model = load_model(write_small_model(tmp_path_factory.mktemp("bake") / "small"))
    return measure_baking(model, TINY)


@pytest.mark.slow
def test_every_way_of_baking_has_a_row(found: list[BakeMeasurement]) -> None:
    rows = [(m.texture, m.grid, m.inbetweens, m.blendshapes) for m in found]
    assert rows == [(32, 16, 2, 2), (48, 16, 2, 2), (48, 12, 2, 2), (48, 16, 1, 2), (48, 16, 2, 1)]
    assert baking_table(found).count("\n") == 1 + len(found)


@pytest.mark.slow
def test_the_worst_frame_is_no_better_than_the_mean(found: list[BakeMeasurement]) -> None:
    for m in found:
        assert m.worst_db <= m.psnr_db and m.worst_face_db <= m.face_db
        assert min(m.play_ms, m.network_ms, m.bake_seconds, m.chart_seconds) > 0
        assert 0 < m.largest_error <= 1


def test_the_video_goes_from_neutral_to_one_expression_and_on_to_the_next(tmp_path: Path) -> None:
    model = load_model(write_small_model(tmp_path / "small"))
    smile, jaw = (model.expressions.coefficients(name) for name in ("smile", "jawOpen"))
    video = _video(model, replace(TINY, frames=5))
    np.testing.assert_allclose(video, [0 * smile, 0.5 * smile, smile, 0.5 * (smile + jaw), jaw], atol=1e-6)
    np.testing.assert_allclose(
        _video(model, replace(TINY, frames=3, expression="smile"))[1], 0.5 * smile, atol=1e-6
    )


def test_decibels_are_those_of_a_mean_squared_error() -> None:
    assert decibels(0.01) == pytest.approx(20.0) and decibels(0.0) == pytest.approx(120.0)
    np.testing.assert_allclose(decibels(np.array([0.1, 0.0, np.nan])), [10.0, 120.0, np.nan])


def test_decibels_are_torchmetrics_psnr() -> None:
    image = pytest.importorskip("torchmetrics.functional.image", reason="the extra 'eval' is not installed")
    one, other = torch.rand(2, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    expected = float(image.peak_signal_noise_ratio(one, other, data_range=1.0))
    assert decibels((one - other).square().mean().item()) == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_the_json_says_what_the_table_says(found: list[BakeMeasurement], tmp_path: Path) -> None:
    write_baking_json(tmp_path / "bake.json", TINY, found)
    content = json.loads((tmp_path / "bake.json").read_text())
    assert [row["psnr_db"] for row in content["measurements"]] == [m.psnr_db for m in found]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("frames", 0),
        ("size", 8),
        ("yaw", 2.0),
        ("textures", ()),
        ("inbetweens", ()),
        ("blendshapes", 0),
        ("frames", 2),
    ],
)
def test_a_wrong_value_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=name):
        replace(TINY, **{name: value})
