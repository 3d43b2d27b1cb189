"""Options of ``anifacegan expressions``."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ExpressionsConfig:
    """Write a coefficient file (.mat) for each named expression of the open face model, and a README.md that lists the
    action units (muscle movements) of each expression.
    """

    out: Path = Path("mat")
    """Folder to write the files to."""
    face_model: Path | None = None
    """File of the open face model. null: the file that 'anifacegan face-model' keeps in the cache."""
