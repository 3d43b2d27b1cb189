"""Options of ``anifacegan evaluate``."""

from dataclasses import dataclass
from pathlib import Path

from anifacegan.evaluation.config import METRICS, MeasureConfig
from anifacegan.runtime.errors import require_unused
from anifacegan.runtime.output_places import OutputFolder
from anifacegan.runtime.typed_config import as_tuple


@dataclass(frozen=True)
class EvaluateConfig(MeasureConfig):
    """Measure a model: print a table, and write metrics.json with values, counts, definitions and seeds."""

    model: Path = Path("checkpoints/demo")
    """Model folder, or the name of a shipped model."""
    metrics: str | tuple[str, ...] = METRICS
    """Metrics to measure, one or more of: inception (FID, KID and Inception Score), frechet and embedding_frechet
    (Frechet distance of features of the judge and of the embedder), expression, identity, recognition, disentanglement,
    view_consistency, smoothness, deformation, detection; docs/evaluation.md defines them."""
    out: OutputFolder = Path("runs/evaluate")
    """Folder for metrics.json and table.md."""
    overwrite: bool = False
    """Replace files in the output folder that this program did not write. Its own are always replaced."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if set(as_tuple(self.metrics)) == {"deformation"}:
            require_unused(self, "with deformation alone, which is measured without colours", "psi")
