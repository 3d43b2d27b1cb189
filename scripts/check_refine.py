"""Compare the two ways to a photograph's person: the layered avatar, and a model whose template field was fine-tuned.

    anifacegan dataset --out data/heldout --count 300 --size 256 --seed 4711
    python scripts/check_refine.py --data data/heldout --count 4

Both are compared with renders of the same synthetic people, as scripts/check_animate.py does. Prints a table; there are
no limits to meet. A person that an earlier run has measured is read from its file.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import process_time

import numpy as np
from check_animate import (
    KINDS,
    Pixels,
    Target,
    distance,
    face_region,
    in_photograph,
    nanmean,
    presets_of,
    psnr,
    targets,
    true_render,
)
from tqdm import tqdm

from anifacegan.capture.photo_avatar import PhotoAvatarMaker
from anifacegan.capture.photographs import read_photograph
from anifacegan.capture.refined_model import refined_person
from anifacegan.data.description import DESCRIPTION_FILE
from anifacegan.data.synthetic.renderer import SyntheticRenderer, load_synthetic_renderer
from anifacegan.data.synthetic.sampling import sample_item
from anifacegan.evaluation.face_detector import FaceDetector
from anifacegan.rendering.images import to_bytes
from anifacegan.rendering.model import load_model
from anifacegan.runtime.errors import InputError, exit_on_input_error
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.image_files import encoded_image
from anifacegan.runtime.typed_config import read_config
from anifacegan.training.refinement.config import Guide, RefinementConfig

AVATAR = "avatar"
ROWS = ("own view", *KINDS, "dlib distance", "CPU seconds")
Draw = Callable[[float, float, np.ndarray], Pixels]
"""Function that draws a way's image at yaw and pitch (radians) with expression coefficients."""


@dataclass(frozen=True)
class CheckConfig:
    """Compare refined models with avatars on synthetic people whose truth is known."""

    data: Path
    """Folder of 'anifacegan dataset', of people whom no network has seen."""
    count: int = 4
    """Number of people."""
    first: int = 0
    """Number of the first person in the data set."""
    guides: tuple[Guide, ...] = ("avatar", "model")
    """What guides the refined models."""
    steps: int = RefinementConfig.steps
    """Number of steps of the fine-tuning."""
    size: int = 256
    """Height and width of the images that are compared, pixels."""
    model: Path = Path("checkpoints/demo")
    """Model that is refined, and whose camera and named expressions the avatars have."""
    out: Path = Path("runs/check_refine")
    """Folder for table.md, a file for each person, pictures, and true renders, which a second run reads."""


class Check:
    """Measures people; holds what all of them need."""

    def __init__(self, config: CheckConfig, maker: PhotoAvatarMaker, renderer: SyntheticRenderer) -> None:
        self.config, self.maker, self.renderer = config, maker, renderer
        self.detector = FaceDetector(upsample=0)
        self.seed = int(json.loads((config.data / DESCRIPTION_FILE).read_text())["seed"])

    def person(self, index: int) -> dict[str, dict[str, float]]:
        """Measure one image; return the numbers of each way by the names of ROWS."""
        path = self.config.data / f"{index:06d}.png"
        photograph, cpu = read_photograph(path), process_time()
        made = self.maker.make(photograph, path)
        seconds = {AVATAR: process_time() - cpu}

        def by_avatar(yaw: float, pitch: float, z_exp: np.ndarray) -> Pixels:
            image = made.avatar.render(yaw=yaw, pitch=pitch, size=self.config.size, expression=z_exp)
            return to_bytes(image)

        ways: dict[str, Draw] = {AVATAR: by_avatar}
        view = self.maker.view(photograph, made.face)
        for guide in self.config.guides:
            cpu, name = process_time(), f"field, guided by the {guide}"
            refinement = RefinementConfig(guide=guide, steps=self.config.steps)
            refined = refined_person(self.maker.model, made, view, refinement, tqdm)

            def by_field(yaw: float, pitch: float, z_exp: np.ndarray, refined=refined) -> Pixels:
                face = refined.face(z_exp)
                return to_bytes(face.render(yaw=yaw, pitch=pitch, size=self.config.size, antialias=False))

            ways[name], seconds[name] = by_field, process_time() - cpu
        fit, size = made.face.fit, self.config.size
        mask = self.maker.person(photograph, made.face)
        person = fit.crop.cut(mask[..., None], size)[..., 0] > 127
        own_exp = fit.z_exp.astype(np.float32)
        owns = {name: draw(fit.yaw, fit.pitch, own_exp) for name, draw in ways.items()}
        report = {
            name: {"own view": psnr(own, made.crop(size), person), "CPU seconds": seconds[name]}
            for name, own in owns.items()
        }
        others = self._others(index, ways, made.face.fit, photograph, report)
        columns = [[made.crop(size), *owns.values()], *others]
        sheet = np.concatenate([np.concatenate(column) for column in columns], axis=1)
        write_complete(self.config.out / f"{index:06d}.png", encoded_image(sheet))
        return report

    def _others(self, index: int, ways: dict[str, Draw], fit, photograph: Pixels, report: dict) -> list:
        """Compare other views and expressions with the truth, add the numbers to ``report``, and return the images."""
        person, (pitch, yaw) = sample_item(self.renderer.head.parts, self.seed, index)
        values: dict[str, dict[str, list[float]]] = {name: {kind: [] for kind in KINDS} for name in ways}
        apart: dict[str, list[float]] = {name: [] for name in ways}
        columns = []
        for target in targets(person, yaw, pitch, presets_of(self.renderer.head.parts)):
            truth = true_render(
                self.config.out / "truth", self.renderer, person, index, target, self.config.size
            )
            where = face_region(self.renderer, self.maker, person, target, self.config.size)
            columns.append([truth])
            for name, draw in ways.items():
                image = in_photograph(draw(*_view(target, fit, yaw, pitch)), fit.crop, self.config.size)
                values[name][target.kind].append(psnr(image, truth, where))
                apart[name].append(distance(self.detector, image, photograph))
                columns[-1].append(image)
        for name in ways:
            report[name] |= {kind: nanmean(found) for kind, found in values[name].items()}
            report[name]["dlib distance"] = nanmean(apart[name])
        return columns


def _view(target: Target, fit, yaw: float, pitch: float) -> tuple[float, float, np.ndarray]:
    """Return what a way draws for a target: turns are relative to the fitted pose, and keep the fitted expression."""
    z_exp = fit.z_exp.astype(np.float32) if target.kind == "turned" else target.z_exp
    return fit.yaw + target.yaw - yaw, fit.pitch + target.pitch - pitch, z_exp


def table(people: list[dict[str, dict[str, float]]]) -> str:
    """Return the means over people as Markdown."""
    names = list(people[0])
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for row in ROWS:
        means = [nanmean([person[name][row] for person in people]) for name in names]
        lines.append(f"| {row} | " + " | ".join(f"{mean:.2f}" for mean in means) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print and write the table.

    Raises:
        InputError: a file or package is missing.
    """
    config = read_config(CheckConfig, sys.argv[1:], "check_refine.py")
    if not (config.data / DESCRIPTION_FILE).is_file():
        raise InputError(f"{config.data}: no {DESCRIPTION_FILE}, expected a folder of 'anifacegan dataset'")
    config.out.mkdir(parents=True, exist_ok=True)
    config = replace(config, guides=tuple(config.guides))
    people = []
    with PhotoAvatarMaker(load_model(config.model)) as maker:
        check = Check(config, maker, load_synthetic_renderer())
        for index in range(config.first, config.first + config.count):
            file = config.out / f"{index:06d}.json"
            if not file.is_file():
                write_complete(file, json.dumps(check.person(index), indent=1) + "\n")
            people.append(json.loads(file.read_text()))
            print(f"{len(people)} people\n{table(people)}", flush=True)
    write_complete(config.out / "table.md", table(people))


if __name__ == "__main__":
    with exit_on_input_error():
        main()
