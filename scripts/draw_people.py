"""Draws the synthetic people of docs/face_model.md: the first of a seed, unpicked, and some halfway between two.

    python scripts/draw_people.py --out docs

Writes people.jpg, the first 48 images of the data set with the seed, in rows; and between.jpg, in which each row leads
from one person to another: expression and pose are neutral, identity and appearance latents are mixed.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout, whichever is installed

import numpy as np
import torch
from torchvision.utils import make_grid
from tqdm import tqdm

from anifacegan.data.synthetic.renderer import (
    SyntheticRenderer,
    load_synthetic_renderer,
    render_item,
    render_person,
)
from anifacegan.data.synthetic.sampling import SyntheticPerson, sample_item
from anifacegan.runtime.errors import InputError, exit_on_input_error
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.image_files import encoded_image
from anifacegan.runtime.typed_config import read_config

SHOWN, COLUMNS = 48, 8
STEPS, PAIRS = 5, 5
RENDERED, SIZE = 256, 160
"""Height and width of an image in pixels, as it is rendered and as it is shown."""
QUALITY = 88


def between(one: SyntheticPerson, other: SyntheticPerson, share: float) -> SyntheticPerson:
    """Mix two people, share 0 to 1: identities along the line, normally distributed appearance latents along the arc,
    which keeps their distribution. The expression is neutral."""
    angle = share * np.pi / 2
    z_noise = np.cos(angle) * one.z_noise + np.sin(angle) * other.z_noise
    z_id = (1 - share) * one.z_id + share * other.z_id
    return SyntheticPerson(z_id, np.zeros_like(one.z_exp), z_noise.astype(np.float32))


def first_people(renderer: SyntheticRenderer, seed: int) -> list[np.ndarray]:
    """Render the first images of the data set with a seed."""
    indices = tqdm(range(SHOWN), desc="people")
    return [render_item(renderer, seed, index, RENDERED)[0] for index in indices]


def strips(renderer: SyntheticRenderer, seed: int) -> list[np.ndarray]:
    """Render each pair of neighbouring people of the seed, and mixtures between them."""
    people = [sample_item(renderer.head.parts, seed, index)[0] for index in range(2 * PAIRS)]
    mixed = [
        between(people[2 * pair], people[2 * pair + 1], share)
        for pair in range(PAIRS)
        for share in np.linspace(0, 1, STEPS)
    ]
    return [
        render_person(renderer, person, yaw=0.0, pitch=0.0, size=RENDERED)[0]
        for person in tqdm(mixed, desc="between")
    ]


def write_grid(path: Path, images: list[np.ndarray], columns: int) -> None:
    """Write images, (height, width, 3) in 8 bits, as one JPEG with rows of so many columns."""
    stack = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()
    small = torch.nn.functional.interpolate(stack, (SIZE, SIZE), mode="bilinear", antialias=True)
    grid = make_grid(small, nrow=columns, padding=2, pad_value=255)
    pixels = grid.round().byte().permute(1, 2, 0).numpy()
    write_complete(path, encoded_image(pixels, ".jpg", quality=QUALITY))


@dataclass(frozen=True)
class DrawConfig:
    """Draw the first synthetic people of a seed, and people between two, into people.jpg and between.jpg."""

    out: Path = Path("docs")
    """Existing folder to write into."""
    seed: int = 1
    """Seed of the data set whose people are drawn."""


def main(arguments: list[str] | None = None) -> None:
    """Parse the options and write both images.

    Raises:
        SystemExit: with code 2 for a wrong option or a folder that does not exist.
    """
    with exit_on_input_error():
        config = read_config(DrawConfig, sys.argv[1:] if arguments is None else arguments, "draw_people.py")
        if not config.out.is_dir():
            raise InputError(f"out is {config.out}, expected an existing folder")
        renderer = load_synthetic_renderer()
        write_grid(config.out / "people.jpg", first_people(renderer, config.seed), COLUMNS)
        write_grid(config.out / "between.jpg", strips(renderer, config.seed), STEPS)


if __name__ == "__main__":
    main()
