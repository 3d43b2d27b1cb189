"""Makes all figures of a model, and the page that shows them."""

import dataclasses
from importlib.util import find_spec
from typing import Any

from anifacegan.cli.figure.config import AllFiguresConfig
from anifacegan.evaluation.figures import ablation, driving, mesh
from anifacegan.evaluation.figures.catalogue import FIGURES, write_page
from anifacegan.evaluation.figures.config import (
    CONFIGS,
    AblationConfig,
    DrivingConfig,
    FigureConfig,
    PageConfig,
)
from anifacegan.evaluation.figures.figure import FigureKind, require_drawable, write_figure
from anifacegan.runtime.errors import say


def make_all(config: AllFiguresConfig) -> None:
    """Make every figure whose input exists, and the page; print on stderr which figures are skipped.

    Raises:
        InputError: a setting or a file that it names is wrong; nothing is drawn then.
    """
    requested = figures_of(config)
    for kind, options in requested:
        require_drawable(kind, options)
    for kind, options in requested:
        print(write_figure(kind, options).summary)
    print(write_page(PageConfig(config.out, config.overwrite)))


def figures_of(config: AllFiguresConfig) -> list[tuple[FigureKind, Any]]:
    """Return the figures whose input exists, with their options; print on stderr which are skipped.

    Raises:
        InputError: a figure refuses the options.
    """
    common = {field.name: getattr(config, field.name) for field in dataclasses.fields(FigureConfig)}
    requested: list[tuple[FigureKind, Any]] = []
    for kind in FIGURES:
        if kind is mesh.FIGURE and not (find_spec("skimage") and find_spec("trimesh")):
            _left_out(kind, "it needs the extra 'figures': pip install scikit-image trimesh")
        elif kind is ablation.FIGURE and not config.ablation.is_file():
            _left_out(kind, f"there is no {config.ablation}; 'anifacegan ablate' writes it")
        elif kind is ablation.FIGURE:
            requested.append((kind, AblationConfig(config.ablation, config.out, config.overwrite)))
        elif kind is driving.FIGURE:
            requested.append((kind, DrivingConfig(**common, driving=config.driving)))
        else:
            requested.append((kind, CONFIGS[kind.name](**common)))
    return requested


def _left_out(kind: FigureKind, reason: str) -> None:
    say(f"{kind.name}: left out, {reason}")
