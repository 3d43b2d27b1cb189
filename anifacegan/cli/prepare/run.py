"""Prepares all photographs of a folder in several processes; finished ones, and those left out, are kept."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from anifacegan.capture.face_fitter import FaceFitter
from anifacegan.capture.person_mask import PersonSegmenter
from anifacegan.capture.photographs import readable_photographs
from anifacegan.capture.prepare import REPEATED, UNREADABLE, PreparedItem, Preparer, item_files
from anifacegan.cli.prepare.config import PrepareConfig
from anifacegan.cli.prepare.record import (
    JOURNALS,
    PREPARED_FILE,
    PREPARED_ROW,
    REJECTED_FILE,
    REJECTED_ROW,
    SETTINGS_FILE,
    journal,
    mask_folder,
    noted_as_unfinished,
    renewed_rows,
    rows_of,
    say_noted_without_checksum,
    settings_of,
    shares_settings,
    stamps_of,
    write_settings,
)
from anifacegan.cli.prepare.report import REPORT_FILES, SHEET_FILE, report_folder, write_report
from anifacegan.cli.prepare.whole_files import is_damaged, is_whole
from anifacegan.runtime.cpu import one_blas_thread
from anifacegan.runtime.errors import InputError, say
from anifacegan.runtime.files import numeric_order, write_complete
from anifacegan.runtime.growing_folders import GrowingFolder
from anifacegan.runtime.image_files import IMAGE_SUFFIXES
from anifacegan.runtime.output_folders import own_files
from anifacegan.runtime.paths import paths_below
from anifacegan.runtime.processes import map_in_processes

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
    stamp: str
    """What tells the photograph from one that takes its place."""
    mask: Path | None = None
    """Path of the mask to write, without suffix; None: no mask."""

    def masks(self, mirror: bool) -> list[Path]:
        """Return the masks that are written."""
        return [] if self.mask is None else item_files(self.mask, mirror, (".png",))

    def files(self, mirror: bool) -> list[Path]:
        """Return all files that are written."""
        return item_files(self.target, mirror) + self.masks(mirror)


def prepare_images(config: PrepareConfig) -> str:
    """Prepare the photographs that are not finished; write the report, and return it as one line.

    Raises:
        InputError: a package or file is missing, ``out`` holds something else or another process writes to it, or no
            photograph could be used.
    """
    torch.set_num_threads(1)
    jobs, repeated = photographs_of(config)
    settings = settings_of(config)
    folder = report_folder(config.out)
    with ExitStack() as stack:
        report = stack.enter_context(GrowingFolder(folder, config.overwrite))
        out = stack.enter_context(GrowingFolder(config.out, config.overwrite))
        goes_on = shares_settings(config, folder / SETTINGS_FILE, settings)
        names = [
            str(path.relative_to(config.out))
            for job in jobs
            for path in item_files(job.target, config.mirror)
        ]
        out.let_replace(_changed_and_damaged(out, names))
        out.require_room(names, (job.photograph for job in jobs))
        before = {config.out / name for name in out.still_own(names)}
        report.claim([*REPORT_FILES, SHEET_FILE] if config.sheet else REPORT_FILES, JOURNALS)
        out.claim(names)
        beside, outdated = mask_folder(config.out), None
        if config.masks:
            masks = stack.enter_context(GrowingFolder(beside, config.overwrite))
            mask_names = [str(path.relative_to(beside)) for job in jobs for path in job.masks(config.mirror)]
            masks.let_replace(_changed_and_damaged(masks, mask_names))
            masks.require_room(mask_names, (job.photograph for job in jobs))
            before |= {beside / name for name in masks.still_own(mask_names)}
            masks.claim(mask_names)
        elif own_files(beside):
            outdated = stack.enter_context(GrowingFolder(beside))
        if not goes_on:  # what an earlier run noted belongs to fits of another kind
            _require_all_replaced(config, jobs)
            for name in JOURNALS:
                write_complete(folder / name, "")
        write_settings(folder / SETTINGS_FILE, settings, goes_on)
        prepared = _earlier_fits(config, jobs)
        finished = {
            job
            for job in jobs
            if before.issuperset(job.files(config.mirror))
            and _exists(job, config)
            and prepared.get(_name(job, config), [""])[0] == job.stamp
        }
        finished -= _damaged(finished, config)
        try:
            with noted_as_unfinished(out, len(jobs)):
                line = _prepare_missing(config, jobs, repeated, finished, outdated)
        except NoUsablePhotographError:
            report.remove([SETTINGS_FILE, REJECTED_FILE, PREPARED_FILE])
            raise
        if not config.sheet:
            report.remove([SHEET_FILE])  # of an earlier run: it shows what may be no more
        return line


class NoUsablePhotographError(InputError):
    """All photographs of a folder were left out."""


def _earlier_fits(config: PrepareConfig, jobs: list[Job]) -> dict[str, list[Any]]:
    """Return what earlier runs noted of each item; photographs left out are noted with today's stamps, too."""
    folder = report_folder(config.out)
    by_path = {str(job.photograph): (job.photograph, job.stamp) for job in jobs}
    renewed_rows(folder / REJECTED_FILE, REJECTED_ROW, by_path)
    by_name = {_name(job, config): (job.photograph, job.stamp) for job in jobs}
    prepared = renewed_rows(folder / PREPARED_FILE, PREPARED_ROW, by_name)
    say_noted_without_checksum(config.out, (prepared[name][0] for name in by_name if name in prepared))
    return prepared


def _name(job: Job, config: PrepareConfig) -> str:
    """Return the name of an item in the data set, without suffix: it stays where the photographs are moved."""
    return job.target.relative_to(config.out).as_posix()


def _exists(job: Job, config: PrepareConfig) -> bool:
    return all(path.is_file() for path in job.files(config.mirror))


def _changed_and_damaged(folder: GrowingFolder, names: list[str]) -> list[str]:
    """Return those of an earlier run's files that hold something else by now and are what is left of ours."""
    changed = own_files(folder.path).intersection(names) - folder.still_own(names)
    return [name for name in changed if (folder.path / name).is_file() and is_damaged(folder.path / name)]


def _damaged(jobs: set[Job], config: PrepareConfig) -> set[Job]:
    """Return those whose files were cut off or damaged; a line on standard error names the first file."""
    files = {job: next((p for p in job.files(config.mirror) if not is_whole(p)), None) for job in jobs}
    damaged = {job: path for job, path in files.items() if path is not None}
    if damaged:
        first, *others = sorted(damaged.values())
        more = f", as are those of {len(others)} more photographs" if others else ""
        say(f"{first}: damaged, made again{more}")
    return set(damaged)


def _require_all_replaced(config: PrepareConfig, jobs: list[Job]) -> None:
    """Require that an earlier run with other settings left no item that is not prepared again.

    Raises:
        InputError: it did: the data set would hold fits of two kinds.
    """
    names = {_name(job, config) for job in jobs}
    rows = rows_of(report_folder(config.out) / PREPARED_FILE, PREPARED_ROW)
    left = [name for name in rows if name not in names and item_files(config.out / name, False)[0].is_file()]
    if left:
        raise InputError(
            f"{config.out}: holds images with other settings, of {len(left)} photographs that are gone (the first is "
            f"{left[0]}.png); choose another --out, or remove them"
        )


def _prepare_missing(
    config: PrepareConfig,
    jobs: list[Job],
    repeated: dict[Path, str],
    finished: set[Job],
    outdated: GrowingFolder | None,
) -> str:
    """Prepare what is not finished. Masks in the folder ``outdated``, which belong to the images that are replaced, go.
    The report is written, and returned as one line.
    """
    folder = report_folder(config.out)
    stamps = {str(job.photograph): job.stamp for job in jobs}
    rejected = {
        path: row
        for path, row in rows_of(folder / REJECTED_FILE, REJECTED_ROW).items()
        if row[0] == stamps.get(path) and row[1] != UNREADABLE  # which may be mended without a trace
    }
    prepared = {
        name: row
        for name, row in rows_of(folder / PREPARED_FILE, PREPARED_ROW).items()
        if all(path.is_file() for path in item_files(config.out / name, config.mirror))
    }
    current = {_name(job, config) for job in finished}
    todo = [job for job in jobs if str(job.photograph) not in rejected and job not in finished]
    with (
        journal(folder / REJECTED_FILE, rejected) as left_out,
        journal(folder / PREPARED_FILE, prepared) as used,
        tqdm(initial=len(jobs) - len(todo), total=len(jobs), unit="image", disable=None) as bar,
    ):
        for job, item in zip(todo, _prepared(config, todo), strict=True):
            bar.update()
            if item.reason is None:
                name = _name(job, config)
                if outdated is not None:
                    _remove_mask(outdated, name)
                current.add(name)
                prepared[name] = [job.stamp, item.several, *item.offset]
                used(name)
            else:
                rejected[str(job.photograph)] = [job.stamp, item.reason, item.message]
                left_out(str(job.photograph))
    for photograph, message in repeated.items():
        rejected[str(photograph)] = ["", REPEATED, message]
    reasons = {path: (reason, message) for path, (_, reason, message) in rejected.items()}
    _name_rejected(reasons)
    targets = [job.target for job in jobs if _name(job, config) in current and _exists(job, config)]
    earlier = [config.out / name for name in prepared if name not in current]
    if not targets and not earlier:
        message = next(iter(reasons.values()))[1]
        raise NoUsablePhotographError(
            f"{config.images}: no usable photograph of {len(jobs)}; the first: {message}"
        )
    if earlier:
        say(
            f"{config.out}: files of {len(earlier)} photographs stay that are gone, or were changed and are now left "
            f"out; the first is {earlier[0].relative_to(config.out)}.png"
        )
    return write_report(config, targets, earlier, reasons, list(prepared.values()))


def _remove_mask(masks: GrowingFolder, name: str) -> None:
    """Remove the masks of an item, which show the person of an earlier image, from the folder of the masks."""
    found = [path for path in item_files(masks.path / name, True, (".png",)) if path.is_file()]
    if found:
        masks.remove(path.relative_to(masks.path).as_posix() for path in found)


def photographs_of(config: PrepareConfig) -> tuple[list[Job], dict[Path, str]]:
    """List the photographs of a folder and its folders, links to folders included, in numeric order, and those whose
    files would have the place of another's, or of a folder of others, each with a line that says so.

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
        for path in readable_photographs(images, paths_below(images))
        if not path.resolve().is_relative_to(out)
        and not path.resolve().is_relative_to(report_folder(out))
        and not path.resolve().is_relative_to(mask_folder(out))
    ]
    if not found:
        raise InputError(f"{images}: no photographs in the folder, expected {', '.join(IMAGE_SUFFIXES)}")
    jobs: dict[Path, tuple[Path, Path | None]] = {}
    repeated: dict[Path, str] = {}
    taken: set[Path] = set()
    folders = {
        config.out / folder
        for path in found
        for folder in path.relative_to(images).parents
        if not any((config.out / part).is_file() for part in (folder, *folder.parents))  # of an earlier run
    }
    for path in sorted(found, key=lambda path: numeric_order(str(path.relative_to(images)))):
        inside = path.relative_to(images)
        target = config.out / inside.parent / inside.stem
        files = item_files(target, config.mirror)
        folder = next((file for file in files if file in folders or file.is_dir()), None)
        if folder is not None:
            repeated[path] = f"{path}: its file {folder} would have the place of a folder"
        elif target.parent not in folders:
            repeated[path] = f"{path}: its folder {target.parent} would have the place of a photograph's file"
        elif not taken.isdisjoint(files):
            repeated[path] = f"{path}: another photograph of the folder gives files of the same name"
        else:
            mask = mask_folder(config.out) / inside.parent / inside.stem if config.masks else None
            jobs[target] = path, mask
            taken.update(files)
    stamps = stamps_of([path for path, _ in jobs.values()])
    return [Job(path, target, stamps[path], mask) for target, (path, mask) in jobs.items()], repeated


def _name_rejected(rejected: dict[str, tuple[str, str]]) -> None:
    for _, message in list(rejected.values())[:MOST_NAMED]:
        say(f"left out: {message}")
    if len(rejected) > MOST_NAMED:
        say(f"left out: {len(rejected) - MOST_NAMED} more, see the report")


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
