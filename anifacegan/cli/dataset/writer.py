"""Writes a data set of synthetic people. Image number i depends on (seed, i) only; images that are already finished are
kept.
"""

import dataclasses
import json
import re
import zipfile
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from anifacegan.cli.dataset.checksums import (
    checksums_text,
    note_checksums,
    read_checksums,
    write_checksums,
)
from anifacegan.cli.dataset.config import DatasetConfig
from anifacegan.cli.dataset.finished import is_finished, item_paths, known_checksums
from anifacegan.data.description import DESCRIPTION_FILE, FORMAT_VERSION, described_count, parsed_description
from anifacegan.data.file_sources import first_image
from anifacegan.data.listed_checksums import CHECKSUMS_FILE
from anifacegan.data.synthetic.renderer import SyntheticRenderer, load_synthetic_renderer, render_item
from anifacegan.data.synthetic.sampling import item_identity
from anifacegan.data.synthetic.surface.head import HeadGeometry
from anifacegan.face_model.coefficients import mat_content
from anifacegan.face_model.open_model import HeadParts
from anifacegan.face_model.people import proportions
from anifacegan.runtime.errors import InputError, say
from anifacegan.runtime.files import complete_or_absent, remove_leftovers, sha256, write_complete
from anifacegan.runtime.growing_folders import GrowingFolder
from anifacegan.runtime.image_files import encoded_image
from anifacegan.runtime.paths import exists, require_file, require_writable_folder
from anifacegan.runtime.processes import map_in_processes

_ABOUT = (DESCRIPTION_FILE, CHECKSUMS_FILE)
"""Names of the files of a data set that are no items."""
COUNTED_PEOPLE = 10_000
"""Largest number of people whose sexes, ages and descents are counted."""


def write_dataset(config: DatasetConfig) -> int:
    """Render the images of a synthetic data set that are not finished yet; return how many these were.

    Raises:
        InputError: no face model, or a folder that holds another data set.
    """
    torch.set_num_threads(1)
    require_writable_folder(config.out)
    renderer = load_synthetic_renderer(config.face_model)
    if config.zip:
        require_room_for_archive(config)
    with GrowingFolder(config.out) as folder:
        before = require_same_dataset(config, renderer.head)
        parts = renderer.head.parts
        known = known_checksums(config, parts, max(config.count, before))
        if config.zip:
            require_own_entries(config, known)
        missing = [index for index in range(config.count) if not is_finished(config, parts, index, known)]
        folder.claim([])
        describe(config, renderer.head)
        write_checksums(config.out, known)
        _write(config, renderer, missing)
        return len(missing)


def _write(config: DatasetConfig, renderer: SyntheticRenderer, missing: list[int]) -> None:
    if missing:
        renderer.prepare()  # once, and not in every process
    made = map_in_processes(partial(make_item, config), renderer, missing, config.processes)
    say(f"{config.out}: {set_proportions(config, renderer)}")
    done = config.count - len(missing)
    with tqdm(initial=done, total=config.count, unit="image", disable=None) as progress:
        for _ in made:
            progress.update()
    checksums = read_checksums(config.out, config.overwrite) or {}
    write_checksums(config.out, checksums)  # in order, and each file once
    if config.zip:
        archive(config, renderer.head.parts, checksums)


def set_proportions(config: DatasetConfig, renderer: SyntheticRenderer) -> str:
    """Return one line of text with the shares of sexes, ages and descents among the people of the data set, as they are
    predicted from the identity coefficients; of a large set, among its first COUNTED_PEOPLE."""
    parts, count = renderer.head.parts, min(config.count, COUNTED_PEOPLE)
    identities = [item_identity(parts, config.seed, index) for index in range(count)]
    shares = proportions(renderer.prior.groups(np.stack(identities)))
    return shares if count == config.count else f"of the first {count}: {shares}"


def description_of(config: DatasetConfig, head: HeadGeometry) -> dict[str, Any]:
    """Return the content of dataset.json without the count: what the images are made of."""
    return {
        "format": FORMAT_VERSION,
        "seed": config.seed,
        "size": config.size,
        "face_model": head.name,
        "coefficients_sha256": head.coefficients_sha256(),
        "texture_sha256": head.texture_sha256(),
        "world_offset": [round(x, 6) for x in head.world_offset.tolist()],
        "pitch_offset": 0.0,
    }


def require_same_dataset(config: DatasetConfig, head: HeadGeometry) -> int:
    """Require that a folder holds no images, or some of this data set; return their count.

    Raises:
        InputError: it holds other images, or images of another format.
    """
    path = config.out / DESCRIPTION_FILE
    if exists(path):
        require_file(path, "the description of a data set")
        found = parsed_description(path.read_bytes(), path)
        for key, value in description_of(config, head).items():
            if found.get(key) != value:
                raise InputError(
                    f"{config.out} holds a data set with {key} {found.get(key)}, expected {value}"
                )
        return described_count(found, path)
    if not config.overwrite:
        of_items = (
            path.name for path in config.out.glob("[0-9]*") if re.fullmatch(r"\d+\.mat", path.name.lower())
        )
        first = first_image(config.out) or next(of_items, None)
        if first is not None:
            raise InputError(
                f"{config.out} holds images but no {DESCRIPTION_FILE} (the first file is {first}), and they would be "
                "items of the data set; choose another --out"
            )
    return 0


def describe(config: DatasetConfig, head: HeadGeometry) -> None:
    """Write dataset.json into the data set's folder; it records what the images are made of.

    Raises:
        InputError: the folder holds other images, or images of another format.
    """
    count = max(config.count, require_same_dataset(config, head))
    config.out.mkdir(parents=True, exist_ok=True)
    remove_leftovers(
        config.out, r"\d{6,}\.(png|mat)|(dataset\.json|checksums\.txt)"
    )  # of a process that was killed
    write_complete(config.out / DESCRIPTION_FILE, described(description_of(config, head) | {"count": count}))


def described(facts: dict[str, Any]) -> str:
    """Return the text of dataset.json."""
    return json.dumps(facts, indent=2) + "\n"


def make_item(config: DatasetConfig, renderer: SyntheticRenderer, index: int) -> None:
    """Render image number ``index`` and write its two files."""
    image, face = render_item(renderer, config.seed, index, config.size)
    image_path, coefficients_path = item_paths(config.out, index)
    contents = {coefficients_path: mat_content([face]), image_path: encoded_image(image, compress_level=1)}
    note_checksums(config.out, {path.name: sha256([content]) for path, content in contents.items()})
    for path, content in contents.items():
        write_complete(path, content)


def require_room_for_archive(config: DatasetConfig) -> None:
    """Require that OUT.zip is not there, or is an archive of this folder's data set and of nothing else.

    Raises:
        InputError: another file is in the way, or there are files of others in it, and ``overwrite`` is not set.
    """
    path, description = archive_path(config.out), config.out / DESCRIPTION_FILE
    if config.overwrite or not exists(path):
        return
    require_file(path, "an archive of this data set, or another --out")
    try:
        with zipfile.ZipFile(path) as found:
            if found.getinfo(DESCRIPTION_FILE).file_size > 2**20:
                raise KeyError
            before = parsed_description(found.read(DESCRIPTION_FILE), path / DESCRIPTION_FILE)
            names = found.namelist()
        same = description.is_file() and before | {"count": 0} == (
            parsed_description(description.read_bytes(), description) | {"count": 0}
        )
    except (OSError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error, InputError, NotImplementedError):
        same = False
    if not same:
        raise InputError(f"{path}: is in the way and no archive of this data set, expected another --out")
    seen = set()
    for name in names:
        if name in seen or not (name in _ABOUT or re.fullmatch(r"[0-9]{6,}\.(png|mat)", name)):
            raise InputError(
                f"{path}: is in the way, {name!r} in it is no file of this data set, expected another --out, or "
                "--overwrite true"
            )
        seen.add(name)


def require_own_entries(config: DatasetConfig, checksums: Mapping[str, str]) -> None:
    """Require that each image and coefficient file in OUT.zip holds what this program wrote into the folder under its
    name, and the list of checksums in it those of these files; ``checksums`` are those of what it wrote.

    Raises:
        InputError: one does not, and ``overwrite`` is not set.
    """
    path = archive_path(config.out)
    if config.overwrite or not exists(path):
        return
    with zipfile.ZipFile(path) as found:
        items = [entry.filename for entry in found.infolist() if entry.filename not in _ABOUT]
        listed = checksums_text({name: checksums[name] for name in items if name in checksums})
        expected = dict(checksums) | {CHECKSUMS_FILE: sha256([listed.encode()])}
        for entry in (entry for entry in found.infolist() if entry.filename != DESCRIPTION_FILE):
            if entry.filename not in expected or _entry_sha256(found, entry) != expected[entry.filename]:
                raise InputError(
                    f"{path}: is in the way, {entry.filename!r} in it is not what was made for this data set, expected "
                    "another --out, or --overwrite true"
                )


def _entry_sha256(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> str | None:
    """Return the checksum of a file in an archive; None if it cannot be read, or is compressed, as ours are not."""
    if entry.compress_type != zipfile.ZIP_STORED:
        return None
    try:
        with archive.open(entry) as stream:
            return sha256(iter(lambda: stream.read(2**20), b""))
    except (OSError, RuntimeError, zipfile.BadZipFile):  # cut off, encrypted or damaged
        return None


def archive_path(out: Path) -> Path:
    """Return the path of a data set's archive: OUT.zip beside the folder OUT."""
    return out.resolve().with_name(out.resolve().name + ".zip")


def archive(config: DatasetConfig, parts: HeadParts, checksums: Mapping[str, str]) -> None:
    """Write the images of a folder's data set, up to the first that is not finished, to OUT.zip, with a description and
    the checksums of these and without dates, so that the same data set gives the same bytes. The images that ``config``
    asks for are finished; ``checksums`` are those of all that were made.
    """
    out = config.out
    path, description = archive_path(out), out / DESCRIPTION_FILE
    about = parsed_description(description.read_bytes(), description)
    more = range(config.count, about["count"])
    any_file = dataclasses.replace(config, overwrite=True)  # files of others count as missing
    count = next(
        (index for index in more if not is_finished(any_file, parts, index, checksums)), about["count"]
    )
    files = [path for index in range(count) for path in item_paths(out, index)]
    listed = checksums_text({file.name: checksums[file.name] for file in files if file.name in checksums})
    with complete_or_absent(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as target:
        target.writestr(zipfile.ZipInfo(DESCRIPTION_FILE), described(about | {"count": count}))
        target.writestr(zipfile.ZipInfo(CHECKSUMS_FILE), listed)
        for file in files:
            target.writestr(zipfile.ZipInfo(file.name), file.read_bytes())
