"""Check a demo model with an independent face detector: detection rate, smile, yaw and identity of its people.

    ./render.sh && python scripts/check_demo.py --model checkpoints/demo --frames multiview_imgs

Prints a table, writes it and metrics.json, and exits with 1 if a requirement is missed. For development only: dlib's
landmark model was trained on data that are licensed for research.
"""

import dataclasses
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import combinations, product
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float
from scipy.stats import spearmanr
from tqdm import tqdm

from anifacegan.data.synthetic.renderer import load_synthetic_renderer, render_person
from anifacegan.data.synthetic.sampling import sample_person
from anifacegan.evaluation.detection import pearson_correlation
from anifacegan.evaluation.face_detector import DetectedFace, FaceDetector, Image, Landmarks, head_yaw
from anifacegan.face_model.expressions import PRESETS
from anifacegan.face_model.open_model import load_open_face_model
from anifacegan.rendering.images import over_white, to_bytes
from anifacegan.rendering.model import load_model
from anifacegan.runtime.errors import InputError, exit_on_input_error
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.image_files import read_image
from anifacegan.runtime.markdown import markdown_table
from anifacegan.runtime.typed_config import read_config

SYNTHETIC = "synthetic"
"""Value of --model that selects synthetic mesh people in place of a model folder."""
STRENGTHS = tuple(k / 10 for k in range(11))
"""Strengths of the smile."""
SMILE_YAWS = (-0.35, 0.0, 0.35)
"""Yaws at which people smile, radians."""
YAWS = (-0.5, -0.35, -0.2, -0.1, 0.0, 0.1, 0.2, 0.35, 0.5)
"""Yaws of the neutral face, radians."""
IDENTITY_POSES = tuple(product(SMILE_YAWS, (0.0, 0.5, 1.0)))
"""Yaw and smile of the images whose face embeddings are compared."""
VIDEO_PEOPLE, VIDEO_FRAMES = 5, 50
"""Numbers of people and frames that render.sh renders."""
LEAST_PEOPLE, LEAST_DETECTED, LEAST_RANK, LEAST_YAW_R, LARGEST_GAP = 5, 0.99, 0.95, 0.985, 0.08
"""Limits of the requirements."""

RenderFace = Callable[[int, float, float], Image]
"""Function from a person's seed, yaw in radians and strength of the smile to an image."""
Detections = dict[tuple[int, float, float], "DetectedFace | None"]
"""Detected face, or None, for each (seed, yaw, strength)."""


@dataclass(frozen=True)
class CheckConfig:
    """Check a demo model with an independent face detector (dlib)."""

    model: str = "checkpoints/demo"
    """Model folder, or "synthetic" for new synthetic mesh people, which show the detector's own accuracy."""
    frames: Path | None = Path("multiview_imgs")
    """Folder that render.sh wrote. null: render as many frames of the same kind."""
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    """Random seeds of the people, one each."""
    psi: float = 0.7
    """Truncation of the appearance latent; it does not apply to synthetic people."""
    size: int = 256
    """Height and width of the rendered images, pixels."""
    upsample: int = 0
    """How many times the detector doubles an image first; at 0 it finds faces of 80 px and more."""
    face_model: Path | None = None
    """File of the open face model, whose mean landmarks are needed to measure the yaw. null: the cached file."""
    out: Path = Path("runs/check_demo")
    """Folder for metrics.json and table.md."""

    def __post_init__(self) -> None:
        if len(set(self.seeds)) < max(2, len(self.seeds)):
            raise ValueError(f"seeds are {list(self.seeds)}, expected two or more different ones")


def model_images(config: CheckConfig) -> RenderFace:
    """Make the function that renders a model's people."""
    model = load_model(config.model)
    smile = model.expression("smile")[0].cpu().numpy()

    def image(seed: int, yaw: float, strength: float) -> Image:
        face = model.face(seed, expression=strength * smile, psi=config.psi)
        return to_bytes(face.render(yaw=yaw, size=config.size, antialias=False))

    return image


def synthetic_images(config: CheckConfig) -> RenderFace:
    """Make the function that renders synthetic mesh people, as in the training data."""
    synthetic_renderer = load_synthetic_renderer(config.face_model)
    smile = synthetic_renderer.head.parts.expression_basis().from_strengths(PRESETS["smile"])

    def image(seed: int, yaw: float, strength: float) -> Image:
        person = sample_person(synthetic_renderer.head.parts, np.random.default_rng([seed]))
        person = dataclasses.replace(person, z_exp=np.float32(strength) * smile)
        return render_person(synthetic_renderer, person, yaw=yaw, pitch=0.0, size=config.size)[0]

    return image


def saved_frames(folder: Path) -> Iterator[tuple[str, Image]]:
    """Read the names and images of the PNG frames that render.sh wrote.

    Raises:
        InputError: the folder has no frames.
    """
    paths = sorted(folder.glob("*/frame_*.png"))
    if not paths:
        raise InputError(f"{folder}: holds no PERSON/frame_*.png, expected what ./render.sh writes")
    for path in paths:
        pixels = read_image(path)
        yield path.relative_to(folder).as_posix(), over_white(pixels) if pixels.shape[-1] == 4 else pixels


def video_frames(images: RenderFace, seeds: Iterable[int]) -> Iterator[tuple[str, Image]]:
    """Render frames like those of render.sh: the yaw goes from -0.35 to 0.35 while a smile appears."""
    for seed in seeds:
        for k, share in enumerate(np.linspace(0, 1, VIDEO_FRAMES)):
            yield f"seed {seed}, frame {k}", images(seed, -0.35 + 0.7 * float(share), float(share))


def eye_distance(landmarks: Landmarks) -> float:
    """Measure the distance between the centres of the eyes, pixels."""
    return float(np.linalg.norm(landmarks[36:42].mean(axis=0) - landmarks[42:48].mean(axis=0)))


def corner_lift(landmarks: Landmarks) -> float:
    """Measure how far the mouth's corners are above the middle of the lips, in eye distances."""
    lip_centre, corners = landmarks[[51, 57, 62, 66], 1].mean(), landmarks[[48, 54, 60, 64], 1].mean()
    return float(lip_centre - corners) / eye_distance(landmarks)


def lip_gap(landmarks: Landmarks) -> float:
    """Measure the opening between the inner edges of the lips, in eye distances."""
    return float(np.linalg.norm(landmarks[61:64] - landmarks[67:64:-1], axis=1).mean()) / eye_distance(
        landmarks
    )


def eye_opening(landmarks: Landmarks) -> float:
    """Measure the mean ratio of height to width of the two eyes."""
    eyes = landmarks[36:48].reshape(2, 6, 2)
    height = np.linalg.norm(eyes[:, [1, 2]] - eyes[:, [5, 4]], axis=-1).mean(axis=1)
    return float((height / np.linalg.norm(eyes[:, 0] - eyes[:, 3], axis=-1)).mean())


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Compute Spearman's correlation; nan if a value is nan or either side is constant."""
    return float(spearmanr(x, y)[0]) if np.ptp(x) and np.ptp(y) else math.nan


def detect_people(images: RenderFace, detector: FaceDetector, seeds: Iterable[int]) -> Detections:
    """Run the detector on each person smiling in three views, and neutral in all views."""
    poses = [*product(SMILE_YAWS, STRENGTHS), *((yaw, 0.0) for yaw in YAWS if yaw not in SMILE_YAWS)]
    keys = tqdm([(seed, *pose) for seed in seeds for pose in poses], unit="image", disable=None)
    return {key: detector.find(images(*key), embed=key[1:] in IDENTITY_POSES) for key in keys}


def person_row(detections: Detections, seed: int, mean_face: Float[np.ndarray, "68 3"]) -> dict[str, Any]:
    """Measure one person; a face that is not detected gives nan, and so does every correlation that needs it."""

    def read(
        measured: Callable[[Landmarks], float], yaw: float, strength: float = 0.0, single: bool = False
    ) -> float:
        face = detections[seed, yaw, strength]
        return math.nan if face is None else measured(face.single_reading if single else face.landmarks)

    def lift(yaw: float, single: bool = False) -> list[float]:
        return [read(corner_lift, yaw, strength, single) for strength in STRENGTHS]

    yaw = [read(lambda landmarks: head_yaw(landmarks, mean_face), yaw) for yaw in YAWS]
    return {
        "seed": seed,
        "faces_missed": sum(face is None for (person, *_), face in detections.items() if person == seed),
        "lift": {yaw: lift(yaw) for yaw in SMILE_YAWS},
        "rank_correlation": {yaw: rank_correlation(STRENGTHS, lift(yaw)) for yaw in SMILE_YAWS},
        "rank_correlation_single_reading": {
            yaw: rank_correlation(STRENGTHS, lift(yaw, single=True)) for yaw in SMILE_YAWS
        },
        "yaw": yaw,
        "yaw_r": pearson_correlation(YAWS, yaw),
        "lip_gap": read(lip_gap, 0.0),
        "eye_opening": read(eye_opening, 0.0),
    }


def identity_distances(detections: Detections) -> dict[str, float]:
    """Compute mean distances of face embeddings within and between people, over three views and three smiles."""
    faces = [
        (seed, face.embedding)
        for (seed, *_), face in detections.items()
        if face and face.embedding is not None
    ]
    pairs = [(seed == other, np.linalg.norm(a - b)) for (seed, a), (other, b) in combinations(faces, 2)]
    within, between = [d for same, d in pairs if same], [d for same, d in pairs if not same]
    return {
        name: float(np.mean(d)) if d else math.nan for name, d in (("within", within), ("between", between))
    }


def measure(
    config: CheckConfig, detector: FaceDetector, images: RenderFace, mean_face: Float[np.ndarray, "68 3"]
) -> dict[str, Any]:
    """Measure everything that metrics.json holds, including the list of requirements."""
    frames = (
        video_frames(images, config.seeds[:VIDEO_PEOPLE])
        if config.frames is None
        else saved_frames(config.frames)
    )
    faces = {name: bool(detector.boxes(pixels)) for name, pixels in tqdm(frames, unit="frame", disable=None)}
    detections = detect_people(images, detector, config.seeds)
    people = [person_row(detections, seed, mean_face) for seed in config.seeds]
    ranks = [rank for row in people for rank in row["rank_correlation"].values()]
    all_yaw_r = pearson_correlation(YAWS * len(people), [yaw for row in people for yaw in row["yaw"]])
    requirements = [  # np.min and np.max of a nan are nan: not met
        requirement(
            f"faces found in {len(faces)} frames", np.mean(list(faces.values())), ">=", LEAST_DETECTED
        ),
        requirement("people", len(people), ">=", LEAST_PEOPLE),
        requirement("smile: worst rank correlation of the corner lift", np.min(ranks), ">=", LEAST_RANK),
        requirement("yaw: r of all people together", all_yaw_r, ">=", LEAST_YAW_R),
        requirement("yaw: worst person's r", np.min([row["yaw_r"] for row in people]), ">=", LEAST_YAW_R),
        requirement(
            "neutral: largest lip gap", np.max([row["lip_gap"] for row in people]), "<=", LARGEST_GAP
        ),
    ]
    return {
        "requirements": requirements,
        "frames_without_a_face": [name for name, found in faces.items() if not found],
        "people": people,
        "embedding_distance": identity_distances(detections),
        "yaw_of_camera": YAWS,
        "settings": dataclasses.asdict(config),
        "detector": f"dlib {installed_version('dlib-bin')}, HOG, {config.upsample} times upsampled",
    }


def requirement(what: str, value: float, relation: Literal["<=", ">="], limit: float) -> dict[str, Any]:
    """Record a measured value, its limit, and whether it is met."""
    met = value <= limit if relation == "<=" else value >= limit
    return {"what": what, "value": float(value), "required": f"{relation} {limit:g}", "met": bool(met)}


def table(metrics: dict[str, Any]) -> str:
    """Format the metrics as Markdown tables."""
    rows = [
        [row["what"], f"{row['value']:.4g}", row["required"], "yes" if row["met"] else "NO"]
        for row in metrics["requirements"]
    ]
    single = [rank for row in metrics["people"] for rank in row["rank_correlation_single_reading"].values()]
    rows.append(["smile: the same from single readings", f"{np.min(single):.4g}", "", ""])
    for name, distance in metrics["embedding_distance"].items():
        rows.append([f"mean embedding distance {name} people", f"{distance:.3f}", "", ""])
    views = (f"rank at yaw {yaw:+.2f}" for yaw in SMILE_YAWS)
    head, people = ["seed", *views, "lift, 0 to 1", "yaw r", "lip gap", "eye opening", "missed"], []
    for row in metrics["people"]:
        ranks = (f"{rank:.3f}" for rank in row["rank_correlation"].values())
        lift = row["lift"][0.0]
        numbers = (f"{row['yaw_r']:.4f}", f"{row['lip_gap']:.3f}", f"{row['eye_opening']:.3f}")
        from_to = f"{lift[0]:+.3f} to {lift[-1]:+.3f}"
        people.append([f"{row['seed']}", *ranks, from_to, *numbers, f"{row['faces_missed']}"])
    tables = [markdown_table(["what", "measured", "required", "met"], rows), "", markdown_table(head, people)]
    return "\n".join([*tables, "", f"Detector: {metrics['detector']}. Lengths in eye distances.", ""])


def installed_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # another build of the same module
        return "of unknown version"


def main() -> None:
    with exit_on_input_error():
        config = read_config(CheckConfig, sys.argv[1:], "check_demo.py")
        detector = FaceDetector(config.upsample)
        images = (synthetic_images if config.model == SYNTHETIC else model_images)(config)
        face_model = load_open_face_model(config.face_model)
        metrics = measure(
            config, detector, images, face_model.mean[face_model.landmark_vertices].double().numpy()
        )
        config.out.mkdir(parents=True, exist_ok=True)
        plain = json.loads(json.dumps(metrics, default=str), parse_constant=lambda _: None)  # JSON has no nan
        write_complete(config.out / "metrics.json", json.dumps(plain, indent=1) + "\n")
        write_complete(config.out / "table.md", table(metrics))
        print(table(metrics), end="")
    raise SystemExit(0 if all(row["met"] for row in metrics["requirements"]) else 1)


if __name__ == "__main__":
    main()
