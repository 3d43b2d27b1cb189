"""Interpolation between people and between expressions."""

from pathlib import Path

import numpy as np
import torch

from anifacegan.evaluation.figures import (
    interpolation,
)
from anifacegan.evaluation.figures.panels import FaceRenderer, interpolate_people
from anifacegan.evaluation.figures.settings import selected_expressions
from anifacegan.rendering.model import load_model
from tests.fixtures.small_figures import few_options, sheet_cells


def test_interpolation_reaches_both_ends(small: Path, tmp_path: Path) -> None:
    config = few_options(interpolation.FIGURE, small, tmp_path)
    model = load_model(small)
    renderer, smile = FaceRenderer(model, config), selected_expressions(model, config)[0]
    (to_smile,) = sheet_cells(interpolation.draw(config).image, 1, 2)
    assert (to_smile[0] == renderer.pixels(4, np.zeros(64, np.float32))).all()
    assert (to_smile[1] == renderer.pixels(4, smile.z_exp)).all()
    ends = model.person(4), model.person(5)
    for share, end in ((0.0, ends[0]), (1.0, ends[1])):
        assert all(torch.equal(a, b) for a, b in zip(interpolate_people(*ends, share), end, strict=True))
