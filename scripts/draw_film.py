"""Joins the people that ./render.sh has rendered into one looping film, a GIF, for the README.

    ./render.sh && python scripts/draw_film.py --frames multiview_imgs --out docs/smile.gif

The people stand side by side; the film runs through every second frame and back, so that it loops without a jump.
"""

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout, whichever is installed

import imageio.v3 as imageio
import numpy as np
import torch
from tqdm import tqdm

from anifacegan.runtime.errors import InputError, exit_on_input_error
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.image_files import read_image
from anifacegan.runtime.typed_config import read_config


@dataclass(frozen=True)
class FilmConfig:
    """Join rendered people into one looping film."""

    frames: Path = Path("multiview_imgs")
    """Folder that ./render.sh or 'anifacegan render' has written."""
    out: Path = Path("docs/smile.gif")
    """The film, a .gif file."""
    height: int = 128
    """Height and width of a person in pixels."""
    every: int = 2
    """Use every so-manyth frame."""
    fps: int = 12
    """Frames per second of the film."""
    most_bytes: int = 3_000_000
    """Largest size of the file; a larger film is not written."""


def rows_of_people(folder: Path, every: int, height: int) -> list[np.ndarray]:
    """Return the frames of the film, (height, people * height, 3) in 8 bits, forwards and back.

    Raises:
        InputError: the folder has no manifest, or its people have different numbers of frames.
    """
    try:
        people = json.loads((folder / "manifest.json").read_text())["people"]
    except (OSError, ValueError, KeyError):
        raise InputError(
            f"{folder}: no readable manifest.json, expected a folder that render.sh has written"
        ) from None
    counts = {len(person["frames"]) for person in people}
    if len(counts) != 1:
        raise InputError(
            f"{folder}: its people have {sorted(counts)} frames, expected the same number of each"
        )
    rows = [
        np.concatenate(
            [reduced(read_image(folder / person["frames"][k]["file"]), height) for person in people], 1
        )
        for k in tqdm(range(0, counts.pop(), every), desc="film", disable=None)
    ]
    return rows + rows[-2:0:-1]


def reduced(image: np.ndarray, height: int) -> np.ndarray:
    """Resize a square image (side, side, 3), 8 bits."""
    planes = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    small = torch.nn.functional.interpolate(planes, (height, height), mode="bilinear", antialias=True)
    return small[0].round().byte().permute(1, 2, 0).numpy()


def main(arguments: list[str] | None = None) -> None:
    """Parse the options and write the film.

    Raises:
        SystemExit: with code 2 for a wrong option or folder, or a film that is too large.
    """
    with exit_on_input_error():
        config = read_config(FilmConfig, sys.argv[1:] if arguments is None else arguments, "draw_film.py")
        if config.out.suffix != ".gif":
            raise InputError(f"out is {config.out}, expected a .gif file")
        film, content = rows_of_people(config.frames, config.every, config.height), io.BytesIO()
        imageio.imwrite(content, film, extension=".gif", plugin="pillow", duration=1000 / config.fps, loop=0)
        if content.tell() > config.most_bytes:
            raise InputError(
                f"the film has {content.tell()} bytes, expected at most {config.most_bytes}: choose a smaller --height "
                f"or a larger --every"
            )
        write_complete(config.out, content.getvalue())


if __name__ == "__main__":
    main()
