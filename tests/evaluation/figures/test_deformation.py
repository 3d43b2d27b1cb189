"""The figure of the deformation field."""

import dataclasses
from pathlib import Path

from anifacegan.evaluation.figures import (
    deformation,
)
from tests.fixtures.small_figures import few_options


def test_a_longer_deformation_is_recorded(small: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(
        few_options(deformation.FIGURE, small, tmp_path), expressions=("smile", "smile=3")
    )
    steps = deformation.draw(config).record["longest_visible_step_mm"]
    assert steps["neutral"] != steps["smile"] != steps["smile=3"]
