"""Options of ``anifacegan dataset``."""

from dataclasses import dataclass
from pathlib import Path

from anifacegan.data.description import MOST_IMAGES
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.output_places import OutputFolder

SIZES = range(16, 2049)


@dataclass(frozen=True)
class DatasetConfig:
    """Render a data set of synthetic people: PNG images, each with a .mat file of its exact coefficients, with the keys
    of Deep3DFaceRecon's .mat files, and the checksums of all files (checksums.txt). If it is stopped and started again,
    finished images are kept; missing and damaged ones are rendered.
    """

    out: OutputFolder
    """Folder to write the data set to."""
    count: int
    """Number of images."""
    size: int = 256
    """Height and width of the images in pixels."""
    seed: int = 0
    """Random seed of people, expressions, poses and lights."""
    processes: int | None = None
    """Number of processes that render. null: one for each CPU core."""
    zip: bool = False
    """Also write OUT.zip with all images of the folder that are finished, also those beyond the count, and their
    checksums."""
    overwrite: bool = False
    """Replace files with the names of this data set's that do not belong to it. false: refuse, before rendering."""
    face_model: Path | None = None
    """File of the open face model. null: the file that 'anifacegan face-model' keeps in the cache."""

    def __post_init__(self) -> None:
        for name, low, high in (("count", 1, MOST_IMAGES), ("processes", 1, 1024), ("seed", 0, 2**62)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise InputError(f"{name} is {value}, expected at least {low}")
            if value is not None and value > high:
                raise InputError(f"{name} is {value}, expected at most {high}")
        if self.size not in SIZES:
            raise InputError(f"size is {self.size}, expected {SIZES.start} to {SIZES.stop - 1}")
        if self.out.exists() and not self.out.is_dir():
            raise InputError(f"out: {self.out} is a file, expected a folder")
