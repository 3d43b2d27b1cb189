"""Check that avatars of photographs which a film drives stay the people of the photographs; exit with 1 if not.

    anifacegan dataset --out data/heldout --count 300 --size 256 --seed 4711
    python scripts/synthetic_film.py --out data/film3 --person 3
    python scripts/check_talking.py --photographs data/heldout/000001.png --film data/film3/film.mp4

The film's expressions, turns, nods, tilts and movements are those of another person. Identity is the distance of dlib's
vectors of the photograph and of each frame, as in scripts/check_animate.py. dlib's landmark model is for research.
"""

import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import imageio.v3 as iio
import numpy as np
from limits_table import end_with_limits
from tqdm import tqdm

from anifacegan.capture.photographs import read_photograph
from anifacegan.cli.animate.config import AnimateConfig
from anifacegan.cli.animate.run import FILM, animate
from anifacegan.evaluation.face_detector import FaceDetector
from anifacegan.runtime.errors import InputError, exit_on_input_error
from anifacegan.runtime.typed_config import read_config

LIMITS = {
    "dlib distance to the photograph": (0.35, "at most"),
    "share of frames with a face": (0.95, "at least"),
}


@dataclass(frozen=True)
class CheckConfig:
    """Check avatars that a film drives."""

    photographs: tuple[Path, ...]
    """Photographs, one face each."""
    film: Path
    """Film of one person, who drives."""
    frames: int = 100
    """Number of frames, the first of the film."""
    size: int = 256
    """Height and width of the frames, pixels."""
    person_model: Path | None = None
    """MediaPipe's selfie_segmentation.tflite. null: see docs/own_face.md."""
    out: Path = Path("runs/check_talking")
    """Folder for table.md, and a folder of 'anifacegan animate' for each photograph."""


def distances(config: CheckConfig, detector: FaceDetector, photograph: Path) -> list[float]:
    """Return the dlib distance of each frame's face to the photograph's; nan where no face is found."""
    out = config.out / photograph.stem
    animate(
        AnimateConfig(
            photograph=photograph,
            out=out,  # pyright: ignore[reportArgumentType]
            driver=str(config.film),
            size=config.size,
            person_model=config.person_model,
        )
    )
    known = detector.find(np.ascontiguousarray(read_photograph(photograph)), embed=True)
    if known is None or known.embedding is None:
        raise InputError(f"{photograph}: dlib finds no face")
    found = []
    for frame in tqdm(islice(iio.imiter(out / FILM), config.frames), total=config.frames, disable=None):
        face = detector.find(np.ascontiguousarray(frame), embed=True)
        vector = None if face is None else face.embedding
        found.append(float("nan") if vector is None else float(np.linalg.norm(vector - known.embedding)))
    return found


def main() -> None:
    """Measure, print and write the table.

    Raises:
        InputError: a file or package is missing.
    """
    config = read_config(CheckConfig, sys.argv[1:], "check_talking.py")
    detector = FaceDetector(upsample=0)
    values = np.array([distances(config, detector, photograph) for photograph in config.photographs])
    report = {
        "dlib distance to the photograph": float(np.nanmean(values)),
        "largest of a person": float(np.nanmean(values, axis=1).max()),
        "share of frames with a face": float(np.isfinite(values).mean()),
        "frames": values.size,
    }
    end_with_limits(report, LIMITS, config.out)


if __name__ == "__main__":
    with exit_on_input_error():
        main()
