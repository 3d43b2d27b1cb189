"""Options of ``anifacegan dataset``."""

from dataclasses import dataclass
from pathlib import Path

from anifacegan.runtime.errors import InputError

SIZES = range(16, 2049)


@dataclass(frozen=True)
class DatasetConfig:
    """Render a data set of synthetic people: PNG images with one Deep3DFaceRecon-style .mat of exact coefficients each.
    Started again, it keeps complete items and makes the missing ones.
    """

    out: Path
    """Folder to write to."""
    count: int
    """Number of images."""
    size: int = 256
    """Height and width of the images in pixels."""
    seed: int = 0
    """Random seed of people, expressions, poses and lights."""
    processes: int | None = None
    """Number of processes. null: one for each core."""
    zip: bool = False
    """Also write OUT.zip with the same files."""
    face_model: Path | None = None
    """File of the open face model. null: the one that 'anifacegan face-model' keeps in the cache."""

    def __post_init__(self) -> None:
        for name, low in (("count", 1), ("processes", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise InputError(f"{name} is {value}, expected at least {low}")
        if self.size not in SIZES:
            raise InputError(f"size is {self.size}, expected {SIZES.start} to {SIZES.stop - 1}")
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"out: {self.out} is a file, expected a folder")
