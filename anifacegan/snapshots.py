"""Snapshots of a run: everything needed to go on, written atomically, the newest few kept."""

import io
import pickle
import shutil
import sys
import zipfile
from pathlib import Path

import torch

from anifacegan.atomic_files import write_complete
from anifacegan.errors import InputError, first_line

PATTERN = "snapshot_*.pt"


def save_snapshot(folder: Path, step: int, content: dict, keep: int) -> None:
    """Write ``snapshot_STEP.pt``, complete or not at all, and remove all but the newest ``keep`` up to it.

    Raises:
        InputError: the file cannot be written; all others are as they were.
    """
    path = folder / f"snapshot_{step:08d}.pt"
    buffer = io.BytesIO()                                              # of a full disk, torch.save says something else
    torch.save(content, buffer)
    write_complete(path, buffer.getbuffer())
    for old in [other for other in sorted(folder.glob(PATTERN)) if other <= path][:-keep]:
        old.unlink()


def remove_half_written(folder: Path) -> None:
    """Remove what a killed process was writing in a run folder; no other process may be at work there."""
    for path in [*folder.glob(".*.tmp"), *folder.glob("surfaces/.*.tmp")]:
        path.unlink()
    for path in folder.glob("model/unfinished-*"):
        shutil.rmtree(path)


def load_newest(folder: Path) -> dict | None:
    """Content of the newest readable snapshot, None where there is none; a damaged one is reported and passed over."""
    for path in sorted(folder.glob(PATTERN), reverse=True):
        try:
            return _read(path)
        except (RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
            print(f"{path}: damaged ({first_line(error)}), trying the one before", file=sys.stderr)
    if any(folder.glob(PATTERN)):
        raise InputError(f"{folder}: no snapshot is readable; remove {PATTERN} there to start over")
    return None


def _read(path: Path) -> dict:
    """PyTorch does not look at the checksums in its files, and would take a flipped bit for a weight."""
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()
    if broken is not None:
        raise zipfile.BadZipFile(f"{broken} differs from its checksum")
    return torch.load(path, weights_only=True, map_location="cpu")
