"""The driven face and the images of its driver."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from PIL import Image

from anifacegan.evaluation.figures import (
    driving,
)
from anifacegan.evaluation.figures.config import DrivingConfig
from anifacegan.face_model.coefficients import read_coefficients
from anifacegan.runtime.errors import ConfigError
from tests.fixtures.small_figures import few_options, sheet_cells


def test_landmarks_are_drawn_upright() -> None:
    """y is down in the file: a jaw at y = 210 is drawn near the bottom."""
    lm68 = np.full((68, 2), 112.0, np.float32)
    lm68[:17] = np.column_stack([np.linspace(30, 190, 17), np.full(17, 210.0)])
    image = driving.landmark_strokes(lm68, 56)
    assert image[:20].min() == 255 and image[-8:].min() < 100


def test_the_driver_of_the_official_file_has_its_chin_at_the_bottom(official: Path) -> None:
    """Brows are at y = 83 and the chin at y = 205 of 224; above the brows, and below the chin, nothing is drawn."""
    image = driving.landmark_strokes(read_coefficients(official / "01626.mat").lm68, 224)
    rows = np.flatnonzero((image < 128).any(axis=(1, 2)))
    assert 60 < rows[0] < 90 and 200 < rows[-1] < 212
    assert np.flatnonzero((image[rows[-1]] < 128).any(axis=-1)).mean() == pytest.approx(
        112, abs=15
    )  # the chin


def test_bars_rise_for_positive_coefficients_and_fall_for_negative_ones() -> None:
    z_exp = np.zeros(64, np.float32)
    z_exp[0], z_exp[63] = 3.0, -3.0
    filled = (driving.coefficient_bars(z_exp, 64) != 255).any(axis=-1)
    assert filled[10, 0] and not filled[54, 0] and filled[54, 63] and not filled[10, 63]
    assert not filled[:, 1:63].any()


def test_a_folder_drives_frame_by_frame_beside_its_images(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for k in range(2):
        scipy.io.savemat(
            folder / f"{k}.mat", {"exp": np.full((1, 64), k, np.float32), "pose": [[0.0, 0.1 * k]]}
        )
    Image.new("RGB", (30, 20), (0, 0, 200)).save(folder / "0.png")
    config = dataclasses.replace(
        few_options(driving.FIGURE, small, tmp_path),
        driving=folder,
        expressions=None,
        frames=None,
        poses=True,
    )
    drawing = driving.draw(config)
    assert [frame["yaw"] for frame in drawing.record["frames"]] == [0.0, 0.1]
    driver, fields = sheet_cells(drawing.image, 2, 2)
    assert (driver[0] == (0, 0, 200)).all() and (driver[1] != (0, 0, 200)).any()
    assert (fields[0] != fields[1]).any()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"pitch_offset": 0.1}, "pitch_offset is 0.1, expected no --pitch_offset without --poses"),
        ({"driving": Path("a"), "poses": True, "yaw": 0.1}, "yaw is 0.1, expected no --yaw with --poses"),
        ({"driving": Path("a"), "expressions": "smile"}, "expected no --expressions with --driving"),
    ],
)
def test_an_option_without_effect_is_refused(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        DrivingConfig(**changes)
