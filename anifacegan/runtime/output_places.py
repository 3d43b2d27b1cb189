"""Where a command may write: checks of its options, before anything is computed.

A field of a configuration that is annotated as OutputFolder or OutputFile is checked when the configuration is read.
"""

import os
import shutil
import typing
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.output_folders import own_files
from anifacegan.runtime.paths import exists, real_path

_FOLDER, _FILE, _IMAGES = "folder of results", "file of results", "folder of images"
_SAVED = "folder of results that are asked for later"
OutputFolder = Annotated[Path, _FOLDER]
"""Annotation of a folder that a command fills."""
OutputFile = Annotated[Path, _FILE]
"""Annotation of a file that a command writes, in a folder that exists."""
SavedFolder = Annotated[Path, _SAVED]
"""Annotation of a folder that a command fills only when its user asks for it, so that no space is needed at first."""
ImageFolder = Annotated[Path, _IMAGES]
"""Annotation of a folder, or .zip, in which, and in whose folders, a command looks for images: results among them would
be taken for images the next time."""
_LEAST_SPACE = 2**24
"""Number of bytes that must be free where an output goes. What needs more finds out when it writes."""
_PACKAGE = Path(__file__).parents[1]


def require_output_places(config: Any) -> None:
    """Require that the folders and files that a configuration names for results are places for these.

    Raises:
        InputError: a folder is a file, or the root of the file system; it holds the current folder, this program or
            something that the configuration names as an input, or lies among images that it names, and is no folder of
            this program's results; a file is a folder, or in none; or the disk is full.
    """
    outputs = dict(_outputs(config))
    for name, (kind, path) in outputs.items():
        if kind == _FILE and (path.is_dir() or not path.parent.is_dir()):
            raise InputError(f"{name} is {path}, expected a file in a folder that exists")
        if kind == _FILE and path.is_symlink() and not exists(path):
            raise InputError(f"{name} is {path}, a link to nowhere, expected a file in a folder that exists")
        if kind in (_FOLDER, _SAVED):
            images = [folder for folder in _image_folders(config) if folder.is_dir()]
            _require_folder(name, path, [path for path in _paths(config) if exists(path)], images)
        if kind != _SAVED:
            _require_space(name, path)


def _require_space(name: str, out: Path) -> None:
    """Require free space on the disk of an output. A disk that does not tell its size, as some in networks, passes;
    what a quota forbids is said by what writes the output."""
    place = next((folder for folder in (out, *out.parents) if folder.is_dir()), Path())
    try:
        disk = shutil.disk_usage(place)
    except OSError:
        return
    if disk.total and disk.free < _LEAST_SPACE:
        found = f"{disk.free / 1e6:.1f} MB are free"
        raise InputError(f"{name} is {out}, where {found}, expected at least {_LEAST_SPACE / 1e6:.0f} MB")


def _require_folder(name: str, out: Path, inputs: list[Path], images: list[Path]) -> None:
    if exists(out) and not out.is_dir():
        raise InputError(f"{name} is {out}, a file, expected a folder, not a file")
    place = real_path(out)
    expected = "expected a folder for the results alone"
    if place == place.parent:
        raise InputError(f"{name} is {out}, the root of the file system, {expected}")
    if _PACKAGE.is_relative_to(place):
        raise InputError(f"{name} is {out}, which holds this program, {expected}")
    if own_files(out):
        return
    with suppress(FileNotFoundError):  # the current folder has been removed
        if Path(os.getcwd()).is_relative_to(place):
            raise InputError(f"{name} is {out}, which is or holds the current folder, {expected}")
    for path in inputs:
        if real_path(path).is_relative_to(place):
            raise InputError(f"{name} is {out}, which is or holds {path}, an input, {expected}")
    for folder in images:
        if place.is_relative_to(real_path(folder)):
            raise InputError(
                f"{name} is {out}, which is among the images in {folder}, expected a folder beside it"
            )


def _image_folders(config: Any) -> Iterator[Path]:
    """Yield the folders of images that a configuration, or one that is nested in it, names."""
    hints = typing.get_type_hints(type(config), include_extras=True)
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            yield from _image_folders(value)
        elif hints[field.name] == ImageFolder:
            yield value


def _outputs(config: Any) -> Iterator[tuple[str, tuple[str, Path]]]:
    """Yield name, kind and path of each output of a configuration."""
    hints = typing.get_type_hints(type(config), include_extras=True)
    for field in fields(config):
        value = getattr(config, field.name)
        for hint in (hints[field.name], *typing.get_args(hints[field.name])):
            if hint in (OutputFolder, OutputFile, SavedFolder) and isinstance(value, Path):
                yield field.name, (hint.__metadata__[0], value)


def _paths(config: Any) -> Iterator[Path]:
    """Yield the paths in a configuration and those nested in it, without its outputs."""
    outputs = {name for name, _ in _outputs(config)}
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            yield from _paths(value)
        elif field.name not in outputs:
            yield from (
                item for item in (value if isinstance(value, tuple) else (value,)) if isinstance(item, Path)
            )
