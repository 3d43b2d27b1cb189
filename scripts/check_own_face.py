"""Check 'anifacegan fit' on synthetic images and films of known faces and on two photographs; exit with 1 if a limit is
missed.

    anifacegan dataset --out data/heldout --count 300 --size 256 --seed 4711
    python scripts/synthetic_film.py --out data/film3 --person 3 (and 4 and 8)
    python scripts/check_own_face.py --data data/heldout --films data/film3 data/film4 data/film8

The photographs are Grace Hopper (US Navy; in matplotlib's wheel) and Eileen Collins (NASA; in scikit-image's). Both are
works of the US government, in the public domain.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import numpy as np
import scipy.io
from limits_table import end_with_limits
from tqdm import tqdm

from anifacegan.capture.face_fitter import FaceFitter, FittedFace
from anifacegan.capture.face_points import FacePoints, project
from anifacegan.capture.film_files import open_film
from anifacegan.capture.film_fit import fit_film
from anifacegan.capture.photographs import read_photograph
from anifacegan.evaluation.detection import pearson_correlation
from anifacegan.face_model.coefficients import FaceCoefficients, read_coefficients, write_coefficients
from anifacegan.runtime.errors import InputError, exit_on_input_error
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.typed_config import read_config

REPORT_PX, PHOTOGRAPH_PX, LM68_PX = 128, 256, 224
EXPRESSIONS = ("jaw open", "smile", "brows up", "brows down", "blink")
"""Meaning of the first expression coefficients (anifacegan.face_model.expressions.ACTIONS)."""
LIMITS = {
    "68 landmarks, px of 128": (1.2, "at most"),
    "yaw, degrees": (1.1, "at most"),
    "pitch, degrees": (1.1, "at most"),
    "jaw open, correlation": (0.97, "at least"),
    "smile, correlation": (0.9, "at least"),
    "blink, correlation": (0.95, "at least"),
    "brows up, correlation": (0.65, "at least"),
    "brows down, correlation": (0.75, "at least"),
}
PHOTOGRAPH_LIMIT = (2.5, "at most")
FILM_EXPRESSIONS = {
    "brows up": (2, 0.9),
    "brows down": (3, 0.9),
    "pucker": (5, 0.8),
    "jaw open": (0, 0.0),
    "smile": (1, 0.0),
    "blink": (4, 0.0),
}
"""Index of the expression coefficient, and the least correlation within a person."""
LIMITS |= {
    f"films, {name}, correlation": (low, "at least") for name, (_, low) in FILM_EXPRESSIONS.items() if low
}
LIMITS |= {"films, jitter, of the truth's": (1.3, "at most"), "films, frames/s": (10.0, "at least")}
JITTERING = 10
"""Number of expression coefficients whose second differences are compared."""


@dataclass(frozen=True)
class CheckConfig:
    """Check the fit of photographs on images of known faces and on two photographs."""

    data: Path | None = None
    """Folder of 'anifacegan dataset', of people that neither the regressor nor the correspondence has seen. null: no
    images."""
    films: tuple[Path, ...] = ()
    """Folders of scripts/synthetic_film.py, each a person."""
    network: Path | None = Path("checkpoints/reconstruction")
    """Folder of the face reconstruction network. null: landmarks alone."""
    landmark_model: Path | None = None
    """MediaPipe's face_landmarker.task. null: see docs/own_face.md."""
    photographs: bool = True
    """Check the two photographs, too."""
    count: int | None = None
    """Number of images. null: all."""
    out: Path = Path("runs/check_own_face")
    """Folder for table.md and metrics.json."""


def measured_films(config: CheckConfig, fitter: FaceFitter) -> dict[str, float]:
    """Fit films and compare with their truth; means over the films, each within its person."""
    reports = []
    for folder in config.films:
        started, cpu = perf_counter(), process_time()
        with TemporaryDirectory() as work:
            fitted = fit_film(fitter, open_film(folder / "film.mp4"), Path(work))
        count, truth = len(fitted.film), scipy.io.loadmat(folder / "truth.mat")
        report = {
            f"films, {name}, correlation": pearson_correlation(fitted.z_exp[:, k], truth["exp"][:, k])
            for name, (k, _) in FILM_EXPRESSIONS.items()
        }
        jitter = [jitter_of(rows[:, :JITTERING]) for rows in (fitted.z_exp, truth["exp"])]
        report["films, jitter, of the truth's"] = jitter[0] / jitter[1]
        report["films, jitter of the pose, of the truth's"] = jitter_of(fitted.pose) / jitter_of(
            truth["pose"]
        )
        apart = np.degrees(np.abs(fitted.pose - truth["pose"])).mean(axis=0)
        report |= {"films, yaw, degrees": float(apart[1]), "films, pitch, degrees": float(apart[0])}
        report["films, frames/s"] = count / (perf_counter() - started)
        report["films, seconds of CPU a frame"] = (process_time() - cpu) / count
        report["films, bridged frames"] = sum(run.last - run.first + 1 for run in fitted.lost)
        reports.append(report)
    return {name: float(np.mean([report[name] for report in reports])) for name in (reports or [{}])[0]}


def jitter_of(rows: np.ndarray) -> float:
    """Return the mean absolute second difference from frame to frame."""
    return float(np.abs(np.diff(rows, 2, axis=0)).mean())


def measured_faces(config: CheckConfig, fitter: FaceFitter) -> dict[str, float]:
    """Fit all images of a data set and compare with the truth."""
    if config.data is None:
        return {}
    paths = sorted(config.data.glob("[0-9]*.png"))[: config.count]
    if not paths:
        raise InputError(f"{config.data}: no images, expected a folder of 'anifacegan dataset'")
    found: list[FittedFace] = []
    truth: list[FaceCoefficients] = []
    refused, started = [], perf_counter()
    for path in tqdm(paths, unit="image", disable=None):
        photograph = read_photograph(path)
        try:
            detected, _ = fitter.select(photograph, path, None)
            found.append(fitter.fit(photograph, detected, path))
            truth.append(read_coefficients(path.with_suffix(".mat")))
        except InputError as error:
            refused.append(str(error))
    seconds = (perf_counter() - started) / len(paths)
    for line in refused:
        print(f"refused: {line}", file=sys.stderr)
    pose = np.array([(face.fit.pitch, face.fit.yaw) for face in found])
    apart = np.degrees(np.abs(pose - np.array([face.pose for face in truth]))).mean(axis=0)
    landmarks = [
        np.linalg.norm(
            face.fit.crop.to_photograph(face.lm68) / (PHOTOGRAPH_PX - 1) - true.lm68 / (LM68_PX - 1), axis=1
        ).mean()
        for face, true in zip(found, truth, strict=True)
    ]
    report = {"68 landmarks, px of 128": float(np.mean(landmarks)) * (REPORT_PX - 1)}
    report |= {"yaw, degrees": float(apart[1]), "pitch, degrees": float(apart[0])}
    columns = {
        f"{name}, correlation": (lambda face, k=k: float(face[k])) for k, name in enumerate(EXPRESSIONS)
    }
    report |= {name: correlated(found, truth, read) for name, read in columns.items()}
    identity = [
        pearson_correlation([f.fit.z_id[k] for f in found], [t.id[k] for t in truth]) for k in range(10)
    ]
    report |= {"first ten of identity, mean correlation": float(np.mean(identity))}
    report |= {"478 landmarks of the detector to the fit, px of 256": mean_error(found)}
    report |= {"colours, median difference": float(np.nanmean([face.colours.error for face in found]))}
    report |= {"images": len(paths), "refused": len(refused), "seconds an image": seconds}
    return report


def correlated(
    found: list[FittedFace], truth: list[FaceCoefficients], read: Callable[[np.ndarray], float]
) -> float:
    """Correlate a number of the fitted expressions with that of the true ones."""
    return pearson_correlation([read(face.fit.z_exp) for face in found], [read(face.exp) for face in truth])


def mean_error(found: list[FittedFace]) -> float:
    """Return the mean distance (root mean square of each face) of the detector's landmarks from the fit."""
    return float(np.mean([face.fit.error_px for face in found]))


def known_photographs() -> dict[str, Path]:
    """Return the two photographs' files by their names.

    Raises:
        InputError: matplotlib or scikit-image is not installed.
    """
    import importlib.util

    places = {
        "Grace Hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
        "Eileen Collins": ("skimage", "data/astronaut.png"),
    }
    files = {}
    for name, (package, inside) in places.items():
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise InputError(f"{package}: not installed, needed for the photograph of {name}")
        files[name] = Path(spec.origin).parent / inside
    return files


def photograph_error(fitter: FaceFitter, path: Path) -> float:
    """Fit a photograph, save and read its .mat, and compare the landmarks that its id, exp and pose give with the
    detector's; root mean square distance, pixels of a crop of 256."""
    photograph = read_photograph(path)
    detected, _ = fitter.select(photograph, path, None)
    face = fitter.fit(photograph, detected, path)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "face.mat"
        write_coefficients(file, face.coefficients())
        saved = read_coefficients(file)
    assert saved.pose is not None
    points: FacePoints = fitter.fitter.points
    recomputed = project(points.unposed(saved.id, saved.exp), float(saved.pose[0]), float(saved.pose[1]))
    apart = face.fit.crop.to_unit(detected.landmarks) - recomputed
    return float(np.sqrt(np.square(apart).sum(axis=1).mean())) * (PHOTOGRAPH_PX - 1)


def main() -> None:
    """Measure, print and write the table.

    Raises:
        InputError: a file or package is missing.
    """
    config = read_config(CheckConfig, sys.argv[1:], "check_own_face.py")
    with FaceFitter(None, config.landmark_model, config.network) as fitter:
        report = measured_faces(config, fitter) | measured_films(config, fitter)
        if config.photographs:
            for name, path in known_photographs().items():
                report[f"photograph of {name}, px of 256"] = photograph_error(fitter, path)
    of_photographs = {name: PHOTOGRAPH_LIMIT for name in report if name.startswith("photograph")}
    config.out.mkdir(parents=True, exist_ok=True)
    write_complete(config.out / "metrics.json", json.dumps(report, indent=2) + "\n")
    end_with_limits(report, LIMITS | of_photographs, config.out)


if __name__ == "__main__":
    with exit_on_input_error():
        main()
