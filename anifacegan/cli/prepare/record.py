"""What runs of 'anifacegan prepare' note beside a data set: settings that all its items share, and a line for each
photograph, so that a later run goes on with the fits that it would make itself, and with no others."""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from anifacegan.capture.landmark_model import landmark_model_bytes
from anifacegan.capture.person_mask import person_model_bytes
from anifacegan.cli.prepare.config import PrepareConfig
from anifacegan.data.file_sources import first_image
from anifacegan.data.unfinished_sets import UNFINISHED_FILE
from anifacegan.face_model.open_model import face_model_path, read_open_face_file
from anifacegan.models.model_folder import weights_sha256
from anifacegan.runtime.errors import InputError, say
from anifacegan.runtime.files import file_sha256, sha256, write_complete
from anifacegan.runtime.growing_folders import GrowingFolder
from anifacegan.runtime.image_files import is_image_file
from anifacegan.runtime.paths import exists, user_path
from anifacegan.runtime.structured_text import parse_json, read_json

SETTINGS_FILE, REJECTED_FILE, PREPARED_FILE = "settings.json", "left_out.jsonl", "prepared.jsonl"
"""Files of the report's folder: options and files that a resumed run must share, photographs left out, and those used,
one a line."""
JOURNALS = (PREPARED_FILE, REJECTED_FILE)
"""Those of them that grow line by line."""
REJECTED_ROW, PREPARED_ROW = (str, str, str), (str, bool, float, float, float, float)
"""Types of what a line holds after the photograph's path, and after the item's name: the photograph's stamp, then
reason and message; or its stamp, whether there are several faces, and the offset of
:class:`anifacegan.capture.prepare.PreparedItem`."""
PERSON_MODEL = "person_model"
"""Name of the setting that only masks share."""
DIGITS = 16
"""Number of hexadecimal digits of a checksum that are noted."""
READ_AT_ONCE = 4
"""Number of photographs of which checksums are computed at a time, while others are read from a disk."""
_STAMP_WITH_TIME = re.compile(r".* \d+ \d+", re.DOTALL)
"""Stamps of earlier versions: name, size and time of modification."""
_NOT_READABLE = " not readable"
"""End of the stamp of a photograph that cannot be read now."""


def stamp_of(photograph: Path) -> str:
    """Return what tells a photograph from one that takes its place: name, and size and checksum of its content. It
    stays where the folder is moved or copied."""
    try:
        return f"{photograph.name} {photograph.stat().st_size} sha256 {file_sha256(photograph)[:DIGITS]}"
    except OSError:  # said, with its reason, when it is prepared
        return f"{photograph.name}{_NOT_READABLE}"


def stamps_of(photographs: Sequence[Path]) -> dict[Path, str]:
    """Return the stamp of each photograph; a bar on a terminal shows how many have been read."""
    pool = ThreadPoolExecutor(READ_AT_ONCE, "checksums")
    bar = tqdm(
        pool.map(stamp_of, photographs),
        desc="checksums",
        total=len(photographs),
        unit="image",
        leave=False,
        disable=not sys.stderr.isatty(),
    )
    try:
        return dict(zip(photographs, bar, strict=True))
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C waits for no other photograph


def renewed_rows(
    path: Path, kinds: tuple[type, ...], photographs: Mapping[str, tuple[Path, str]]
) -> dict[str, list[Any]]:
    """Read a file of rows as :func:`rows_of` does, and note in it today's stamps of photographs of which an earlier
    version noted the time of modification, if that, their names and sizes are the same.

    ``photographs`` are the file and the stamp of each row's photograph.
    """
    rows, renewed = rows_of(path, kinds), False
    for name in rows.keys() & photographs.keys():
        photograph, stamp = photographs[name]
        if not _STAMP_WITH_TIME.fullmatch(rows[name][0]) or stamp.endswith(_NOT_READABLE):
            continue
        with suppress(OSError):  # it has gone since its checksum was computed
            facts = photograph.stat()
            if rows[name][0] == f"{photograph.name} {facts.st_size} {facts.st_mtime_ns}":
                rows[name][0], renewed = stamp, True
    if renewed:
        with journal(path, rows):
            pass
    return rows


def say_noted_without_checksum(out: Path, stamps: Iterable[str]) -> None:
    """Say, in one line on standard error, how many fits are made again because an earlier version noted another time or
    size of their photograph, and no checksum."""
    count = sum(_STAMP_WITH_TIME.fullmatch(stamp) is not None for stamp in stamps)
    if count:
        say(
            f"{out}: {count} photographs are fitted again: an earlier version noted no checksum of them, and another "
            "time or size"
        )


def settings_of(config: PrepareConfig) -> dict[str, Any]:
    """Return all that the fits of a data set share: options, and checksums of the files that fits are made with.

    Raises:
        InputError: a file is missing.
    """
    options = {"size": config.size, "camera": config.camera, "mirror": config.mirror, "blur": config.blur}
    return options | checksums_of(config)


def checksums_of(config: PrepareConfig) -> dict[str, str | None]:
    """Return a checksum of each file that fits, and masks if asked for, are made with, by its option; None where none
    is used.

    Raises:
        InputError: a file is missing.
    """
    face_model = face_model_path() if config.face_model is None else user_path(config.face_model)
    if not face_model.is_file():
        read_open_face_file(config.face_model, ())  # says what is missing
    found = {
        "network": None if config.network is None else weights_sha256(config.network),
        "face_model": file_sha256(face_model),
        "landmark_model": sha256([landmark_model_bytes(config.landmark_model)[1]]),
    }
    if config.masks:
        found[PERSON_MODEL] = sha256([person_model_bytes(config.person_model)[1]])
    return {name: None if value is None else f"sha256 {value[:DIGITS]}" for name, value in found.items()}


def mask_folder(out: Path) -> Path:
    """Return the folder of a data set's masks, which is beside the data set: all images in that are its items."""
    return out.with_name(out.name + "-masks")


def shares_settings(config: PrepareConfig, path: Path, settings: Mapping[str, Any]) -> bool:
    """Return whether an earlier run, whose settings are in the file ``path``, had the same; False if there was none, or
    if there are masks of which nobody knows whether they belong to its images.

    Raises:
        InputError: it had others, or there was none and the folder holds images, and nothing may be replaced.
    """
    if not exists(path):
        image = None if config.overwrite else first_image(config.out)
        if image is not None:
            raise InputError(
                f"{config.out} holds images (the first is {image}) that would be items, and {path.parent.name}, by "
                "which it knows its own, is missing beside it: move that folder, too, or choose another --out"
            )
        return False
    try:
        found = read_json(path, "settings of 'anifacegan prepare'")
    except InputError:
        if not config.overwrite:
            raise
        return False
    found = found if isinstance(found, dict) else {}
    again = "choose another --out, or --overwrite true, which fits all photographs again"
    for key, value in settings.items():
        if key in found and found[key] != value and not config.overwrite:
            raise InputError(f"{config.out} holds images with {key} {found[key]}, expected {value}; {again}")
    unknown_masks = PERSON_MODEL in settings and PERSON_MODEL not in found
    missing = [key for key in settings if key not in found and key != PERSON_MODEL]
    if missing and not config.overwrite:
        raise InputError(
            f"{config.out} is of an earlier version, which did not note {', '.join(missing)}; {again}"
        )
    if unknown_masks and any(mask_folder(config.out).rglob("*.png")):
        return False
    return not missing and all(found.get(key, value) == value for key, value in settings.items())


def write_settings(path: Path, settings: Mapping[str, Any], goes_on: bool) -> None:
    """Note the settings of a run; one that ``goes_on`` without masks keeps the note of the earlier ones' masks."""
    earlier = read_json(path, "settings of 'anifacegan prepare'") if goes_on else {}
    write_complete(path, json.dumps({**earlier, **settings}) + "\n")


def rows_of(path: Path, kinds: tuple[type, ...]) -> dict[str, list[Any]]:
    """Read what an earlier run wrote of each photograph, by its path or name; a torn last line is ignored.

    ``kinds`` are the types of a row's values.
    """
    rows = {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    for line in lines:
        try:
            row = parse_json(line, path)
        except InputError:
            continue
        if isinstance(row, list) and tuple(map(type, row)) == (str, *kinds):
            rows[row[0]] = row[1:]
    return rows


@contextmanager
def journal(path: Path, rows: Mapping[str, Iterable[Any]]) -> Iterator[Callable[[str], None]]:
    """Write a file of rows, and yield a function that adds the row of one name, which is in ``rows`` by then."""

    def line(name: str) -> str:
        return json.dumps([name, *rows[name]]) + "\n"

    write_complete(path, "".join(map(line, rows)))  # without a torn line
    with path.open("a", encoding="utf-8") as file:

        def add(name: str) -> None:
            file.write(line(name))
            file.flush()

        yield add


@contextmanager
def noted_as_unfinished(out: GrowingFolder, photographs: int) -> Iterator[None]:
    """Note in a data set's folder, until the block ends, that images of its photographs may be missing, for those who
    read it. If the block is stopped, the note stays, unless the folder has no images."""
    write_complete(out.file(UNFINISHED_FILE), json.dumps({"photographs": photographs}) + "\n")
    try:
        yield
    except BaseException:
        if any(is_image_file(path.name) for path in out.path.rglob("*")):
            raise
        out.remove([UNFINISHED_FILE])
        raise
    out.remove([UNFINISHED_FILE])
