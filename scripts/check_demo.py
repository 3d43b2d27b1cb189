"""Judge a demo model with an independent detector: are faces found, do they smile, turn and stay themselves.

    ./render.sh && python scripts/check_demo.py --model checkpoints/demo --frames multiview_imgs

Prints a table, writes it and metrics.json, and exits with 1 if a requirement is missed. What is measured, and how:
docs/demo_model.md. For development only: dlib's landmark model was made from data that are for research.
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
from scipy.stats import pearsonr, spearmanr
from tqdm import tqdm

from anifacegan.data.synthetic.renderer import load_synthetic_renderer, render_person
from anifacegan.data.synthetic.sampling import sample_person
from anifacegan.evaluation.face_detector import DetectedFace, FaceDetector, Image, Landmarks, head_yaw
from anifacegan.face_model.expressions import PRESETS
from anifacegan.face_model.open_model import load_open_face_model
from anifacegan.rendering.images import over_white, to_bytes
from anifacegan.rendering.model import load_model
from anifacegan.runtime.errors import InputError, exit_on_input_error
from anifacegan.runtime.files import markdown_table, read_image, write_complete
from anifacegan.runtime.typed_config import read_config

SYNTHETIC = "synthetic"
"""Stands for the mesh people, in place of a model folder."""
STRENGTHS = tuple(k / 10 for k in range(11))
SMILE_YAWS = (-0.35, 0.0, 0.35)
YAWS = (-0.5, -0.35, -0.2, -0.1, 0.0, 0.1, 0.2, 0.35, 0.5)
"""Of the neutral face, radians."""
IDENTITY_POSES = tuple(product(SMILE_YAWS, (0.0, 0.5, 1.0)))
"""Yaw and strength of the images that must be of one person."""
FILM_PEOPLE, FILM_FRAMES = 3, 50
"""What render.sh renders."""
LEAST_PEOPLE, LEAST_FOUND, LEAST_RANK, LEAST_YAW_R, LARGEST_GAP = 5, 0.99, 0.95, 0.985, 0.08

Images = Callable[[int, float, float], Image]
"""Seed of a person, yaw in radians, strength of the smile -> image."""
Seen = dict[tuple[int, float, float], "DetectedFace | None"]
"""The same key -> what the detector found."""


@dataclass(frozen=True)
class CheckConfig:
    """Judge a demo model with an independent face detector (dlib)."""

    model: str = "checkpoints/demo"
    """Model folder; or "synthetic" for new people of the mesh: what the detector itself can read."""
    frames: Path | None = Path("multiview_imgs")
    """What render.sh wrote. null: as many frames like those are made here."""
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    """One person each."""
    psi: float = 0.7
    """Variety of people, as in render.py; the synthetic people have all of it."""
    size: int = 256
    """Height and width of the images made here, pixels."""
    upsample: int = 0
    """How often the detector doubles an image first; as it is, it finds faces of 80 px and more."""
    face_model: Path | None = None
    """File of the open face model, whose landmarks tell the yaw. null: the cached one."""
    out: Path = Path("runs/check_demo")
    """Folder for metrics.json and table.md."""

    def __post_init__(self) -> None:
        if len(set(self.seeds)) < max(2, len(self.seeds)):
            raise ValueError(f"seeds are {list(self.seeds)}, expected two or more different ones")


def model_images(config: CheckConfig) -> Images:
    """Images of a model folder's people."""
    model = load_model(config.model)
    smile = model.expression("smile")[0].cpu().numpy()

    def image(seed: int, yaw: float, strength: float) -> Image:
        face = model.face(seed, expression=strength * smile, psi=config.psi)
        return to_bytes(face.render(yaw=yaw, size=config.size))

    return image


def synthetic_images(config: CheckConfig) -> Images:
    """Images of mesh people: what the model is trained on."""
    synthetic_renderer = load_synthetic_renderer(config.face_model)
    smile = synthetic_renderer.head.parts.expression_basis().from_strengths(PRESETS["smile"])

    def image(seed: int, yaw: float, strength: float) -> Image:
        person = sample_person(synthetic_renderer.head.parts, np.random.default_rng([seed]))
        person = dataclasses.replace(person, z_exp=np.float32(strength) * smile)
        return render_person(synthetic_renderer, person, yaw=yaw, pitch=0.0, size=config.size)[0]

    return image


def saved_frames(folder: Path) -> Iterator[tuple[str, Image]]:
    """Names and images of the PNG frames that render.py wrote.

    Raises:
        InputError: there are none.
    """
    paths = sorted(folder.glob("*/frame_*.png"))
    if not paths:
        raise InputError(f"{folder}: holds no PERSON/frame_*.png, expected what ./render.sh writes")
    for path in paths:
        pixels = read_image(path)
        yield path.relative_to(folder).as_posix(), over_white(pixels) if pixels.shape[-1] == 4 else pixels


def film_frames(images: Images, seeds: Iterable[int]) -> Iterator[tuple[str, Image]]:
    """Frames like those of render.sh: the head turns from -0.35 to 0.35 while the smile comes."""
    for seed in seeds:
        for k, share in enumerate(np.linspace(0, 1, FILM_FRAMES)):
            yield f"seed {seed}, frame {k}", images(seed, -0.35 + 0.7 * float(share), float(share))


def eye_distance(landmarks: Landmarks) -> float:
    return float(np.linalg.norm(landmarks[36:42].mean(axis=0) - landmarks[42:48].mean(axis=0)))


def corner_lift(landmarks: Landmarks) -> float:
    """How far the corners of the mouth are above the middle of the lips, in eye distances."""
    lip_centre, corners = landmarks[[51, 57, 62, 66], 1].mean(), landmarks[[48, 54, 60, 64], 1].mean()
    return float(lip_centre - corners) / eye_distance(landmarks)


def lip_gap(landmarks: Landmarks) -> float:
    """Opening between the inner edges of the lips, in eye distances."""
    return float(np.linalg.norm(landmarks[61:64] - landmarks[67:64:-1], axis=1).mean()) / eye_distance(
        landmarks
    )


def eye_opening(landmarks: Landmarks) -> float:
    """Height of the eyes by their width, the mean of both."""
    eyes = landmarks[36:48].reshape(2, 6, 2)
    height = np.linalg.norm(eyes[:, [1, 2]] - eyes[:, [5, 4]], axis=-1).mean(axis=1)
    return float((height / np.linalg.norm(eyes[:, 0] - eyes[:, 3], axis=-1)).mean())


def correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Pearson's r; nan if a value is nan, or all are the same."""
    return float(pearsonr(x, y)[0]) if np.ptp(x) and np.ptp(y) else math.nan


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Spearman's; nan if a value is nan, or all are the same."""
    return float(spearmanr(x, y)[0]) if np.ptp(x) and np.ptp(y) else math.nan


def look_at_people(images: Images, detector: FaceDetector, seeds: Iterable[int]) -> Seen:
    """Every person smiling in three views, and neutral in all."""
    poses = [*product(SMILE_YAWS, STRENGTHS), *((yaw, 0.0) for yaw in YAWS if yaw not in SMILE_YAWS)]
    target = tqdm([(seed, *pose) for seed in seeds for pose in poses], unit="image", disable=None)
    return {key: detector.find(images(*key), embed=key[1:] in IDENTITY_POSES) for key in target}


def person_row(seen: Seen, seed: int, mean_face: Float[np.ndarray, "68 3"]) -> dict[str, Any]:
    """What one person shows. A face that is not found is nan, and so is every correlation that needs it."""

    def read(
        measured: Callable[[Landmarks], float], yaw: float, strength: float = 0.0, single: bool = False
    ) -> float:
        face = seen[seed, yaw, strength]
        return math.nan if face is None else measured(face.single_reading if single else face.landmarks)

    def lift(yaw: float, single: bool = False) -> list[float]:
        return [read(corner_lift, yaw, strength, single) for strength in STRENGTHS]

    yaw = [read(lambda landmarks: head_yaw(landmarks, mean_face), yaw) for yaw in YAWS]
    return {
        "seed": seed,
        "faces_missed": sum(face is None for (who, *_), face in seen.items() if who == seed),
        "lift": {yaw: lift(yaw) for yaw in SMILE_YAWS},
        "rank_correlation": {yaw: rank_correlation(STRENGTHS, lift(yaw)) for yaw in SMILE_YAWS},
        "rank_correlation_single_reading": {
            yaw: rank_correlation(STRENGTHS, lift(yaw, single=True)) for yaw in SMILE_YAWS
        },
        "yaw": yaw,
        "yaw_r": correlation(YAWS, yaw),
        "lip_gap": read(lip_gap, 0.0),
        "eye_opening": read(eye_opening, 0.0),
    }


def identity_distances(seen: Seen) -> dict[str, float]:
    """Mean distance of embeddings within and between people, over three views and three strengths."""
    faces = [
        (seed, face.embedding) for (seed, *_), face in seen.items() if face and face.embedding is not None
    ]
    pairs = [(who == other, np.linalg.norm(a - b)) for (who, a), (other, b) in combinations(faces, 2)]
    within, between = [d for same, d in pairs if same], [d for same, d in pairs if not same]
    return {
        name: float(np.mean(d)) if d else math.nan for name, d in (("within", within), ("between", between))
    }


def measure(
    config: CheckConfig, detector: FaceDetector, images: Images, mean_face: Float[np.ndarray, "68 3"]
) -> dict[str, Any]:
    """Everything that metrics.json holds; ``requirements`` are the lines that must be met."""
    frames = (
        film_frames(images, config.seeds[:FILM_PEOPLE])
        if config.frames is None
        else saved_frames(config.frames)
    )
    faces = {name: bool(detector.boxes(pixels)) for name, pixels in tqdm(frames, unit="frame", disable=None)}
    seen = look_at_people(images, detector, config.seeds)
    people = [person_row(seen, seed, mean_face) for seed in config.seeds]
    ranks = [rank for row in people for rank in row["rank_correlation"].values()]
    all_yaw_r = correlation(YAWS * len(people), [yaw for row in people for yaw in row["yaw"]])
    requirements = [  # np.min and np.max of a nan are nan: not met
        requirement(f"faces found in {len(faces)} frames", np.mean(list(faces.values())), ">=", LEAST_FOUND),
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
        "embedding_distance": identity_distances(seen),
        "yaw_of_camera": YAWS,
        "settings": dataclasses.asdict(config),
        "detector": f"dlib {installed_version('dlib-bin')}, HOG, {config.upsample} times upsampled",
    }


def requirement(what: str, value: float, relation: Literal["<=", ">="], limit: float) -> dict[str, Any]:
    met = value <= limit if relation == "<=" else value >= limit
    return {"what": what, "value": float(value), "required": f"{relation} {limit:g}", "met": bool(met)}


def table(metrics: dict[str, Any]) -> str:
    """The metrics as Markdown."""
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
