"""Prepares all photographs of a folder in several processes; finished ones, and those left out, are kept."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from anifacegan.capture.face_fitter import FaceFitter
from anifacegan.capture.person_mask import PersonSegmenter
from anifacegan.capture.prepare import REPEATED, PreparedItem, Preparer, item_files
from anifacegan.cli.prepare.config import PrepareConfig
from anifacegan.cli.prepare.report import (
    PREPARED_FILE,
    PREPARED_ROW,
    REJECTED_FILE,
    REJECTED_ROW,
    REPORT_FILES,
    SETTINGS_FILE,
    report_folder,
    write_report,
)
from anifacegan.runtime.cpu import one_blas_thread
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import numeric_order, write_complete
from anifacegan.runtime.growing_folders import GrowingFolder
from anifacegan.runtime.image_files import IMAGE_SUFFIXES, is_image_file
from anifacegan.runtime.output_folders import own_files
from anifacegan.runtime.paths import exists
from anifacegan.runtime.processes import map_in_processes
from anifacegan.runtime.structured_text import parse_json, read_json

MOST_NAMED = 20
"""Largest number of photographs left out that are named on stderr; all are in the report."""
CHUNK = 4
"""Number of photographs that a process gets at a time."""


@dataclass(frozen=True)
class Job:
    """One photograph to prepare."""

    photograph: Path
    """Its file."""
    target: Path
    """Path of the files to write, without suffix."""
    mask: Path | None = None
    """Path of the mask to write, without suffix; None: no mask."""

    def masks(self, mirror: bool) -> list[Path]:
        """Return the masks that are written."""
        return [] if self.mask is None else item_files(self.mask, mirror, (".png",))

    def files(self, mirror: bool) -> list[Path]:
        """Return all files that are written."""
        return item_files(self.target, mirror) + self.masks(mirror)


def mask_folder(out: Path) -> Path:
    """Return the folder of a data set's masks, which is beside the data set: all images in that are its items."""
    return out.with_name(out.name + "-masks")


def prepare_images(config: PrepareConfig) -> str:
    """Prepare the photographs that are not finished; write the report, and return it as one line.

    Raises:
        InputError: a package or file is missing, ``out`` holds something else or another process writes to it, or no
            photograph could be used.
    """
    torch.set_num_threads(1)
    jobs, repeated = photographs_of(config)
    folder = report_folder(config.out)
    with ExitStack() as stack:
        report = stack.enter_context(GrowingFolder(folder, config.overwrite))
        out = stack.enter_context(GrowingFolder(config.out, config.overwrite))
        _require_same_settings(config, folder / SETTINGS_FILE)
        before = {config.out / name for name in own_files(config.out)}
        names = [
            str(path.relative_to(config.out))
            for job in jobs
            for path in item_files(job.target, config.mirror)
        ]
        out.require_room(names, (job.photograph for job in jobs))
        report.claim(REPORT_FILES)
        out.claim(names)
        if config.masks:
            beside = mask_folder(config.out)
            masks = stack.enter_context(GrowingFolder(beside, config.overwrite))
            before |= {beside / name for name in own_files(beside)}
            mask_names = [str(path.relative_to(beside)) for job in jobs for path in job.masks(config.mirror)]
            masks.require_room(mask_names, (job.photograph for job in jobs))
            masks.claim(mask_names)
        write_complete(folder / SETTINGS_FILE, json.dumps(_settings(config)) + "\n")
        known = folder / PREPARED_FILE
        prepared = _rows_of(known, PREPARED_ROW) if known.is_file() else None  # older runs wrote none
        finished = {
            job
            for job in jobs
            if before.issuperset(job.files(config.mirror))
            and _exists(job, config)
            and (prepared is None or _name(job, config) in prepared)
        }
        try:
            return _prepare_missing(config, jobs, repeated, finished)
        except NoUsablePhotographError:
            report.remove([SETTINGS_FILE, REJECTED_FILE, PREPARED_FILE])
            raise


class NoUsablePhotographError(InputError):
    """All photographs of a folder were left out."""


def _name(job: Job, config: PrepareConfig) -> str:
    """Return the name of an item in the data set, without suffix: it stays where the photographs are moved."""
    return job.target.relative_to(config.out).as_posix()


def _exists(job: Job, config: PrepareConfig) -> bool:
    return all(path.is_file() for path in job.files(config.mirror))


def _prepare_missing(config: PrepareConfig, jobs: list[Job], repeated: list[Path], finished: set[Job]) -> str:
    folder = report_folder(config.out)
    rejected = {
        path: (row[0], row[1]) for path, row in _rows_of(folder / REJECTED_FILE, REJECTED_ROW).items()
    }
    done = {_name(job, config) for job in finished}
    rows = _rows_of(folder / PREPARED_FILE, PREPARED_ROW)
    prepared = {name: row for name, row in rows.items() if name in done}
    todo = [job for job in jobs if str(job.photograph) not in rejected and job not in finished]
    names = {job.photograph: _name(job, config) for job in todo}
    with (
        _journal(folder / REJECTED_FILE, rejected) as left_out,
        _journal(folder / PREPARED_FILE, prepared) as used,
        tqdm(initial=len(jobs) - len(todo), total=len(jobs), unit="image", disable=None) as bar,
    ):
        for item in _prepared(config, todo):
            bar.update()
            if item.reason is None:
                prepared[names[item.photograph]] = [item.several, *item.offset]
                used(names[item.photograph])
            else:
                rejected[str(item.photograph)] = (item.reason, item.message)
                left_out(str(item.photograph))
    for photograph in repeated:
        message = f"{photograph}: another photograph of the folder gives files of the same name"
        rejected[str(photograph)] = (REPEATED, message)
    _name_rejected(rejected)
    targets = [job.target for job in jobs if str(job.photograph) not in rejected and _exists(job, config)]
    if not targets:
        message = next(iter(rejected.values()))[1]
        raise NoUsablePhotographError(
            f"{config.images}: no usable photograph of {len(jobs)}; the first: {message}"
        )
    return write_report(config, targets, rejected, list(prepared.values()))


def photographs_of(config: PrepareConfig) -> tuple[list[Job], list[Path]]:
    """List the photographs of a folder and its folders in numeric order, and those whose names repeat another's.

    Raises:
        InputError: the folder is missing, holds no photographs, or holds ``out``'s files.
    """
    images = config.images.expanduser()
    if not images.is_dir():
        raise InputError(f"{images}: no such folder, expected a folder of photographs")
    out = config.out.resolve()
    if images.resolve() == out:
        raise InputError(f"out is {config.out}, the folder of the photographs; expected another one")
    found = [
        path
        for path in images.rglob("*")
        if is_image_file(path.name)
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(images).parts)
        and not path.resolve().is_relative_to(out)
        and not path.resolve().is_relative_to(report_folder(out))
        and not path.resolve().is_relative_to(mask_folder(out))
    ]
    if not found:
        raise InputError(f"{images}: no photographs in the folder, expected {', '.join(IMAGE_SUFFIXES)}")
    jobs: dict[Path, Job] = {}
    repeated, taken = [], set()
    for path in sorted(found, key=lambda path: numeric_order(str(path.relative_to(images)))):
        inside = path.relative_to(images)
        target = config.out / inside.parent / inside.stem
        files = item_files(target, config.mirror)
        if taken.isdisjoint(files):
            mask = mask_folder(config.out) / inside.parent / inside.stem if config.masks else None
            jobs[target] = Job(path, target, mask)
            taken.update(files)
        else:
            repeated.append(path)
    return list(jobs.values()), repeated


def _settings(config: PrepareConfig) -> dict[str, object]:
    """Return the options that all items of a data set share."""
    return {"size": config.size, "camera": config.camera, "mirror": config.mirror, "blur": config.blur}


def _require_same_settings(config: PrepareConfig, path: Path) -> None:
    """Require that an earlier run had the same settings.

    Raises:
        InputError: it had others, or there was none and the folder holds images.
    """
    if config.overwrite:
        return
    if not exists(path):
        if config.out.is_dir() and any(is_image_file(item.name) for item in config.out.iterdir()):
            raise InputError(f"{config.out} holds images of another program; choose another --out")
        return
    found = read_json(path, "settings of 'anifacegan prepare'")
    for key, value in _settings(config).items():
        old = found.get(key) if isinstance(found, dict) else None
        if old != value:
            raise InputError(
                f"{config.out} holds images with {key} {old}, expected {value}; choose another --out"
            )


def _rows_of(path: Path, kinds: tuple[type, ...]) -> dict[str, list[Any]]:
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
def _journal(path: Path, rows: Mapping[str, Iterable[Any]]) -> Iterator[Callable[[str], None]]:
    """Write a file of rows, and yield a function that adds the row of one name, which is in ``rows`` by then."""

    def line(name: str) -> str:
        return json.dumps([name, *rows[name]]) + "\n"

    write_complete(path, "".join(map(line, rows)))  # without a torn line
    with path.open("a", encoding="utf-8") as file:

        def add(name: str) -> None:
            file.write(line(name))
            file.flush()

        yield add


def _name_rejected(rejected: dict[str, tuple[str, str]]) -> None:
    for _, message in list(rejected.values())[:MOST_NAMED]:
        print(f"left out: {message}", file=sys.stderr)
    if len(rejected) > MOST_NAMED:
        print(f"left out: {len(rejected) - MOST_NAMED} more, see the report", file=sys.stderr)


def _prepared(config: PrepareConfig, jobs: list[Job]) -> Iterator[PreparedItem]:
    """Yield what became of each photograph, in their order.

    The first one is prepared in this process: what is missing is said here, before others are started.
    """
    if not jobs:
        return
    count = min(config.processes or os.cpu_count() or 1, len(jobs))
    alone = jobs if count == 1 else jobs[:1]
    with _preparer(config) as preparer, one_blas_thread():
        yield from (preparer.prepare(job.photograph, job.target, job.mask) for job in alone)
    yield from map_in_processes(_work, config, jobs[len(alone) :], count, CHUNK)


@contextmanager
def _preparer(config: PrepareConfig) -> Iterator[Preparer]:
    segmenting = PersonSegmenter(config.person_model) if config.masks else nullcontext()
    with (
        segmenting as segmenter,
        FaceFitter(config.face_model, config.landmark_model, config.network) as fitter,
    ):
        yield Preparer(fitter, config.size, config.camera, config.mirror, config.blur, segmenter)


_until_exit = ExitStack()
_of_this_process: Preparer | None = None
"""The preparer of a process of the pool, made for its first photograph and kept until the process ends."""


def _work(config: PrepareConfig, job: Job) -> PreparedItem:
    global _of_this_process
    if _of_this_process is None:
        _of_this_process = _until_exit.enter_context(_preparer(config))
    with one_blas_thread():
        return _of_this_process.prepare(job.photograph, job.target, job.mask)
