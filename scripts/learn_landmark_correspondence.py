"""Learn which vertex of the open face model each of MediaPipe's landmarks is, and the errors of landmarks and R.

    anifacegan dataset --out data/learn --count 16000 --size 256 --seed 2
    python scripts/learn_landmark_correspondence.py --data data/learn --first 15490 --count 510

Writes anifacegan/capture/correspondence.npz. The images must be new to R, or its errors come out too small: the shipped
R was trained on the first 15,076 images of seed 1 and 15,490 of seed 2. A landmark's vertex is the one whose projection
stays closest to it over all images. What is left has a mean and a covariance, with which the fit weighs the landmarks.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from tqdm import tqdm

from anifacegan.capture.correspondence import CORRESPONDENCE_FILE, COUNT, REGRESSED, Correspondence
from anifacegan.capture.crop import Crop
from anifacegan.capture.face_points import SIDES_PER_MODEL_UNIT, FacePoints, FittedUnits, project
from anifacegan.capture.fit import LandmarkFitter, place_difference
from anifacegan.capture.landmarks import LandmarkDetector
from anifacegan.capture.priors import population
from anifacegan.capture.regressed_face import regressed_face
from anifacegan.data.mirroring import mirroring_of
from anifacegan.face_model.coefficients import OPEN_FACE_MODEL, FaceCoefficients, read_coefficients
from anifacegan.face_model.open_model import load_head_parts, load_open_face_model
from anifacegan.models.regressor_checkpoints import load_face_regressor
from anifacegan.runtime.errors import InputError, exit_on_input_error
from anifacegan.runtime.files import complete_or_absent
from anifacegan.runtime.image_files import read_image
from anifacegan.runtime.typed_config import read_config

FRONT_Z = -0.55
"""Vertices farther back are no candidates, model units."""
SKIN_AND_EYES = (0, 1, 2)
"""Parts whose vertices are candidates."""
NEAREST = 60
"""Number of candidates, by squared error, among which the smallest clipped error decides."""
CLIPPED = 0.05
"""Errors are clipped here when a vertex is selected, model units."""
WIDEST_YAW = 0.6
"""Images of larger yaw do not decide which vertex a landmark is, radians."""
FACTORS = 48
OUTLIER = 4.0
"""Errors are clipped at this many robust standard deviations."""
SHRINKAGE = 0.1
"""Share of the correlations of R's errors that is not believed."""


@dataclass(frozen=True)
class LearnConfig:
    """Learn the correspondence of MediaPipe's landmarks and the open face model from synthetic images."""

    data: Path
    """Folder of 'anifacegan dataset'."""
    first: int = 15490
    """Number of the first image."""
    count: int = 510
    """Number of images."""
    landmark_model: Path | None = None
    """MediaPipe's face_landmarker.task. null: see docs/own_face.md."""
    network: Path = Path("checkpoints/reconstruction")
    """Folder of the face regressor R."""
    out: Path = CORRESPONDENCE_FILE
    """File to write."""


@dataclass(frozen=True)
class Sample:
    """Landmarks of one image, and its true coefficients."""

    image: np.ndarray
    landmarks: Float[np.ndarray, "478 2"]
    face: FaceCoefficients

    @property
    def pose(self) -> tuple[float, float]:
        """True pitch and yaw, radians."""
        assert self.face.pose is not None
        return float(self.face.pose[0]), float(self.face.pose[1])

    def in_model_units(self) -> Float[np.ndarray, "478 2"]:
        """Return the landmarks in the generator's image, model units at the head's distance."""
        return Crop.whole(len(self.image)).to_unit(self.landmarks) / SIDES_PER_MODEL_UNIT


def detected_samples(config: LearnConfig) -> tuple[list[Sample], Int[np.ndarray, "478"]]:
    """Detect the landmarks of all images, first without mirror images, which show how landmarks are mirrored."""
    images = [
        (read_image(path, "RGB"), read_coefficients(path.with_suffix(".mat")))
        for path in (config.data / f"{k:06d}.png" for k in range(config.first, config.first + config.count))
    ]
    with LandmarkDetector(config.landmark_model, np.arange(COUNT)) as detector:
        frontal = [image for image, face in images if abs(float(face.angle[1])) < 0.1]
        once = [points for image in frontal for points in detector.landmarks_once(image)[:1]]
        detector.mirrored = mirrored_numbers(np.stack(once))
        samples = []
        for image, face in tqdm(images, desc="landmarks", disable=None):
            found = detector.faces(image)
            if found:
                samples.append(Sample(image, found[0].landmarks, face))
    print(f"{len(samples)} of {len(images)} faces found", file=sys.stderr)
    return samples, detector.mirrored


def mirrored_numbers(landmarks: Float[np.ndarray, "face 478 2"]) -> Int[np.ndarray, "478"]:
    """Match the landmarks of the mean frontal face to those of its mirror image."""
    centred = landmarks - landmarks.mean(axis=1, keepdims=True)
    mean = (centred / np.linalg.norm(centred, axis=(1, 2), keepdims=True)).mean(axis=0)
    apart = np.linalg.norm(mean[:, None] - mean[None] * np.array([-1.0, 1.0]), axis=-1)
    return linear_sum_assignment(apart**2)[1].astype(np.int64)


def selected_vertices(
    samples: list[Sample], points: FacePoints, candidates: Int[np.ndarray, " candidate"]
) -> Int[np.ndarray, "478"]:
    """Select for each landmark the candidate that stays nearest to it; ``points`` are the candidates."""
    samples = [sample for sample in samples if abs(sample.pose[1]) < WIDEST_YAW]
    places = np.stack([projected(points, sample) for sample in samples]).astype(np.float32)  # (S, V, 2)
    seen = np.stack([sample.in_model_units() for sample in samples]).astype(np.float32)  # (S, 478, 2)
    flat, target = (x.transpose(1, 0, 2).reshape(x.shape[1], -1) for x in (places, seen))
    cost = np.square(flat).sum(axis=1) - 2 * target @ flat.T  # squared distances but for a constant
    selected = np.empty(COUNT, np.int64)
    for k, order in enumerate(np.argpartition(cost, NEAREST, axis=1)[:, :NEAREST]):
        distance = np.linalg.norm(places[:, order] - seen[:, None, k], axis=-1)
        selected[k] = order[np.minimum(distance, CLIPPED).mean(axis=0).argmin()]
    return candidates[selected]


def projected(points: FacePoints, sample: Sample) -> Float[np.ndarray, "point 2"]:
    """Project the true points of a sample to the generator's image, model units at the head's distance."""
    shape = points.unposed(sample.face.id, sample.face.exp)
    return project(shape, *sample.pose) / SIDES_PER_MODEL_UNIT


def landmark_errors(
    samples: list[Sample], points: FacePoints
) -> tuple[Float[np.ndarray, "xy"], Float[np.ndarray, "xy factor"], Float[np.ndarray, "xy"]]:
    """Compute mean, factors and remaining variances of the landmarks' errors, outliers clipped."""
    errors = np.stack([(s.in_model_units() - projected(points, s)).ravel() for s in samples])
    middle = np.median(errors, axis=0)
    spread = OUTLIER * 1.5 * np.median(np.abs(errors - middle), axis=0)
    errors = middle + np.clip(errors - middle, -spread, spread)
    mean = errors.mean(axis=0)
    deviations = (errors - mean) / np.sqrt(len(errors) - 1)
    _, sizes, directions = np.linalg.svd(deviations, full_matrices=False)
    factors = (sizes[:FACTORS, None] * directions[:FACTORS]).T
    rest = np.square(deviations).sum(axis=0) - np.square(factors).sum(axis=1)
    distance = np.linalg.norm(errors.reshape(len(errors), -1, 2), axis=-1).mean()
    print(f"mean distance {distance:.4f} model units (1 is 10 cm)", file=sys.stderr)
    return mean, factors, rest


def regressor_errors(
    samples: list[Sample], fitter: LandmarkFitter, network: Path
) -> Float[np.ndarray, "sample 150"]:
    """Compute truth minus R's estimate, which begins in the crops that the fit to the landmarks alone gives."""
    regressor, _ = load_face_regressor(network)
    mirroring = mirroring_of(load_open_face_model())
    errors = []
    for sample in tqdm(samples, desc="regressor", disable=None):
        found = regressed_face(regressor, mirroring, sample.image, fitter.fit(sample.landmarks).crop)
        matrix, offset = place_difference(found.crop.similarity(np.zeros(2), 1.0))
        place = matrix @ Crop.whole(len(sample.image)).similarity(np.zeros(2), 1.0) + offset
        errors.append(np.concatenate([sample.pose, sample.face.id, sample.face.exp, place]) - found.numbers)
    return np.stack(errors)


def main() -> None:
    """Learn and write the file.

    Raises:
        InputError: a file is missing, or the images belong to another face model.
    """
    config = read_config(LearnConfig, sys.argv[1:], "learn_landmark_correspondence.py")
    samples, mirrored = detected_samples(config)
    if any(sample.face.face_model != OPEN_FACE_MODEL or sample.face.pose is None for sample in samples):
        raise InputError(f"{config.data}: images of another face model, expected '{OPEN_FACE_MODEL}'")
    model, parts = load_open_face_model(), load_head_parts()
    units = FittedUnits.of(parts.expression_basis())
    candidates = np.flatnonzero((model.mean[:, 2].numpy() > FRONT_Z) & np.isin(parts.part, SKIN_AND_EYES))
    vertices = selected_vertices(samples, FacePoints(model, units, candidates), candidates)
    points = FacePoints(model, units, vertices)
    mean, factors, rest = landmark_errors(samples, points)
    unknown = np.zeros(REGRESSED), np.ones(REGRESSED), np.eye(REGRESSED)
    correspondence = Correspondence(vertices, mirrored, mean, factors, rest, *unknown)
    errors = regressor_errors(
        samples, LandmarkFitter(points, correspondence, population(parts)), config.network
    )
    correlation = (1 - SHRINKAGE) * np.corrcoef(errors.T) + SHRINKAGE * np.eye(REGRESSED)
    with complete_or_absent(config.out) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            face_model=np.array(OPEN_FACE_MODEL),
            vertices=vertices.astype(np.int32),
            mirrored=mirrored.astype(np.int16),
            mean=mean.astype(np.float32),
            factors=factors.astype(np.float16),
            rest=rest.astype(np.float32),
            regressor_mean=errors.mean(axis=0).astype(np.float32),
            regressor_deviation=errors.std(axis=0).astype(np.float32),
            regressor_correlation=correlation.astype(np.float16),
        )
    print(f"{config.out}: {config.out.stat().st_size} bytes", file=sys.stderr)


if __name__ == "__main__":
    with exit_on_input_error():
        main()
