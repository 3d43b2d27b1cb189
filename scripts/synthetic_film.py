"""Draw a film of a synthetic person who speaks, blinks, frowns and turns, with its true coefficients.

    python scripts/synthetic_film.py --out data/film
    python scripts/check_own_face.py --data data/heldout --film data/film

Writes OUT/film.mp4 and OUT/truth.mat, whose rows are the frames: ``exp``, ``pose`` (pitch and yaw of the generator's
camera, radians), and ``id``. The aligned renders are placed in larger frames, in which the head moves and tilts.
"""

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import scipy.io
import torch
from jaxtyping import Float, UInt8
from tqdm import tqdm

from anifacegan.capture.crop import Crop
from anifacegan.data.synthetic.renderer import SyntheticRenderer, load_synthetic_renderer, render_person
from anifacegan.data.synthetic.sampling import SyntheticPerson, sample_item
from anifacegan.face_model.coefficients import OPEN_FACE_MODEL, ExpressionBasis
from anifacegan.rendering.video import write_video
from anifacegan.runtime.errors import exit_on_input_error
from anifacegan.runtime.processes import map_in_processes
from anifacegan.runtime.typed_config import read_config

BLINK_SECONDS = 0.28
"""Time from an open eye over the closed one to the open one."""
FRAME_SHARE = 1.5
"""Side of a frame in sides of the aligned render in it."""


@dataclass(frozen=True)
class FilmConfig:
    """Draw a film of a synthetic person with known coefficients."""

    out: Path
    """Folder to write to."""
    frames: int = 150
    """Number of frames."""
    fps: int = 25
    """Frames per second."""
    seed: int = 9001
    """Random seed of the people and of their movements."""
    person: int = 0
    """Number of the person, as of an image of 'anifacegan dataset'."""
    size: int = 256
    """Height and width of the aligned renders, pixels; frames are 1.5 times as large."""
    factor: int = 2
    """Supersampling of the renders."""
    processes: int = 1
    """Number of processes that render."""


@dataclass(frozen=True)
class Movements:
    """What the person does in every frame."""

    z_exp: Float[np.ndarray, "frame 64"]
    """Expression coefficients."""
    pose: Float[np.ndarray, "frame 2"]
    """Pitch and yaw of the generator's camera, radians."""
    places: tuple[Crop, ...]
    """The frame as a part of the aligned render: its unit coordinates are those of the frame."""


def movements(config: FilmConfig, basis: ExpressionBasis) -> Movements:
    """Plan speech (jaw, pucker, funnel), blinks, a smile, brows that rise and fall, and turns of the head."""
    rng = np.random.default_rng([config.seed, config.person, 1])
    t = np.arange(config.frames) / config.fps

    def wave(hertz: float, power: float = 1.0) -> np.ndarray:
        return (0.5 - 0.5 * np.cos(2 * np.pi * (hertz * t + rng.random()))) ** power

    def swing(hertz: float) -> np.ndarray:
        return np.sin(2 * np.pi * (hertz * t + rng.random()))

    since = (t + rng.uniform(0, 2)) % 1.7
    closed = np.clip(2 - np.abs(2 * since / BLINK_SECONDS - 1) * 2, 0, 1) * (since < BLINK_SECONDS)
    brows, mood = swing(0.4), wave(0.3)  # who smiles broadly does not purse the lips
    strengths = {
        "jawOpen": 0.6 * wave(2.1) * wave(0.7),
        "mouthSmile": 0.8 * (2 * mood - 1).clip(0),
        "mouthPucker": 0.8 * wave(1.1, 3) * (1 - mood),
        "mouthFunnel": 0.4 * wave(1.7, 3) * (1 - mood),
        "eyeBlink": closed,
        "browInnerUp": 0.8 * brows.clip(0),
        "browOuterUp": 0.8 * brows.clip(0),
        "browDown": 0.8 * (-brows).clip(0),
    }
    z_exp = [
        basis.from_strengths({name: float(values[k]) for name, values in strengths.items()})
        for k in range(len(t))
    ]
    pose = np.stack([0.12 * swing(0.3), 0.4 * swing(0.25)], axis=1)
    middle, side = (config.size - 1) / 2, FRAME_SHARE * (config.size - 1)
    x, y = 0.12 * side * swing(0.2), 0.08 * side * swing(0.33)
    rolls = 0.12 * swing(0.22)
    places = [Crop(middle + x[k], middle + y[k], side, rolls[k]) for k in range(len(t))]
    return Movements(np.stack(z_exp), pose, tuple(places))


def drawn_frame(
    config: FilmConfig, person: SyntheticPerson, moves: Movements, renderer: SyntheticRenderer, k: int
) -> UInt8[np.ndarray, "size size 3"]:
    """Draw frame number ``k``."""
    pitch, yaw = moves.pose[k].tolist()
    posed = SyntheticPerson(person.z_id, moves.z_exp[k], person.z_noise)
    image, _ = render_person(renderer, posed, yaw=yaw, pitch=pitch, size=config.size, factor=config.factor)
    return moves.places[k].cut(image, 2 * round(FRAME_SHARE * config.size / 2))


def main() -> None:
    """Draw the frames; write the film and the truth.

    Raises:
        InputError: no face model.
    """
    config = read_config(FilmConfig, sys.argv[1:], "synthetic_film.py")
    torch.set_num_threads(1)
    renderer = load_synthetic_renderer()
    renderer.prepare()
    person, _ = sample_item(renderer.head.parts, config.seed, config.person)
    moves = movements(config, renderer.head.parts.expression_basis())
    config.out.mkdir(parents=True, exist_ok=True)
    jobs = range(config.frames)
    drawn = map_in_processes(partial(drawn_frame, config, person, moves), renderer, jobs, config.processes)
    write_video(config.out / "film.mp4", tqdm(drawn, total=len(jobs), unit="frame", disable=None), config.fps)
    truth = {"exp": moves.z_exp, "pose": moves.pose, "id": person.z_id, "face_model": OPEN_FACE_MODEL}
    scipy.io.savemat(config.out / "truth.mat", truth)


if __name__ == "__main__":
    with exit_on_input_error():
        main()
