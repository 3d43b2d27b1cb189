"""Options of ``anifacegan figure all``."""

from dataclasses import dataclass
from pathlib import Path

from anifacegan.evaluation.figures.config import FigureConfig


@dataclass(frozen=True)
class AllFiguresConfig(FigureConfig):
    """Make every figure of a model, and index.html, which shows them. Figures whose input is missing are skipped:
    'mesh' if the extra 'figures' is not installed, 'ablation' if there are no results.
    """

    driving: Path | None = None
    """Folder of .mat files, or file of a sequence, whose expressions the person in the figure 'driving' follows. null:
    named expressions of the model."""
    ablation: Path = Path("runs/ablation/ablation.json")
    """JSON file with the results of 'anifacegan ablate', for the figure 'ablation'."""
