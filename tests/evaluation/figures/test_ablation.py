"""The table of the ablation."""

import dataclasses
import json
from pathlib import Path

import pytest

from anifacegan.cli.ablate.config import FULL
from anifacegan.cli.ablate.run import HEADINGS, RESULT, AblationResult
from anifacegan.evaluation.figures import (
    ablation,
)
from anifacegan.evaluation.figures.figure import write_figure
from tests.fixtures.one_line import assert_one_line


def test_the_ablation_is_a_table(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    results.write_text(
        '{"full": {"error": 0.5, "correlation": 0.9}, "no warp": {"error": 1.0, "other": NaN}}'
    )
    drawing = ablation.draw(ablation.AblationConfig(results, tmp_path))
    assert drawing.text.splitlines()[2:] == ["| full | 0.5 | 0.9 | - |", "| no warp | 1 | - | - |"]
    bars = (drawing.image == ablation.BAR).all(axis=-1).sum(axis=1)
    first, second = ablation.ROW_PX + 5, 2 * ablation.ROW_PX + 5
    assert bars[second] == ablation.BAR_PX + 1  # the largest error, and no other number
    assert bars[first] == ablation.BAR_PX // 2 + ablation.BAR_PX + 2
    assert write_figure(ablation.FIGURE, ablation.AblationConfig(results, tmp_path)).paths[-1].is_file()


def test_the_results_of_ablate_are_read(tmp_path: Path) -> None:
    result = AblationResult(0.9, 0.95, 0.3, 1.5, 0.4, 1.1, 0.2)
    (tmp_path / RESULT).write_text(json.dumps({FULL: dataclasses.asdict(result)}))
    assert ablation.measures(ablation.read_table(tmp_path / RESULT)) == list(HEADINGS)
    assert ablation.AblationConfig().results.name == RESULT


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("{", "not a JSON file"),
        ("[]", "no variants"),
        ('{"full": 3}', "variant 'full'"),
        ('{"full": {"error": "small"}}', "'error' of 'full' is \"small\""),
    ],
)
def test_another_file_is_no_ablation(content: str, part: str, tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(content)
    assert_one_line(lambda: ablation.read_table(tmp_path / "r.json"), "r.json", part)
