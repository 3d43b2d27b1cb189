"""A figure as a command: settings in, NAME.png, NAME.yaml and NAME.json out.

The same settings and the same model give the same bytes. ``--config NAME.yaml`` makes the figure again; NAME.json says
what is in it, of which model, made with which versions.
"""

import json
import platform
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from anifacegan.evaluation.figures.panels import Pixels
from anifacegan.rendering.model import Model
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import complete_or_absent, encoded_image, sha256, write_complete
from anifacegan.runtime.typed_config import plain


@dataclass(frozen=True)
class Drawing:
    """A finished figure."""

    image: Pixels
    record: dict[str, Any]
    """What is shown, as plain values for the JSON."""
    beside: dict[str, Callable[[Path], object]] = field(default_factory=dict)
    """Ending of each further file -> what writes it: ``{".ply": ...}`` becomes NAME.ply."""
    text: str = ""
    """For the terminal."""


@dataclass(frozen=True)
class FigureKind:
    """One kind of figure."""

    name: str
    """Of its files, and of the subcommand of ``anifacegan figure``."""
    title: str
    caption: str
    """What is to be seen in it, in a sentence or two."""
    config: type
    """A frozen dataclass with ``out`` and ``model`` among its fields."""
    draw: Callable[[Any], Drawing]


def write_figure(kind: FigureKind, config: Any) -> list[Path]:
    """Draw a figure and write its files, the JSON last; prints and returns their paths.

    Raises:
        InputError: anything wrong with the settings, the files they name, or the folder to write.
    """
    if config.out.exists() and not config.out.is_dir():
        raise InputError(f"{config.out}: is a file, expected a folder to write into")
    drawing = kind.draw(config)
    config.out.mkdir(parents=True, exist_ok=True)
    stem = config.out / kind.name
    paths = [stem.with_suffix(".png"), stem.with_suffix(".yaml")]
    write_complete(paths[0], encoded_image(drawing.image))
    write_complete(paths[1], yaml.safe_dump(plain(config), sort_keys=False))
    for ending, write in drawing.beside.items():
        paths.append(stem.with_suffix(ending))
        with complete_or_absent(paths[-1]) as temporary:
            write(temporary)
    record = {
        "figure": kind.name,
        "files": [path.name for path in paths],
        "settings": plain(config),
        **drawing.record,
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
    }
    paths.append(stem.with_suffix(".json"))
    write_complete(paths[-1], json.dumps(record, indent=1, allow_nan=False) + "\n")
    print(drawing.text + "\n".join(map(str, paths)))
    return paths


def model_record(model: Model) -> dict[str, str]:
    """Which model a figure shows: its name, its face model, and a sum of its weights."""
    tensors = sorted(model.generator.state_dict().items())
    total = sha256(
        part for name, tensor in tensors for part in (name.encode(), tensor.cpu().numpy().tobytes())
    )
    return {"name": model.card.name, "face_model": model.card.face_model, "weights_sha256": total}
