"""Strips in which one latent changes."""

from pathlib import Path

from anifacegan.evaluation.figures import (
    disentanglement,
)
from tests.fixtures.small_figures import few_options, sheet_cells


def test_all_strips_share_the_face_from_which_a_single_code_departs(small: Path, tmp_path: Path) -> None:
    drawing = disentanglement.draw(few_options(disentanglement.FIGURE, small, tmp_path))
    expression, identity, appearance, yaw, pitch = sheet_cells(drawing.image, 5, 3)
    for strip, place in ((identity, 0), (appearance, 0), (yaw, 1), (pitch, 1)):
        assert (strip[place] == expression[2]).all()
        assert (strip[2] != strip[place]).any()
