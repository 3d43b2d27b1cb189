"""Prepares all photographs of a folder in several processes; finished ones, and those left out, are kept."""

import json
import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from anifacegan.capture.face_fitter import FaceFitter
from anifacegan.capture.person_mask import PersonSegmenter
from anifacegan.capture.prepare import REPEATED, PreparedItem, Preparer, item_files
from anifacegan.cli.prepare.config import PrepareConfig
from anifacegan.cli.prepare.report import (
    REJECTED_FILE,
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
from anifacegan.runtime.structured_text import parse_json, read_json

MOST_NAMED = 20
"""Largest number of photographs left out that are named on stderr; all are in the report."""


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
        finished = {
            job for job in jobs if before.issuperset(job.files(config.mirror)) and _exists(job, config)
        }
        try:
            return _prepare_missing(config, jobs, repeated, finished)
        except NoUsablePhotographError:
            report.remove([SETTINGS_FILE, REJECTED_FILE])
            raise


class NoUsablePhotographError(InputError):
    """All photographs of a folder were left out."""


def _exists(job: Job, config: PrepareConfig) -> bool:
    return all(path.is_file() for path in job.files(config.mirror))


def _prepare_missing(config: PrepareConfig, jobs: list[Job], repeated: list[Path], finished: set[Job]) -> str:
    log_file = report_folder(config.out) / REJECTED_FILE
    rejected = _read_rejected(log_file)
    todo = [job for job in jobs if str(job.photograph) not in rejected and job not in finished]
    offsets, several = [], 0
    with (
        log_file.open("a", encoding="utf-8") as log,
        tqdm(initial=len(jobs) - len(todo), total=len(jobs), unit="image", disable=None) as bar,
    ):
        for item in _prepared(config, todo):
            bar.update()
            if item.reason is None:
                offsets.append(item.offset)
                several += item.several
                continue
            rejected[str(item.photograph)] = (item.reason, item.message)
            log.write(json.dumps([str(item.photograph), item.reason, item.message]) + "\n")
            log.flush()
    for path in repeated:
        message = f"{path}: another photograph of the folder gives files of the same name"
        rejected[str(path)] = (REPEATED, message)
    _name_rejected(rejected)
    targets = [job.target for job in jobs if str(job.photograph) not in rejected and _exists(job, config)]
    if not targets:
        message = next(iter(rejected.values()))[1]
        raise NoUsablePhotographError(
            f"{config.images}: no usable photograph of {len(jobs)}; the first: {message}"
        )
    return write_report(config, targets, rejected, offsets, several)


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


def _read_rejected(path: Path) -> dict[str, tuple[str, str]]:
    """Read the photographs that an earlier run left out: reason and message by path; a torn last line is ignored."""
    rejected = {}
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    for line in lines:
        try:
            row = parse_json(line, path)
        except InputError:
            continue
        if isinstance(row, list) and len(row) == 3 and all(isinstance(text, str) for text in row):
            rejected[row[0]] = (row[1], row[2])
    return rejected


def _name_rejected(rejected: dict[str, tuple[str, str]]) -> None:
    for _, message in list(rejected.values())[:MOST_NAMED]:
        print(f"left out: {message}", file=sys.stderr)
    if len(rejected) > MOST_NAMED:
        print(f"left out: {len(rejected) - MOST_NAMED} more, see the report", file=sys.stderr)


_preparer: Preparer | None = None
"""The preparer of this worker process, made when it starts."""


def _prepared(config: PrepareConfig, jobs: list[Job]) -> Iterator[PreparedItem]:
    """Yield what became of each photograph, as they are finished.

    The first one is prepared in this process: what is missing is said here, as a pool would start a process that fails
    again and again.
    """
    if not jobs:
        return
    count = min(config.processes or os.cpu_count() or 1, len(jobs))
    segmenting = PersonSegmenter(config.person_model) if config.masks else nullcontext()
    with (
        segmenting as segmenter,
        FaceFitter(config.face_model, config.landmark_model, config.network) as fitter,
        one_blas_thread(),
    ):
        preparer = Preparer(fitter, config.size, config.camera, config.mirror, config.blur, segmenter)
        alone: Iterable[Job] = jobs if count == 1 else jobs[:1]
        yield from (preparer.prepare(job.photograph, job.target, job.mask) for job in alone)
    if count == 1:
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(count, initializer=_start, initargs=(config,)) as pool:
        yield from pool.imap_unordered(_work, jobs[1:], chunksize=4)


def _start(config: PrepareConfig) -> None:
    torch.set_num_threads(1)
    fitter = FaceFitter(config.face_model, config.landmark_model, config.network)
    segmenter = PersonSegmenter(config.person_model) if config.masks else None
    global _preparer
    _preparer = Preparer(fitter, config.size, config.camera, config.mirror, config.blur, segmenter)


def _work(job: Job) -> PreparedItem:
    assert _preparer is not None, "a process of the pool starts with its preparer"
    with one_blas_thread():
        return _preparer.prepare(job.photograph, job.target, job.mask)
