"""The driven face and the images of its driver."""

import dataclasses
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

from anifacegan.evaluation.figures import (
    driving,
)
from tests.fixtures.small_figures import few_options, sheet_cells


def test_landmarks_are_drawn_upright() -> None:
    """y is up in the file: a chin at y = 10 is drawn near the bottom."""
    lm68 = np.full((68, 2), 112.0, np.float32)
    lm68[:17] = np.column_stack([np.linspace(30, 190, 17), np.full(17, 10.0)])
    image = driving.landmark_strokes(lm68, 56)
    assert image[:20].min() == 255 and image[-8:].min() < 100


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
        few_options(driving.FIGURE, small, tmp_path), driving=folder, frames=None, poses=True
    )
    drawing = driving.draw(config)
    assert [frame["yaw"] for frame in drawing.record["frames"]] == [0.0, 0.1]
    driver, fields = sheet_cells(drawing.image, 2, 2)
    assert (driver[0] == (0, 0, 200)).all() and (driver[1] != (0, 0, 200)).any()
    assert (fields[0] != fields[1]).any()
