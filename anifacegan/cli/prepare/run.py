"""Prepares all photographs of a folder in several processes; finished ones, and those left out, are kept."""

import json
import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from anifacegan.capture.face_fitter import FaceFitter
from anifacegan.capture.prepare import REPEATED, PreparedItem, Preparer, is_complete
from anifacegan.cli.prepare.config import PrepareConfig
from anifacegan.cli.prepare.report import REJECTED_FILE, SETTINGS_FILE, report_folder, write_report
from anifacegan.runtime.cpu import one_blas_thread
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import not_writable_error, numeric_order, remove_leftovers, write_complete
from anifacegan.runtime.image_files import IMAGE_SUFFIXES, is_image_file
from anifacegan.runtime.locks import FolderLock
from anifacegan.runtime.structured_text import parse_json

MOST_NAMED = 20
"""Largest number of photographs left out that are named on stderr; all are in the report."""


@dataclass(frozen=True)
class Job:
    """One photograph to prepare."""

    photograph: Path
    """Its file."""
    target: Path
    """Path of the files to write, without suffix."""


def prepare_images(config: PrepareConfig) -> str:
    """Prepare the photographs that are not finished; write the report, and return it as one line.

    Raises:
        InputError: a package or file is missing, ``out`` holds something else or another process writes to it, or no
            photograph could be used.
    """
    torch.set_num_threads(1)
    jobs, repeated = photographs_of(config)
    folder = report_folder(config.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_writable_error(folder, error) from None
    lock = FolderLock(folder)
    lock.take()
    try:
        return _prepare_locked(config, folder, jobs, repeated)
    finally:
        lock.release()


def _prepare_locked(config: PrepareConfig, folder: Path, jobs: list[Job], repeated: list[Path]) -> str:
    _start_folder(config, folder)
    rejected = _read_rejected(folder / REJECTED_FILE)
    todo = [
        job
        for job in jobs
        if str(job.photograph) not in rejected and not is_complete(job.target, config.mirror)
    ]
    done = len(jobs) - len(todo)
    offsets, several = [], 0
    with (
        (folder / REJECTED_FILE).open("a") as log,
        tqdm(initial=done, total=len(jobs), unit="image", disable=None) as bar,
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
        message = f"{path}: another photograph of the folder has the same name without ending"
        rejected[str(path)] = (REPEATED, message)
    _name_rejected(rejected)
    finished = [job.target for job in jobs if is_complete(job.target, config.mirror)]
    if not finished:
        message = next(iter(rejected.values()))[1]
        raise InputError(f"{config.images}: no usable photograph of {len(jobs)}; the first: {message}")
    return write_report(config, finished, rejected, offsets, several)


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
    ]
    if not found:
        raise InputError(f"{images}: no photographs in the folder, expected {', '.join(IMAGE_SUFFIXES)}")
    jobs: dict[Path, Job] = {}
    repeated = []
    for path in sorted(found, key=lambda path: numeric_order(str(path.relative_to(images)))):
        inside = path.relative_to(images)
        target = config.out / inside.parent / inside.stem
        if target in jobs:
            repeated.append(path)
        else:
            jobs[target] = Job(path, target)
    return list(jobs.values()), repeated


def _start_folder(config: PrepareConfig, folder: Path) -> None:
    """Make the folders; require that an earlier run had the same settings.

    Raises:
        InputError: it had others, or ``out`` holds images of something else.
    """
    settings = {"size": config.size, "camera": config.camera, "mirror": config.mirror, "blur": config.blur}
    path = folder / SETTINGS_FILE
    if path.is_file():
        found = parse_json(path.read_bytes(), path)
        for key, value in settings.items():
            old = found.get(key) if isinstance(found, dict) else None
            if old != value:
                raise InputError(
                    f"{config.out} holds images with {key} {old}, expected {value}; choose another --out"
                )
    elif config.out.is_dir() and any(is_image_file(name.name) for name in config.out.iterdir()):
        raise InputError(f"{config.out} holds images of another program; choose another --out")
    try:
        config.out.mkdir(parents=True, exist_ok=True)
        for inside in (config.out, *(path for path in config.out.rglob("*") if path.is_dir())):
            remove_leftovers(inside, r".*\.(png|mat)")  # of a process that was killed
        write_complete(path, json.dumps(settings) + "\n")
    except OSError as error:
        raise not_writable_error(config.out, error) from None


def _read_rejected(path: Path) -> dict[str, tuple[str, str]]:
    """Read the photographs that an earlier run left out: reason and message by path; a torn last line is ignored."""
    rejected = {}
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            photograph, reason, message = json.loads(line)
        except ValueError:
            continue
        rejected[photograph] = (reason, message)
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
    with FaceFitter(config.face_model, config.landmark_model, config.network) as fitter, one_blas_thread():
        preparer = Preparer(fitter, config.size, config.camera, config.mirror, config.blur)
        alone: Iterable[Job] = jobs if count == 1 else jobs[:1]
        yield from (preparer.prepare(job.photograph, job.target) for job in alone)
    if count == 1:
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(count, initializer=_start, initargs=(config,)) as pool:
        yield from pool.imap_unordered(_work, jobs[1:], chunksize=4)


def _start(config: PrepareConfig) -> None:
    torch.set_num_threads(1)
    fitter = FaceFitter(config.face_model, config.landmark_model, config.network)
    global _preparer
    _preparer = Preparer(fitter, config.size, config.camera, config.mirror, config.blur)


def _work(job: Job) -> PreparedItem:
    assert _preparer is not None, "a process of the pool starts with its preparer"
    with one_blas_thread():
        return _preparer.prepare(job.photograph, job.target)
