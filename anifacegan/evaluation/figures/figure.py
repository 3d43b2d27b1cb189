"""Writing of a figure: NAME.png, its settings NAME.yaml, and NAME.json, which describes its content.

The same settings and the same model give the same bytes. ``--config NAME.yaml`` makes the figure again; NAME.json
records what the figure shows, the model's name and weights, and the versions of Python and PyTorch.
"""

import json
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from anifacegan.evaluation.figures.panels import Pixels
from anifacegan.rendering.model import Model
from anifacegan.runtime.files import sha256
from anifacegan.runtime.image_files import encoded_image
from anifacegan.runtime.output_folders import filled_when_complete, require_room
from anifacegan.runtime.structured_text import yaml_text
from anifacegan.runtime.typed_config import plain


@dataclass(frozen=True)
class Drawing:
    """A finished figure in memory."""

    image: Pixels
    """The figure itself."""
    record: dict[str, Any]
    """Description of the content, as plain values for the JSON file."""
    further_files: dict[str, Callable[[Path], object]] = field(default_factory=dict)
    """File ending of each further file and the function that writes it: ``{".ply": write}`` makes NAME.ply."""
    text: str = ""
    """Text to print, such as a table."""


@dataclass(frozen=True)
class FigureKind:
    """A kind of figure: its name and caption, and the function that draws it."""

    name: str
    """Name of the figure's files and of its command; its options are those that
    :data:`anifacegan.evaluation.figures.config.CONFIGS` has by this name."""
    title: str
    """Title on the page of figures."""
    caption: str
    """Description of the figure's content in one or two sentences."""
    draw: Callable[[Any], Drawing]
    """Function that draws the figure from its options, which have ``out`` among their fields."""
    check: Callable[[Any], object] = lambda config: None
    """Function that reads the files that the options name, to see whether they can be drawn."""


@dataclass(frozen=True)
class WrittenFigure:
    """A figure that has been written."""

    paths: list[Path]
    """Paths of the figure's files."""
    text: str
    """Text to print about the figure, such as a table."""

    @property
    def summary(self) -> str:
        """The figure's text, then the paths of its files, each on a line of its own."""
        return self.text + "\n".join(map(str, self.paths))


def require_drawable(kind: FigureKind, config: Any) -> None:
    """Require that a figure may be written, and that the files that its options name can be read; draws nothing.

    Raises:
        InputError: it is not so.
    """
    require_room(config.out, _names(kind), config.overwrite)
    kind.check(config)


def _names(kind: FigureKind) -> tuple[str, str, str]:
    """Return the names of the image, the settings and the description."""
    return f"{kind.name}.png", f"{kind.name}.yaml", f"{kind.name}.json"


def write_figure(kind: FigureKind, config: Any) -> WrittenFigure:
    """Draw a figure and write its files, the JSON file last.

    Raises:
        InputError: an option, a file that it names, or the output folder is wrong.
    """
    image, settings, about = names = _names(kind)
    require_room(config.out, names, config.overwrite)
    with filled_when_complete(config.out, config.overwrite, last=about) as folder:
        drawing = kind.draw(config)
        further = {f"{kind.name}{ending}": write for ending, write in drawing.further_files.items()}
        (folder / image).write_bytes(encoded_image(drawing.image))
        (folder / settings).write_text(yaml_text(plain(config)))
        for name, write in further.items():
            write(folder / name)
        record = {
            "figure": kind.name,
            "files": [image, settings, *further],
            "settings": plain(config),
            **drawing.record,
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
        }
        (folder / about).write_text(json.dumps(record, indent=1, allow_nan=False) + "\n")
    return WrittenFigure([config.out / name for name in (image, settings, *further, about)], drawing.text)


def model_record(model: Model) -> dict[str, str]:
    """Describe a model for the JSON file: its name, its face model, and the SHA-256 of its weights."""
    tensors = sorted(model.generator.state_dict().items())
    total = sha256(
        part for name, tensor in tensors for part in (name.encode(), tensor.cpu().numpy().tobytes())
    )
    return {"name": model.card.name, "face_model": model.card.face_model, "weights_sha256": total}
