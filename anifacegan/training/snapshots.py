"""Snapshots of a training run: written atomically, the newest few kept, damaged ones skipped.

A snapshot is a file ``snapshot_STEP.pt`` in the run folder with everything that a resumed run needs.
"""

import io
import math
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from anifacegan.models.model_folder import CARD, TENSORS
from anifacegan.runtime.errors import InputError, first_line, say
from anifacegan.runtime.files import remove_leftovers
from anifacegan.runtime.output_folders import MARKER, remove_unfinished, still_own, write_noted
from anifacegan.runtime.paths import require_file
from anifacegan.runtime.tensor_files import read_pytorch

_SHEETS = ("preview", "expressions", "deformation", "yaw", "depth")
CONFIG = "config.yaml"
"""Name of the file of a run's options."""
RUN_FILES = (CONFIG, "stats.jsonl", *(f"{name}.png" for name in _SHEETS))
"""Names of the files that a run writes into its folder beside snapshots."""
SURFACES = "surfaces"
"""Name of the folder, inside a run's, of what cameras see of the faces' meshes."""
PATTERN = "snapshot_*.pt"
_NAME = re.compile(r"snapshot_\d{8,}\.pt")
"""Pattern of the names of snapshots that a run writes; files of other names, such as snapshot_best.pt, are never
touched."""
WRITTEN = rf"{_NAME.pattern}|config\.yaml|stats\.jsonl|({'|'.join(_SHEETS)})\.png|{re.escape(MARKER)}"
"""Pattern of the names of the files that a run writes into its folder."""


def save_snapshot(folder: Path, step: int, content: dict, keep: int) -> None:
    """Write ``snapshot_STEP.pt`` atomically; of the run's snapshots up to this step, remove all but the newest
    ``keep``. What somebody has put in the place of one stays.

    Raises:
        InputError: the file cannot be written; older snapshots are unchanged.
    """
    path = _path(folder, step)
    buffer = io.BytesIO()  # torch.save itself reports a full disk badly
    torch.save(content, buffer)
    write_noted(folder, path.name, buffer.getbuffer())
    older = [snapshot.name for snapshot in _snapshots(folder) if _step(snapshot) <= step][:-keep]
    for name in still_own(folder, older):
        (folder / name).unlink()


def remove_half_written(folder: Path) -> None:
    """Remove files that a killed process has left half-written in a run folder. No other process may be using the
    folder.
    """
    remove_leftovers(folder, WRITTEN)
    remove_leftovers(
        folder / SURFACES, rf"visible\.npy|(surfaces|photographs|prior_faces)\.json|{re.escape(MARKER)}"
    )
    remove_unfinished(folder / "model", (TENSORS, CARD))


def load_newest(folder: Path) -> dict | None:
    """Return the content of the newest readable snapshot, or None if there are no snapshots; damaged ones are reported
    and skipped.

    Raises:
        InputError: there are snapshots, but none of them is readable.
    """
    for path in reversed(_snapshots(folder)):
        try:
            return _read(path)
        except InputError as error:
            say(f"{error}; trying the one before")
    if _snapshots(folder):
        raise InputError(f"{folder}: no snapshot is readable; remove {PATTERN} there to start over")
    return None


def load_snapshot(folder: Path, step: int | None) -> dict:
    """Return the content of the snapshot of a step; if ``step`` is None, of the newest readable snapshot.

    Raises:
        InputError: the snapshot does not exist, or is damaged; the message lists the existing ones.
    """
    if step is None:
        content = load_newest(folder)
        if content is None:
            raise InputError(f"{folder}: holds no {PATTERN}, expected a run's folder")
        return content
    path = _path(folder, step)
    if not path.exists():
        existing = ", ".join(snapshot.name for snapshot in _snapshots(folder))
        raise InputError(f"{path}: no such snapshot, expected {existing or 'a run that has some'}")
    return _read(path)


def newest_step(folder: Path) -> int | None:
    """Return the step of the newest snapshot in a run's folder, damaged or not; None if there is none."""
    paths = _snapshots(folder)
    return _step(paths[-1]) if paths else None


def _snapshots(folder: Path) -> list[Path]:
    """Paths of the snapshots that the run wrote, oldest first."""
    return sorted((path for path in folder.glob(PATTERN) if _NAME.fullmatch(path.name)), key=_step)


def files_of_run(folder: Path) -> list[str]:
    """Return the names of the files in a run's folder that runs write there."""
    return [name for name in RUN_FILES if (folder / name).is_file()] + [
        path.name for path in _snapshots(folder)
    ]


def _path(folder: Path, step: int) -> Path:
    return folder / f"snapshot_{step:08d}.pt"


def _step(path: Path) -> int:
    """Return the step in a snapshot's name."""
    return int(path.stem.rpartition("_")[2])


def _read(path: Path) -> dict:
    """Read a snapshot after verifying the checksums that it contains, which PyTorch does not do.

    Raises:
        InputError: it is damaged, no snapshot, or one of another step than its name says.
    """
    require_file(path, "a snapshot of a training run")
    try:
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise zipfile.BadZipFile("it is compressed, which PyTorch's files are not")
            broken = archive.testzip()
    except Exception as error:  # zipfile and zlib raise many kinds for a broken file
        raise InputError(f"{path}: damaged ({first_line(error)})") from None
    if broken is not None:
        raise InputError(f"{path}: damaged ({broken} differs from its checksum)")
    content = read_pytorch(path, "a snapshot of a training run")
    if not isinstance(content, dict) or not _is_number(content.get("step"), int):
        raise InputError(f"{path}: damaged (it is no snapshot of a training run)")
    wrong = next((key for key, suits in _PLAIN_VALUES.items() if not suits(content.get(key))), None)
    if wrong is not None:
        raise InputError(
            f"{path}: damaged (its value '{wrong}' is of another kind than a training run writes)"
        )
    if content["step"] != _step(path):
        raise InputError(
            f"{path}: is of step {content['step']}, expected step {_step(path)}, as its name says"
        )
    return content


def _is_number(value: Any, *kinds: type) -> bool:
    return type(value) in kinds and -math.inf < value < math.inf  # a bool is none


def _is_count(value: Any) -> bool:
    return _is_number(value, int) and value >= 0


def _is_named(value: Any, suits: Callable[[Any], bool]) -> bool:
    return isinstance(value, dict) and all(isinstance(key, str) and suits(value[key]) for key in value)


def _are_numbers(value: Any) -> bool:
    return _is_named(value, lambda number: type(number) in (int, float))


def _is_log(value: Any) -> bool:
    return isinstance(value, dict) and _are_numbers(value.get("totals")) and _is_count(value.get("count"))


_PLAIN_VALUES: dict[str, Callable[[Any], bool]] = {
    "fixed": lambda value: bool(value) and _is_named(value, lambda _: True),
    "log": _is_log,
    "facts": lambda value: value is None or _is_named(value, lambda _: True),
    "learning": lambda value: value is None or _are_numbers(value),
    "average_updates": lambda value: value is None or _is_count(value),
    "left_out": lambda value: (
        value is None or (isinstance(value, list) and [*map(_is_count, value)] == [True] * 2)
    ),
}
"""Whether a value of a snapshot, by its key, is of the kind that runs write; None where there is none. Tensors are
checked where they are loaded."""
