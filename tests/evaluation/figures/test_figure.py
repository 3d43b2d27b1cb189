"""Every figure of a small model, of released files and of the golden checkpoint is written and reproducible."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from anifacegan.evaluation.figures import (
    ablation,
    deformation,
    expression_views,
    manifolds,
    truncation,
)
from anifacegan.evaluation.figures.catalogue import FIGURES
from anifacegan.evaluation.figures.config import CONFIGS
from anifacegan.evaluation.figures.figure import FigureKind, write_figure
from anifacegan.runtime.image_files import read_image
from anifacegan.runtime.typed_config import read_config
from tests.fixtures.released_layout import golden_folder, write_averages, write_released
from tests.fixtures.small_figures import few_options
from tests.fixtures.small_models import small_generator
from tests.models.test_released import RELEASED_SMALL

OF_A_MODEL = [kind for kind in FIGURES if kind is not ablation.FIGURE]
OF_GOLDEN = (expression_views.FIGURE, deformation.FIGURE, manifolds.FIGURE)
"""Figures that the quick tests draw of the golden checkpoint: an image, the deformation and a slice of the fields."""
OF_RELEASED = (truncation.FIGURE, manifolds.FIGURE)
"""Figures that the quick tests draw of a released checkpoint: people whose expressions the prior draws, and a slice."""


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the released files' layout, opaque enough to have a surface."""
    generator = small_generator(RELEASED_SMALL)
    with torch.no_grad():
        for head in generator.template.sigma_heads:
            head.weight.mul_(300)
    folder = write_released(tmp_path_factory.mktemp("models") / "released", generator)
    write_averages(folder, generator)
    return folder


def contents(paths: list[Path]) -> dict[str, bytes]:
    """Contents of all files but the two that hold the output folder."""
    return {path.name: path.read_bytes() for path in paths if path.suffix not in (".yaml", ".json")}


@pytest.mark.parametrize("kind", OF_A_MODEL, ids=lambda kind: kind.name)
def test_a_figure_is_made_again_from_its_settings(kind: FigureKind, small: Path, tmp_path: Path) -> None:
    first = write_figure(kind, few_options(kind, small, tmp_path / "first")).paths
    record = json.loads((tmp_path / "first" / f"{kind.name}.json").read_text())
    assert [*record["files"], f"{kind.name}.json"] == [path.name for path in first]
    assert record["model"]["name"] == "small"
    settings = ["--config", str(tmp_path / "first" / f"{kind.name}.yaml"), "--out", str(tmp_path / "again")]
    again = write_figure(kind, read_config(CONFIGS[kind.name], settings, kind.name)).paths
    assert contents(first) == contents(again)
    assert len(np.unique(read_image(first[0]).reshape(-1, 3), axis=0)) > 30, "the image is almost empty"


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=() if kind in OF_RELEASED else pytest.mark.slow) for kind in OF_A_MODEL],
    ids=lambda kind: kind.name,
)
def test_a_released_checkpoint_works(kind: FigureKind, released: Path, tmp_path: Path) -> None:
    """It has no names of expressions: its prior draws some."""
    paths = write_figure(kind, few_options(kind, released, tmp_path)).paths
    assert "drawn:" in paths[-1].read_text() and all(path.stat().st_size for path in paths)


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=() if kind in OF_GOLDEN else pytest.mark.slow) for kind in OF_A_MODEL],
    ids=lambda kind: kind.name,
)
def test_the_golden_checkpoint_works(
    kind: FigureKind, golden: Path, official: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The official deformation field, and its expression file."""
    folder = tmp_path_factory.mktemp("golden")
    model = golden_folder(folder / "model", golden, official)
    config = dataclasses.replace(
        few_options(kind, model, folder / "out"), expressions=str(official / "01626.mat")
    )
    assert all(path.stat().st_size for path in write_figure(kind, config).paths)


@pytest.mark.parametrize("kind", [expression_views.FIGURE, truncation.FIGURE], ids=lambda kind: kind.name)
def test_other_people_give_another_image(kind: FigureKind, small: Path, tmp_path: Path) -> None:
    config = few_options(kind, small, tmp_path)
    images = [kind.draw(dataclasses.replace(config, seeds=seeds)).image for seeds in ((4,), (6,))]
    assert images[0].shape == images[1].shape and (images[0] != images[1]).any()
