"""File that describes a synthetic data set, and the version of the data set's format."""

import shlex
from pathlib import Path
from typing import Any

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.structured_text import parse_json

DESCRIPTION_FILE = "dataset.json"
"""Name of the file in a synthetic data set that records what its images are made of."""
FORMAT_VERSION = 4
"""Version of images and coefficient files. It is raised when the code gives another image for the same (seed, index),
or when values in the coefficient files get another meaning. In format 1, the y axis of ``lm68`` pointed up. In format
2, closed lids did not meet, and the key ``face_model_sha256`` was a checksum of the face model's whole file. In format
3, hair was painted, and ``noise`` had another meaning."""
SYNTHETIC_KEYS = ("format", "face_model")
"""Keys that only the description of a synthetic data set has; other programs' files of the same name lack them."""
MOST_IMAGES = 10_000_000
"""Largest number of images of a data set."""


def parsed_description(content: str | bytes, label: Path) -> dict[str, Any]:
    """Parse the content of a file dataset.json; ``label`` names the file in error messages.

    The result is empty if the file belongs to another program and does not describe a synthetic data set.

    Raises:
        InputError: the file is no JSON file, or it describes a synthetic data set of another format.
    """
    description = parse_json(content, label)
    if not isinstance(description, dict) or not all(key in description for key in SYNTHETIC_KEYS):
        return {}
    if description["format"] != FORMAT_VERSION:
        raise InputError(
            f"{label}: synthetic data set of format {description['format']!r}, expected {FORMAT_VERSION}; "
            f"delete it and make it again: {making_command(description, label.parent)}"
        )
    return description


def described_count(description: dict[str, Any], label: Path) -> int:
    """Return the number of images of a synthetic data set; ``label`` names the file of its description.

    Raises:
        InputError: the file has none that a data set can have.
    """
    count = description.get("count")
    if type(count) is not int or not 0 <= count <= MOST_IMAGES:  # a bool is none
        raise InputError(f"{label}: count is {count!r}, expected a whole number, at most {MOST_IMAGES}")
    return count


def making_command(description: dict[str, Any], source: Path) -> str:
    """Return the command that makes a data set again; ``source`` is its folder or archive."""
    values = {key: str(description[key]) for key in ("count", "size", "seed") if key in description}
    options = [f"--{key} {shlex.quote(value)}" for key, value in values.items()]
    is_archive = source.suffix == ".zip"
    out = shlex.quote(str(source.with_suffix("") if is_archive else source))
    return " ".join(["anifacegan dataset --out", out, *options, *["--zip"] * is_archive])
