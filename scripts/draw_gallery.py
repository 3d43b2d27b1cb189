"""Builds a gallery of people that a browser shows: a page with their portraits, and a page for each person.

    python scripts/draw_gallery.py --out docs/gallery

A person is baked, and written as ``anifacegan export web`` does it; the browser loads this file when the person is
chosen. The gallery works from a disk and from any server of files.
"""

import html
import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout, whichever is installed

import numpy as np
from tqdm import tqdm

from anifacegan.avatars.avatar import Avatar
from anifacegan.avatars.config import BakeConfig
from anifacegan.avatars.export.config import WebConfig
from anifacegan.avatars.export.web_page import web_page
from anifacegan.cli.bake.config import BakeCommand
from anifacegan.cli.bake.run import baked_avatar
from anifacegan.rendering.model import load_model
from anifacegan.runtime.errors import ConfigError, exit_on_input_error
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.image_files import encoded_image
from anifacegan.runtime.output_folders import claim, note_contents
from anifacegan.runtime.typed_config import read_config

PORTRAIT_PX = 96


@dataclass(frozen=True)
class GalleryConfig:
    """Build a gallery of people that a browser shows."""

    out: Path
    """Folder to write: index.html, and a page and a portrait for each person."""
    overwrite: bool = False
    """Replace files in the output folder that this program did not write. Its own are always replaced."""
    seeds: tuple[int, ...] = (5, 7, 12)
    """Random seeds of the people's latents."""
    model: Path = Path("checkpoints/demo")
    """Model folder, or the name of a shipped model."""
    expressions: tuple[str, ...] | None = None
    """Expressions of the people. null: every named expression of the model."""
    bake: BakeConfig = field(default_factory=BakeConfig)
    """Size of the textures and meshes."""
    web: WebConfig = field(default_factory=lambda: WebConfig(precision_mm=0.1, quality=82))
    """Range of views, precision and quality of the pictures; coarser than 'export web' has them, for smaller files."""

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ConfigError("seeds", self.seeds, "one or more different seeds")
        if self.web.widest_rad is not None and self.web.widest_rad > self.bake.widest_rad:
            expected = f"at most bake.widest_rad, {self.bake.widest_rad:g}"
            raise ConfigError("web.widest_rad", self.web.widest_rad, expected)


def portrait(avatar: Avatar) -> bytes:
    """Return a JPEG of the person seen from the front."""
    image = avatar.render(size=2 * PORTRAIT_PX).numpy().transpose(1, 2, 0)
    small = image.reshape(PORTRAIT_PX, 2, PORTRAIT_PX, 2, 3).mean((1, 3))
    return encoded_image(np.rint(255 * small).astype(np.uint8), ".jpg")


def button(name: str) -> str:
    """Return the button that chooses a person."""
    label, side = html.escape(name), f'width="{PORTRAIT_PX}" height="{PORTRAIT_PX}"'
    return f'  <button data-page="{label}.html"><img src="{label}.jpg" {side} alt="{label}"></button>'


def main(arguments: list[str] | None = None) -> None:
    """Parse the options and write the gallery; print each person's size.

    Raises:
        SystemExit: with code 2 for a wrong option or file.
    """
    with exit_on_input_error():
        config = read_config(
            GalleryConfig, sys.argv[1:] if arguments is None else arguments, "draw_gallery.py"
        )
        model = load_model(config.model)
        names = [f"seed{seed}" for seed in config.seeds]
        files = ["index.html", *(f"{name}{ending}" for name in names for ending in (".html", ".jpg"))]
        claim(config.out, files, config.overwrite)
        for name, seed in zip(names, tqdm(config.seeds, disable=None), strict=True):
            file = config.out / f"{name}.safetensors"
            command = BakeCommand(
                out=file, model=config.model, seed=seed, expressions=config.expressions, bake=config.bake
            )
            avatar = baked_avatar(command, model)
            page = web_page(avatar, config.web)
            write_complete(config.out / f"{name}.html", page)
            write_complete(config.out / f"{name}.jpg", portrait(avatar))
            print(f"{config.out / name}.html: {len(page) / 1e6:.2f} MB")
        template = (Path(__file__).parent / "gallery.html").read_text()
        people = "\n".join(button(name) for name in names)
        write_complete(config.out / "index.html", template.replace("@@PEOPLE@@", people))
        note_contents(config.out, files)


if __name__ == "__main__":
    main()
