"""Options of ``anifacegan expressions``."""

from dataclasses import dataclass
from pathlib import Path

from anifacegan.runtime.output_places import OutputFolder


@dataclass(frozen=True)
class ExpressionsConfig:
    """Write a coefficient file (.mat) for each named expression of the open face model, and a README.md that lists the
    action units (muscle movements) of each expression.
    """

    out: OutputFolder = Path("mat")
    """Folder to write the files to."""
    overwrite: bool = False
    """Replace files in the output folder that this program did not write. Its own are always replaced."""
    face_model: Path | None = None
    """File of the open face model. null: the file that 'anifacegan face-model' keeps in the cache."""
