"""Which items of a data set are finished: a whole image of the set's size, and the coefficient file that belongs to it.

A file that is missing, empty, cut off or damaged is made again. Any other that is not the item's own was put there by
somebody, and is not replaced. The item's own are known by their checksums; in a data set of an older version, which has
none, an image of the set's size that is whole counts as its own.
"""

import dataclasses
import io
import re
import struct
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from anifacegan.cli.dataset.checksums import read_checksums
from anifacegan.cli.dataset.config import DatasetConfig
from anifacegan.data.synthetic.sampling import item_identity
from anifacegan.face_model.coefficients import MAT_TITLE
from anifacegan.face_model.open_model import HeadParts
from anifacegan.geometry.conventions import ID_DIM
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import file_sha256, sha256
from anifacegan.runtime.image_files import PNG_END, PNG_MAGIC, require_png_checksums
from anifacegan.runtime.mat_elements import require_whole

_IDENTITY = struct.pack("<HH2sxxII", 1, 2, b"id", 7, 4 * ID_DIM)
"""What stands before the identity coefficients in our .mat files: the name, and the tag of ID_DIM float32."""
_LAST_KEY = b"face_model"
_IDENTITY_TOLERANCE = 1e-4
"""Largest difference of identity coefficients that are equal: other processors round the last bit of float32
differently; among 2,000 people, the two most alike differ by 0.08."""


def item_paths(out: Path, index: int) -> tuple[Path, Path]:
    """Return the paths of the image file and the coefficient file of image number ``index``."""
    return out / f"{index:06d}.png", out / f"{index:06d}.mat"


def known_checksums(config: DatasetConfig, parts: HeadParts, count: int) -> dict[str, str]:
    """Return the checksums of the files of a data set of ``count`` images, by name: those of its list, or those of all
    finished items where it has no list.

    Raises:
        InputError: the list is somebody else's, or a file cannot be read.
    """
    known = read_checksums(config.out, config.overwrite)
    if known is not None:
        return known
    any_file = dataclasses.replace(config, overwrite=True)  # files of others count as missing
    there = (
        int(path.stem) for path in config.out.glob("*.png") if re.fullmatch(r"[0-9]{6,9}\.png", path.name)
    )
    some = sorted(index for index in there if index < count)
    items = (index for index in some if is_finished(any_file, parts, index, None))
    return {path.name: file_sha256(path) for index in items for path in item_paths(config.out, index)}


def is_finished(
    config: DatasetConfig, parts: HeadParts, index: int, checksums: Mapping[str, str] | None
) -> bool:
    """Return whether both files of image number ``index`` are there, whole and its own. With ``overwrite``, files of
    others count as missing.

    ``checksums`` are those of the data set's files, by name; None if they are not known.

    Raises:
        InputError: a file of others is in the way, or a file cannot be read.
    """
    image_path, coefficients_path = item_paths(config.out, index)
    identity = partial(item_identity, parts, config.seed, index)
    try:
        both = (
            _is_own_image(image_path, config.size, checksums),
            _is_own_face(coefficients_path, identity, checksums),
        )
    except InputError:
        if not config.overwrite:
            raise
        return False
    except OSError as error:
        place = error.filename or image_path
        raise InputError(
            f"{place}: cannot be read ({error.strerror or error}), expected an item of a data set"
        ) from None
    return all(both)


def _is_own_image(path: Path, size: int, checksums: Mapping[str, str] | None) -> bool:
    """Return whether a file is the image of its item; False if it is missing, empty, damaged or the beginning of one.

    Raises:
        InputError: it is something else.
    """
    expected = PNG_MAGIC + struct.pack(">I4sIIBB", 13, b"IHDR", size, size, 8, 2)
    try:
        _require_file(path)
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    if checksums is not None and checksums.get(path.name) == sha256([content]):
        return True
    start = content[: len(expected)]
    if not start.strip(b"\0") or (start != expected and expected.startswith(start)):
        return False
    if start != expected:
        raise _not_ours(path, f"an image of {size} x {size} px, 8-bit RGB")
    try:
        require_png_checksums(content)
    except OSError:
        return False
    if not content.endswith(PNG_END):
        return False
    if checksums is not None:
        raise _not_ours(path, "the image that was made there")
    return True


def _is_own_face(
    path: Path, identity: Callable[[], Float[np.ndarray, "80"]], checksums: Mapping[str, str] | None
) -> bool:
    """Return whether a coefficient file is that of its item, of a person; False if it is missing, empty, damaged or the
    beginning of one.

    Raises:
        InputError: it is something else, or another person's.
    """
    try:
        _require_file(path)
        content = path.read_bytes()
    except FileNotFoundError:
        return False
    if checksums is not None and checksums.get(path.name) == sha256([content]):
        return True
    if not content.strip(b"\0") or MAT_TITLE.startswith(content):
        return False
    if content.startswith(MAT_TITLE):
        try:
            require_whole(io.BytesIO(content))
        except EOFError:
            return False
        if _LAST_KEY not in content:
            return False
        _, found, numbers = content.partition(_IDENTITY)
        if found and len(numbers) >= 4 * ID_DIM:
            difference = np.frombuffer(numbers, "<f4", ID_DIM) - identity()
            if np.abs(difference).max() <= _IDENTITY_TOLERANCE:
                return checksums is None  # the item's own, but not as it was written
    raise _not_ours(path, "the coefficients of its image")


def _require_file(path: Path) -> None:
    """Raise an InputError if something is there that is no file, such as a folder or a pipe."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is no file, expected room for one")


def _not_ours(path: Path, expected: str) -> InputError:
    return InputError(
        f"{path}: is in the way and not of this data set, expected {expected}, another --out, or --overwrite true"
    )
