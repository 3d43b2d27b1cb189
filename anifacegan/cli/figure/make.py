"""Makes all figures of a model, and the page that shows them."""

import dataclasses
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from anifacegan.evaluation.figures import ablation, driving, mesh
from anifacegan.evaluation.figures.catalogue import FIGURES, PageConfig, write_page
from anifacegan.evaluation.figures.figure import FigureKind, write_figure
from anifacegan.evaluation.figures.settings import FigureConfig


@dataclass(frozen=True)
class AllFiguresConfig(FigureConfig):
    """Make every figure of a model, and index.html, which shows them. Figures whose input is missing are skipped:
    'mesh' if the extra 'figures' is not installed, 'ablation' if there are no results.
    """

    driving: Path | None = None
    """Folder of .mat files whose expressions the person in the figure 'driving' follows. null: named expressions of the
    model."""
    ablation: Path = Path("runs/ablation/ablation.json")
    """JSON file with the results of 'anifacegan ablate', for the figure 'ablation'."""


def make_all(config: AllFiguresConfig) -> None:
    """Make every figure whose input exists, and the page; print on stderr which figures are skipped.

    Raises:
        InputError: a setting or a file that it names is wrong.
    """
    common = {field.name: getattr(config, field.name) for field in dataclasses.fields(FigureConfig)}
    for kind in FIGURES:
        if kind is mesh.FIGURE and not (find_spec("skimage") and find_spec("trimesh")):
            _left_out(kind, "it needs the extra 'figures': pip install scikit-image trimesh")
        elif kind is ablation.FIGURE and not config.ablation.is_file():
            _left_out(kind, f"there is no {config.ablation}; 'anifacegan ablate' writes it")
        elif kind is ablation.FIGURE:
            print(write_figure(kind, ablation.AblationConfig(config.ablation, config.out)).summary)
        elif kind is driving.FIGURE:
            print(write_figure(kind, driving.DrivingConfig(**common, driving=config.driving)).summary)
        else:
            print(write_figure(kind, kind.config(**common)).summary)
    print(write_page(PageConfig(config.out)))


def _left_out(kind: FigureKind, reason: str) -> None:
    print(f"{kind.name}: left out, {reason}", file=sys.stderr)
