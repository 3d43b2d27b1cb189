"""Recorded strengths of ARKit's 52 facial movements (blendshapes), which are action units of the open face model.

Two kinds of files are read: tables (.csv) as Live Link Face and other apps for ARKit write them, with a column for each
movement and a row for each frame; and the results of MediaPipe's face landmarker (.json), a list of frames. Strengths
are shares: 0 is none, 1 is full. Movements that a file lacks have strength 0.
"""

import csv
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from anifacegan.face_model.config import MOST_FRAMES
from anifacegan.runtime.errors import InputError, first_line
from anifacegan.runtime.number_texts import real_number_of
from anifacegan.runtime.paths import require_file
from anifacegan.runtime.resources import located
from anifacegan.runtime.structured_text import parse_json

MOST_BYTES = 2**28
"""Largest size of a file."""
STRONGEST = 2.0
"""Largest strength, positive or negative; files of percentages exceed it."""
_OTHER_COLUMNS = re.compile(
    r"|_?neutral|timecode|blendshapecount|(frame|time).*|index|confidence|head.*|(left|right)eye(yaw|pitch|roll)"
)
"""Columns and scores that are no movements, in lower case: time, and rotations of head and eyes."""
_FRAME_KEYS = ("faceBlendshapes", "face_blendshapes", "blendshapes", "categories", "blendShapes")
"""Keys under which the scores of a frame stand in JSON files."""
_EXPECTED = "expected ARKit's names, such as jawOpen and eyeBlinkLeft"


def is_blendshape_file(name: str) -> bool:
    """Return whether a file is one of recorded blendshapes by its name's ending, in lower or upper case."""
    return name.lower().endswith((".csv", ".json"))


def read_blendshapes(path: Path, units: Sequence[str]) -> Float[np.ndarray, "frame unit"]:
    """Read the strength of each action unit in each frame of a file of recorded blendshapes.

    ``units`` are the names of the face model's action units. In the file, names may begin with a capital letter, and
    _L and _R may stand for Left and Right.

    Raises:
        InputError: the file is missing, too large, no table or JSON file, or has no frames; or a name is unknown or
            given twice, or a strength is no number or beyond STRONGEST; the message names the first.
    """
    path = located(path, "a file of blendshapes")
    require_file(path, "a file of blendshapes")
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise InputError(f"{path}: has {size} bytes, expected at most {MOST_BYTES}")
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a readable text file ({first_line(error)})") from None
    names = _spellings(units)
    frames = (
        _json_frames(path, text) if path.name.lower().endswith(".json") else _table_frames(path, text, names)
    )
    if not 0 < len(frames) <= MOST_FRAMES:
        raise InputError(f"{path}: holds {len(frames)} frames, expected 1 to {MOST_FRAMES}")
    strengths = np.zeros((len(frames), len(units)))
    for k, (place, frame) in enumerate(frames):
        of_unit: dict[int, str] = {}
        for name, value in frame.items():
            unit = _unit(path, name, names)
            if unit is not None:
                first = of_unit.setdefault(unit, name)
                if first != name:
                    raise InputError(f"{path}: {place}: '{name}' is the same action unit as '{first}'")
                strengths[k, unit] = _strength(f"{path}: {place}: '{name}'", value)
        if not any(name.lower() in names for name in frame):
            raise InputError(f"{path}: {place}: none of its names is an action unit, {_EXPECTED}")
    return strengths


def _spellings(units: Sequence[str]) -> dict[str, int]:
    """Return the index of each unit by the spellings of its name, in lower case."""
    indices = {unit.lower(): k for k, unit in enumerate(units)}
    for k, unit in enumerate(units):
        short = re.sub("(Left|Right)$", lambda side: f"_{side[0][0]}", unit)
        indices.setdefault(short.lower(), k)
    return indices


def _unit(path: Path, name: str, names: Mapping[str, int]) -> int | None:
    """Return the index of a unit; None for a name that is known to be no movement."""
    index = names.get(name.lower())
    if index is None and not _OTHER_COLUMNS.fullmatch(name.lower()):
        raise InputError(f"{path}: '{name}' is no action unit, {_EXPECTED}")
    return index


def _strength(place: str, value: Any) -> float:
    try:
        strength = real_number_of(value) if isinstance(value, str) else float(value)
        strength = math.nan if isinstance(value, bool) else strength
    except (TypeError, ValueError, OverflowError):
        strength = math.nan
    if not abs(strength) <= STRONGEST:
        raise InputError(
            f"{place} is {str(value)[:40]!r}, expected a share: 1 is full, -{STRONGEST:g} to {STRONGEST:g} are taken"
        )
    return strength


def _table_frames(path: Path, text: str, names: Mapping[str, int]) -> list[tuple[str, dict[str, Any]]]:
    """Return the place of each row, for messages, and its cells by the names of their columns."""
    first = text.partition("\n")[0]
    if text.count("\n") > 2 * MOST_FRAMES:  # before they are parsed; every second line may be empty
        raise InputError(f"{path}: holds {text.count(chr(10))} lines, expected 1 to {MOST_FRAMES} frames")
    try:
        rows = list(csv.reader(text.splitlines(), delimiter=max(",;\t", key=first.count), strict=True))
    except csv.Error as error:
        raise InputError(f"{path}: not a table ({first_line(error)})") from None
    header = [name.strip() for name in rows[0]] if rows else []
    units = [index for name in header if (index := _unit(path, name, names)) is not None]
    if not units:
        raise InputError(f"{path}: no column of its first line is an action unit, {_EXPECTED}")
    if len(set(units)) < len(units):
        twice = next(name for name in header if units.count(names.get(name.lower(), -1)) > 1)
        raise InputError(f"{path}: column '{twice}' is there twice, expected each action unit once")
    frames = []
    for number, row in enumerate(rows[1:], start=2):
        if row and len(row) != len(header):
            raise InputError(
                f"{path}: line {number} has {len(row)} cells, expected {len(header)} as in the first line"
            )
        if row:
            cells = dict(zip(header, row, strict=True))
            frames.append((f"line {number}", {name: cells[name] for name in header if name.lower() in names}))
    return frames


def _json_frames(path: Path, text: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the place of each frame, for messages, and its strengths by name."""
    content = parse_json(text, path)
    if isinstance(content, dict):
        beside = next((key for key in _FRAME_KEYS if key in content), None)
        if "frames" in content and beside is not None:
            raise InputError(f"{path}: has 'frames' and '{beside}', expected one of them")
        content = content.get("frames", content)
    frames = content if isinstance(content, list) and not _is_scores(content) else [content]
    return [(f"frame {k}", _frame_scores(f"{path}: frame {k}", frame)) for k, frame in enumerate(frames)]


def _is_scores(item: Any) -> bool:
    """Return whether a list holds the categories of one face."""
    return isinstance(item, list) and bool(item) and all(_category_name(entry) is not None for entry in item)


def _category_name(entry: Any) -> str | None:
    if not isinstance(entry, dict):
        return None
    name = entry.get("categoryName", entry.get("category_name"))
    return name if isinstance(name, str) else None


def _frame_scores(place: str, frame: Any) -> dict[str, Any]:
    while True:
        keys = [key for key in _FRAME_KEYS if isinstance(frame, dict) and key in frame]
        if len(keys) > 1:
            raise InputError(f"{place} has '{keys[0]}' and '{keys[1]}', expected one set of strengths")
        if keys:
            frame = frame[keys[0]]
        elif isinstance(frame, list) and len(frame) == 1 and not _is_scores(frame):
            frame = frame[0]
        else:
            break
    if _is_scores(frame):
        scores = {str(_category_name(entry)): entry.get("score") for entry in frame}
        if len(scores) == len(frame):
            return scores
        raise InputError(f"{place} has a category twice, expected each once")
    if isinstance(frame, dict) and frame:
        return frame
    if isinstance(frame, list):
        raise InputError(f"{place} has {len(frame)} faces, expected one")
    raise InputError(f"{place} holds no scores, expected MediaPipe's categories or names with strengths")
