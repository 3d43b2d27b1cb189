"""Data sets whose making was stopped: a reader says so in one line, and reads the images that are there."""

import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from anifacegan.data.description import making_command
from anifacegan.data.file_sources import FolderFiles, ZipFiles
from anifacegan.runtime.errors import InputError, say_once
from anifacegan.runtime.image_files import is_image_file
from anifacegan.runtime.structured_text import read_json

UNFINISHED_FILE = ".anifacegan.unfinished.json"
"""Name of the file that 'anifacegan prepare' has in a data set's folder until its last photograph: its key
``photographs`` holds their number."""


def say_unfinished(files: FolderFiles | ZipFiles, descriptions: Mapping[str, dict[str, Any]]) -> None:
    """Say on standard error, once in a process, which data sets among files lack images; of the processes of a training
    run, the first says so. ``descriptions`` are the contents of the files dataset.json by their names."""
    if os.environ.get("RANK", "0") == "0":
        for line in (*_synthetic_lines(files, descriptions), *_prepared_lines(files)):
            say_once(line)


def _synthetic_lines(files: FolderFiles | ZipFiles, descriptions: Mapping[str, dict[str, Any]]) -> list[str]:
    """Return a line for each folder with fewer images than its description says."""
    images, lines = Counter(_folder(name) for name in files.names if is_image_file(name)), []
    for name, description in descriptions.items():
        folder, made, count = files.label(name).parent, images[_folder(name)], description.get("count")
        if type(count) is int and made < count:
            how = making_command(description, folder)
            lines.append(f"{folder}: unfinished, {made} of {count} images; the others: {how}")
    return lines


def _prepared_lines(files: FolderFiles | ZipFiles) -> list[str]:
    """Return a line if 'anifacegan prepare' was stopped in a folder; a zip does not tell."""
    if not isinstance(files, FolderFiles) or not (files.root / UNFINISHED_FILE).is_file():
        return []
    note, made = None, sum(map(is_image_file, files.names))
    with suppress(InputError):
        note = read_json(files.root / UNFINISHED_FILE, "a note of 'anifacegan prepare'")
    photographs = note.get("photographs") if isinstance(note, dict) else None
    return [
        f"{files.root}: unfinished, {made} images of {photographs or 'an unknown number of'} photographs; "
        "'anifacegan prepare', with the options that it had, goes on"
    ]


def _folder(name: str) -> str:
    return name.rpartition("/")[0]
