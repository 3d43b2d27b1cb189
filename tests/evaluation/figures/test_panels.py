"""Captioned grids and rendered faces."""

from pathlib import Path

import numpy as np
import pytest

from anifacegan.evaluation.figures import (
    truncation,
)
from anifacegan.evaluation.figures.panels import FaceRenderer, captioned_grid
from anifacegan.rendering.contact_sheet import FONT_PX, GAP_PX
from anifacegan.rendering.model import load_model
from anifacegan.runtime.errors import InputError
from tests.fixtures.small_figures import few_options


def test_a_grid_has_its_images_in_reading_order() -> None:
    tiles = [np.full((5, 4, 3), shade, np.uint8) for shade in (10, 20, 30)]
    grid = captioned_grid([("a", tiles[0]), ("b", tiles[1]), ("c", tiles[2])], columns=2)
    assert grid.shape == (2 * (5 + FONT_PX + 2 * GAP_PX) + GAP_PX, 2 * (4 + GAP_PX) + GAP_PX, 3)
    second_row = GAP_PX + 5 + FONT_PX + 2 * GAP_PX
    assert (grid[GAP_PX, GAP_PX] == 10).all() and (grid[GAP_PX, 2 * GAP_PX + 4] == 20).all()
    assert (grid[second_row, GAP_PX] == 30).all()


def test_a_broken_model_is_named(small: Path, tmp_path: Path) -> None:
    model = load_model(small)
    model.generator.mean_phases.fill_(float("nan"))
    renderer = FaceRenderer(model, few_options(truncation.FIGURE, small, tmp_path))
    with pytest.raises(InputError, match="not finite"):
        renderer.pixels(4, np.zeros(64, np.float32))
