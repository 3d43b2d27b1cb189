"""Check avatars of photographs against the truth: synthetic people whose other views and expressions can be rendered.

    anifacegan dataset --out data/heldout --count 300 --size 256 --seed 4711
    python scripts/check_animate.py --data data/heldout

Each image becomes an avatar, which is turned by 0.3 radians to both sides, smiles, blinks and opens its mouth; so does
the demo's person with the coefficients that the face regressor R reads in the image. Both are compared with renders of
the synthetic person. Exits with 1 if a limit is missed. dlib's landmark model, which finds the faces, is for research.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from limits_table import end_with_limits
from tqdm import tqdm

from anifacegan.capture.crop import Crop
from anifacegan.capture.photo_avatar import PhotoAvatar, PhotoAvatarMaker
from anifacegan.capture.photographs import read_photograph
from anifacegan.capture.regressed_face import regressed_face
from anifacegan.data.description import DESCRIPTION_FILE
from anifacegan.data.synthetic.renderer import SyntheticRenderer, load_synthetic_renderer, render_person
from anifacegan.data.synthetic.sampling import SyntheticPerson, sample_item
from anifacegan.evaluation.face_detector import FaceDetector
from anifacegan.face_model.expressions import PRESETS
from anifacegan.face_model.open_model import HeadParts
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.geometry.conventions import EXP_DIM, ID_DIM, NOISE_DIM
from anifacegan.geometry.rasterization.rasterizer import rasterize
from anifacegan.geometry.resampling import read_pixels
from anifacegan.rendering.images import to_bytes
from anifacegan.rendering.model import Model, load_model
from anifacegan.runtime.errors import InputError, exit_on_input_error
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.image_files import encoded_image, read_image
from anifacegan.runtime.typed_config import read_config

TURN = 0.3
"""Yaw by which the head is turned, radians."""
WIDEST = 0.85
"""Largest absolute yaw after the turn, radians; an image that would be turned farther is turned to the other side."""
EXPRESSIONS = ("smile", "blink", "jaw_open")
KINDS = ("turned", *EXPRESSIONS)
MOST_ALIKE_OF, ALIKE_PX, DEMO_PX = 6, 32, 128
"""Number of the demo's appearances that are tried for R's coefficients, the size of their images, and that of the
images that are compared (enlarged, since the networks are slow), pixels."""
LIMITS = {
    "own view, PSNR of the person": (28.0, "at least"),
    **{f"{kind}, face PSNR": (22.0, "at least") for kind in ("mean", *KINDS)},
    "dlib distance to the photograph": (0.35, "at most"),
    "avatars better than R's codes, share of people": (1.0, "at least"),
    "CPU seconds an avatar": (45.0, "at most"),
    "frames a CPU second": (30.0, "at least"),
}
Pixels = UInt8[np.ndarray, "size size 3"]


@dataclass(frozen=True)
class CheckConfig:
    """Check avatars of photographs against renders of the same synthetic people."""

    data: Path
    """Folder of 'anifacegan dataset', of people whom no network has seen."""
    count: int = 20
    """Number of people, the first of the data set."""
    size: int = 256
    """Height and width of the images that are compared, pixels."""
    model: Path = Path("checkpoints/demo")
    """Model whose camera and named expressions the avatars have, and which shows R's coefficients."""
    person_model: Path | None = None
    """MediaPipe's selfie_segmentation.tflite. null: see docs/own_face.md."""
    landmark_model: Path | None = None
    """MediaPipe's face_landmarker.task. null: see docs/own_face.md."""
    demo: bool = True
    """Also measure R's coefficients in the demo."""
    out: Path = Path("runs/check_animate")
    """Folder for table.md, metrics.json and pictures; and for true renders and the demo's, which a second run reads."""


@dataclass(frozen=True)
class Target:
    """One view and expression in which an avatar is compared with the truth; angles are radians."""

    kind: str
    name: str
    yaw: float
    pitch: float
    z_exp: Float[np.ndarray, "64"]


def targets(
    person: SyntheticPerson, yaw: float, pitch: float, presets: dict[str, np.ndarray]
) -> list[Target]:
    """Return what is compared for an image of a person at ``yaw`` and ``pitch``."""
    found = [
        Target("turned", f"turned{side:+d}", yaw + side * TURN, pitch, person.z_exp)
        for side in (-1, 1)
        if abs(yaw + side * TURN) <= WIDEST
    ]
    return found + [Target(name, name, yaw, pitch, presets[name]) for name in EXPRESSIONS]


def presets_of(parts: HeadParts) -> dict[str, np.ndarray]:
    """Return the coefficients of the named expressions."""
    basis = parts.expression_basis()
    return {name: basis.from_strengths(PRESETS[name]) for name in EXPRESSIONS}


def true_render(
    folder: Path, renderer: SyntheticRenderer, person: SyntheticPerson, index: int, target: Target, size: int
) -> Pixels:
    """Render the truth, or read it if an earlier run has rendered it."""
    path = folder / f"{index:06d}_{target.name}_{size}.png"
    if path.is_file():
        return read_image(path, "RGB")
    posed = replace(person, z_exp=target.z_exp)
    image, _ = render_person(renderer, posed, yaw=target.yaw, pitch=target.pitch, size=size)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_complete(path, encoded_image(image))
    return image


def face_region(
    renderer: SyntheticRenderer, maker: PhotoAvatarMaker, person: SyntheticPerson, target: Target, size: int
) -> Bool[np.ndarray, "size size"]:
    """Mark the pixels of the true face: skin that no hair style covers, lips, eyes and what an open mouth shows."""
    model = maker.fitter.model
    z_id, z_exp = (torch.from_numpy(z)[None] for z in (person.z_id, target.z_exp))
    angles = {"yaw": torch.tensor([target.yaw]), "pitch": torch.tensor([target.pitch])}
    points = model.to_world(model.shape(z_id, z_exp))
    found = rasterize(points, model.triangles, orbit_camera(**angles, size=size)).triangle[0].numpy()
    face = renderer.head.face | (renderer.head.parts.part > 0) | (renderer.head.parts.mouth_mask > 0.5)
    is_face = face[model.triangles.numpy()].all(axis=1)
    return (found >= 0) & is_face[found]


def in_photograph(image: Pixels, crop: Crop, size: int) -> Pixels:
    """Resample an image of the fitted crop to the frame of the square photograph, ``size`` pixels."""
    line = np.arange(size, dtype=np.float64)
    scale = Crop.whole(256)
    photograph = scale.to_photograph(np.stack(np.meshgrid(line, line), axis=-1) / (size - 1) - 0.5)
    places = (crop.to_unit(photograph) + 0.5) * (len(image) - 1)
    source = torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]
    read = read_pixels(source, torch.from_numpy(places).float()[None], beyond="border")[0]
    return read.round().byte().permute(1, 2, 0).numpy()


def psnr(image: Pixels, truth: Pixels, where: Bool[np.ndarray, "size size"]) -> float:
    """Return the PSNR of the marked pixels in dB."""
    apart = (image.astype(np.float64) - truth)[where]
    return float(10 * np.log10(255**2 / np.square(apart).mean()))


def demo_images(
    maker: PhotoAvatarMaker, model: Model, photograph: Pixels, wanted: list[Target]
) -> list[Pixels]:
    """Draw the demo's person with the identity that R reads in a photograph; of some appearances, the one whose colours
    are nearest."""
    fitter = maker.fitter
    network = fitter.regressor
    assert network is not None
    read = regressed_face(*network, photograph, Crop.whole(len(photograph))).numbers
    pitch, yaw = read[:2].tolist()
    z_id = torch.from_numpy(read[2 : 2 + ID_DIM].astype(np.float32))[None]
    z_exp = read[2 + ID_DIM : 2 + ID_DIM + EXP_DIM].astype(np.float32)
    small = Crop.whole(len(photograph)).cut(photograph, ALIKE_PX).astype(np.float64)

    def image(z_noise: torch.Tensor, target: Target, size: int) -> Pixels:
        face = model.face(expression=target.z_exp, psi=1.0, latents=(z_id, z_noise))
        return to_bytes(face.render(yaw=target.yaw, pitch=target.pitch, size=size, antialias=False))

    own = Target("own", "own", yaw, pitch, z_exp)
    draws = [
        torch.randn(1, NOISE_DIM, generator=torch.Generator().manual_seed(k)) for k in range(MOST_ALIKE_OF)
    ]
    apart = [np.abs(image(z_noise, own, ALIKE_PX) - small).mean() for z_noise in draws]
    nearest = draws[int(np.argmin(apart))]
    return [
        image(nearest, replace(target, z_exp=z_exp) if target.kind == "turned" else target, len(photograph))
        for target in wanted
    ]


def known_demo_images(
    config: CheckConfig, maker: PhotoAvatarMaker, photograph: Pixels, wanted: list[Target], index: int
) -> list[Pixels]:
    """Draw the demo's images, or read them if an earlier run has drawn them."""
    paths = [config.out / "demo" / f"{index:06d}_{target.name}.png" for target in wanted]
    if all(path.is_file() for path in paths):
        return [read_image(path, "RGB") for path in paths]
    images = demo_images(maker, maker.model, photograph, wanted)
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    for path, image in zip(paths, images, strict=True):
        write_complete(path, encoded_image(image))
    return images


def avatar_images(
    made: PhotoAvatar, wanted: list[Target], yaw: float, pitch: float, size: int
) -> list[Pixels]:
    """Draw an avatar as the targets say, in the frame of the photograph; turns are relative to the fitted pose, and a
    turned head keeps the fitted expression."""
    fit = made.face.fit
    images = []
    for target in wanted:
        z_exp = fit.z_exp.astype(np.float32) if target.kind == "turned" else target.z_exp
        view = {"yaw": fit.yaw + target.yaw - yaw, "pitch": fit.pitch + target.pitch - pitch}
        images.append(to_bytes(made.avatar.render(size=size, expression=z_exp, **view)))
    return [in_photograph(image, fit.crop, size) for image in images]


def own_view(made: PhotoAvatar, maker: PhotoAvatarMaker, size: int) -> float:
    """Return the PSNR of the person in the photograph's own view; the person is where the mask is above a half."""
    fit, photograph = made.face.fit, made.photograph
    mask = maker.person(photograph, made.face)
    person = fit.crop.cut(mask[..., None], size)[..., 0] > 127
    own = made.avatar.render(yaw=fit.yaw, pitch=fit.pitch, size=size, expression=fit.z_exp.astype(np.float32))
    return psnr(to_bytes(own), made.crop(size), person)


def distance(detector: FaceDetector, image: Pixels, other: Pixels) -> float:
    """Return the distance of two faces' dlib vectors; nan if one is not found."""
    faces = [detector.find(np.ascontiguousarray(pixels), embed=True) for pixels in (image, other)]
    vectors = [None if face is None else face.embedding for face in faces]
    if vectors[0] is None or vectors[1] is None:
        return float("nan")
    return float(np.linalg.norm(vectors[0] - vectors[1]))


def measured_person(
    config: CheckConfig,
    maker: PhotoAvatarMaker,
    renderer: SyntheticRenderer,
    detector: FaceDetector,
    index: int,
) -> dict[str, float]:
    """Measure the avatar of one image; also writes a picture: photograph, truth, avatars, the demo."""
    parts, size = renderer.head.parts, config.size
    seed = int(json.loads((config.data / DESCRIPTION_FILE).read_text())["seed"])
    person, (pitch, yaw) = sample_item(parts, seed, index)
    wanted = targets(person, yaw, pitch, presets_of(parts))
    path = config.data / f"{index:06d}.png"
    photograph = read_photograph(path)
    started, cpu = perf_counter(), process_time()
    made = maker.make(photograph, path)
    report = {"CPU seconds an avatar": process_time() - cpu, "seconds an avatar": perf_counter() - started}
    report["own view, PSNR of the person"] = own_view(made, maker, size)
    truth = [true_render(config.out / "truth", renderer, person, index, t, size) for t in wanted]
    where = [face_region(renderer, maker, person, target, size) for target in wanted]
    rows = {"avatar": avatar_images(made, wanted, yaw, pitch, size)}
    if config.demo:
        rows["demo"] = known_demo_images(config, maker, photograph, wanted, index)
    for kind in KINDS:
        chosen = [k for k, target in enumerate(wanted) if target.kind == kind]
        for name, images in rows.items():
            values = [psnr(images[k], truth[k], where[k]) for k in chosen]
            report[f"{kind}, {name}"] = float(np.mean(values))
    for name, images in rows.items():
        report[f"mean, {name}"] = float(np.mean([report[f"{kind}, {name}"] for kind in KINDS]))
        report[f"dlib, {name}"] = nanmean([distance(detector, image, photograph) for image in images])
    pairs = zip(rows["avatar"], truth, strict=True)
    report["dlib, avatar to the truth"] = nanmean([distance(detector, image, true) for image, true in pairs])
    cpu = process_time()
    for k in range(10):
        made.avatar.render(yaw=0.03 * k, expression="smile=0.5,jaw_open=0.3", antialias=False)
    report["frames a CPU second"] = 10 / (process_time() - cpu)
    blank = np.full_like(photograph, 255)
    sheet = [np.concatenate([photograph, *truth], 1)]
    sheet += [np.concatenate([blank, *images], 1) for images in rows.values()]
    write_complete(config.out / f"{index:06d}.png", encoded_image(np.concatenate(sheet)))
    return report


def nanmean(values: list[float]) -> float:
    """Return the mean of the numbers among the values; nan if there is none."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def summary(people: list[dict[str, float]]) -> dict[str, float]:
    """Average over people, and compare the avatars with the demo."""
    mean: Callable[[str], float] = lambda key: nanmean([person[key] for person in people])  # noqa: E731
    report = {"own view, PSNR of the person": mean("own view, PSNR of the person")}
    for kind in ("mean", *KINDS):
        report[f"{kind}, face PSNR"] = mean(f"{kind}, avatar")
    if "mean, demo" in people[0]:
        report |= {f"{kind}, face PSNR of R's codes": mean(f"{kind}, demo") for kind in ("mean", *KINDS)}
        better = [person["mean, avatar"] > person["mean, demo"] for person in people]
        report["avatars better than R's codes, share of people"] = float(np.mean(better))
        report["dlib distance of R's codes to the photograph"] = mean("dlib, demo")
    report["dlib distance to the photograph"] = mean("dlib, avatar")
    report["dlib distance to the truth"] = mean("dlib, avatar to the truth")
    for key in ("CPU seconds an avatar", "seconds an avatar", "frames a CPU second"):
        report[key] = mean(key)
    return report | {"people": len(people)}


def main() -> None:
    """Measure, print and write the table.

    Raises:
        InputError: a file or package is missing.
    """
    config = read_config(CheckConfig, sys.argv[1:], "check_animate.py")
    if not (config.data / DESCRIPTION_FILE).is_file():
        raise InputError(f"{config.data}: no {DESCRIPTION_FILE}, expected a folder of 'anifacegan dataset'")
    detector, renderer = FaceDetector(upsample=0), load_synthetic_renderer()
    model = load_model(config.model)
    people = []
    options = {"landmark_model": config.landmark_model, "person_model": config.person_model}
    with PhotoAvatarMaker(model, **options) as maker:
        for index in tqdm(range(config.count), unit="person", disable=None):
            try:
                people.append(measured_person(config, maker, renderer, detector, index))
                write_complete(config.out / "metrics.json", json.dumps(people, indent=1) + "\n")
            except InputError as error:
                print(f"refused: {error}", file=sys.stderr)
    if not people:
        raise InputError(f"{config.data}: no image could be fitted")
    end_with_limits(summary(people), LIMITS, config.out)


if __name__ == "__main__":
    with exit_on_input_error():
        main()
