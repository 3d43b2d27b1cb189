"""Snapshots of a run: everything needed to go on, written atomically, the newest few kept."""

import io
import pickle
import re
import sys
import zipfile
from pathlib import Path

import torch

from anifacegan.atomic_files import remove_leftovers, write_complete
from anifacegan.checkpoints import CARD, TENSORS
from anifacegan.errors import InputError, first_line
from anifacegan.output_folder import remove_unfinished

PATTERN = "snapshot_*.pt"
_NAME = re.compile(r"snapshot_\d{8,}\.pt")
"""Of the snapshots that a run writes; files of other names, such as a copy snapshot_best.pt, are left alone."""
WRITTEN = rf"{_NAME.pattern}|config\.yaml|stats\.jsonl|(preview|expressions|deformation|yaw|depth)\.png"
"""Names of the files that a run writes into its folder."""
DAMAGED = (RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile)
"""What reading a damaged file raises."""


def save_snapshot(folder: Path, step: int, content: dict, keep: int) -> None:
    """Write ``snapshot_STEP.pt``, complete or not at all, and remove all but the newest ``keep`` up to it.

    Raises:
        InputError: the file cannot be written; all others are as they were.
    """
    path = _path(folder, step)
    buffer = io.BytesIO()                                              # of a full disk, torch.save says something else
    torch.save(content, buffer)
    write_complete(path, buffer.getbuffer())
    for old in [other for other in _snapshots(folder) if other <= path][:-keep]:
        old.unlink()


def remove_half_written(folder: Path) -> None:
    """Remove what a killed process was writing in a run folder; no other process may be at work there."""
    remove_leftovers(folder, WRITTEN)
    remove_leftovers(folder / "surfaces", r"visible\.npy|surfaces\.json")
    remove_unfinished(folder / "model", (TENSORS, CARD))


def load_newest(folder: Path) -> dict | None:
    """Content of the newest readable snapshot, None where there is none; a damaged one is reported and passed over."""
    for path in reversed(_snapshots(folder)):
        try:
            return _read(path)
        except DAMAGED as error:
            print(f"{path}: damaged ({first_line(error)}), trying the one before", file=sys.stderr)
    if _snapshots(folder):
        raise InputError(f"{folder}: no snapshot is readable; remove {PATTERN} there to start over")
    return None


def load_snapshot(folder: Path, step: int | None) -> dict:
    """Content of the snapshot of a step; None is the newest readable one.

    Raises:
        InputError: there is none, or it is damaged; the message lists the steps there are.
    """
    if step is None:
        content = load_newest(folder)
        if content is None:
            raise InputError(f"{folder}: holds no {PATTERN}, expected a run's folder")
        return content
    path = _path(folder, step)
    if not path.exists():
        there = ", ".join(other.name for other in _snapshots(folder))
        raise InputError(f"{path}: no such snapshot, expected {there or 'a run that has some'}")
    try:
        return _read(path)
    except DAMAGED as error:
        raise InputError(f"{path}: damaged ({first_line(error)})") from None


def _snapshots(folder: Path) -> list[Path]:
    """The run's own, the oldest first."""
    return sorted(path for path in folder.glob(PATTERN) if _NAME.fullmatch(path.name))


def _path(folder: Path, step: int) -> Path:
    return folder / f"snapshot_{step:08d}.pt"


def _read(path: Path) -> dict:
    """PyTorch does not look at the checksums in its files, and would take a flipped bit for a weight."""
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()
    if broken is not None:
        raise zipfile.BadZipFile(f"{broken} differs from its checksum")
    return torch.load(path, weights_only=True, map_location="cpu")
