"""The report on a prepared data set: counts, histograms, alignment, and a contact sheet with overlays."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from tqdm import tqdm

from anifacegan.capture.overlay import dotted, mesh_of_coefficients
from anifacegan.capture.prepare import MIRRORED_SUFFIX, field_of_view_deg
from anifacegan.cli.prepare.config import PrepareConfig
from anifacegan.cli.prepare.record import PREPARED_FILE, REJECTED_FILE, SETTINGS_FILE
from anifacegan.face_model.coefficients import FaceCoefficients, read_coefficients
from anifacegan.face_model.expressions import ACTIONS
from anifacegan.face_model.open_model import load_open_face_model
from anifacegan.geometry.cameras import RECONSTRUCTION_SIZE_PX
from anifacegan.rendering.contact_sheet import SheetRow, contact_sheet
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.image_files import encoded_image, read_image

REPORT_FILES = (SETTINGS_FILE, REJECTED_FILE, PREPARED_FILE, "report.json", "report.txt")
"""All files of the report's folder, but for the contact sheet."""
SHEET_FILE = "sheet.png"
BARS, BAR_WIDTH = 12, 40
SHEET_SEED = 0
MOST_READ = 5000
"""Largest number of items, evenly spread, whose coefficients the histograms show."""


def report_folder(out: Path) -> Path:
    """Return the folder of a data set's report, which is beside the data set: all images in that are its items."""
    return out.with_name(out.name + "-report")


def write_report(
    config: PrepareConfig,
    current: list[Path],
    earlier: list[Path],
    rejected: dict[str, tuple[str, str]],
    prepared: list[list[Any]],
) -> str:
    """Write report.json, report.txt and sheet.png; return the counts in one line.

    Args:
        config: the options.
        current: paths, without suffix, of the photographs' items.
        earlier: the same of items whose photographs are gone, or were changed and are now left out.
        rejected: reason and message of the photographs left out.
        prepared: a PREPARED_ROW of each photograph that this or an earlier run prepared.
    """
    folder = report_folder(config.out)
    finished = current + earlier
    selected = finished[:: -(-len(finished) // MOST_READ)]
    faces = [
        read_coefficients(_with_suffix(path, ".mat"))
        for path in tqdm(selected, desc="reading coefficients", unit="file", disable=None, leave=False)
    ]
    columns = _columns(faces)
    reasons = Counter(reason for reason, _ in rejected.values())
    items = len(finished) * (2 if config.mirror else 1)
    content = {
        "photographs used": len(finished),
        "images": items,
        "photographs that are gone": len(earlier),
        "left out": len(rejected),
        "left out by reason": dict(reasons),
        "several faces": sum(row[1] for row in prepared),
        "histograms": {name: _histogram(values) for name, values in columns.items()},
        "photographs left out": {path: message for path, (_, message) in rejected.items()},
    }
    if prepared:
        names = ("right px of 224", "up px of 224", "scale", "otherwise px of 224")
        medians = np.median([row[2:] for row in prepared], axis=0)
        content["landmarks compared with the fits, medians"] = dict(
            zip(names, medians.round(3).tolist(), strict=True)
        )
    write_complete(folder / "report.json", json.dumps(content, indent=2) + "\n")
    write_complete(folder / "report.txt", _text(content, columns))
    if config.sheet:
        write_complete(folder / SHEET_FILE, encoded_image(_sheet(config, finished)))
    left = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    gone = f" ({len(earlier)} of them gone)" if earlier else ""
    line = f"{items} images of {len(finished)} photographs{gone} in {config.out}, {len(rejected)} left out"
    return f"{line} ({left})" if left else line


def _columns(faces: list[FaceCoefficients]) -> dict[str, Float[np.ndarray, " face"]]:
    """Return pose and the first expression coefficients by name."""
    pose = np.degrees([face.pose for face in faces])
    columns = {"yaw, degrees": pose[:, 1], "pitch, degrees": pose[:, 0]}
    expressions = np.array([face.exp for face in faces])
    return columns | {name: expressions[:, k] for k, name in enumerate(ACTIONS)}


def _histogram(values: Float[np.ndarray, " face"]) -> dict[str, list[int] | list[float]]:
    counts, edges = np.histogram(values, BARS)
    return {"counts": counts.tolist(), "edges": edges.round(3).tolist()}


def _text(content: dict[str, object], columns: dict[str, np.ndarray]) -> str:
    lines = [f"{name}: {value}" for name, value in content.items() if isinstance(value, int)]
    reasons = content["left out by reason"]
    assert isinstance(reasons, dict)
    lines += [f"left out, {reason}: {count}" for reason, count in reasons.items()]
    for name, values in columns.items():
        counts, edges = np.histogram(values, BARS)
        lines += ["", f"{name}: mean {values.mean():.2f}, standard deviation {values.std():.2f}"]
        for count, low, high in zip(counts, edges, edges[1:], strict=False):
            bar = "#" * round(BAR_WIDTH * count / max(1, counts.max()))
            lines.append(f"{low:8.2f} to {high:8.2f} {count:7d} {bar}")
    return "\n".join(lines) + "\n"


def _sheet(config: PrepareConfig, finished: list[Path]) -> np.ndarray:
    """Draw random items from their files alone: image, landmarks and mesh of the coefficients."""
    rng = np.random.default_rng(SHEET_SEED)
    drawn = rng.choice(len(finished), min(config.sheet, len(finished)), replace=False)
    model = load_open_face_model(config.face_model)
    fov_deg = field_of_view_deg(config.camera)
    rows = []
    names = [
        _with_suffix(finished[k], MIRRORED_SUFFIX * (config.mirror and n % 2)) for n, k in enumerate(drawn)
    ]
    for path in names:
        image = _read_item(_with_suffix(path, ".png"))
        face = read_coefficients(_with_suffix(path, ".mat"))
        assert face.lm68 is not None and face.pose is not None
        lm68 = face.lm68.astype(np.float64) / (RECONSTRUCTION_SIZE_PX - 1) - 0.5
        points = dotted(image, np.zeros((0, 2)), lm68)
        mesh = mesh_of_coefficients(
            model,
            torch.from_numpy(face.id)[None],
            torch.from_numpy(face.exp)[None],
            face.pose.tolist(),
            image,
            fov_deg,
        )
        pitch, yaw = np.degrees(face.pose)
        label = f"{path.name[-24:]}\nyaw {yaw:.0f}\npitch {pitch:.0f}"
        rows.append(SheetRow(label, [image, points, mesh, dotted(mesh, np.zeros((0, 2)), lm68)]))
    return contact_sheet(("image", "landmarks", "mesh", "both"), rows)


def _read_item(path: Path) -> np.ndarray:
    try:
        return read_image(path, "RGB")
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror or error}), expected an image of the data set"
        ) from None


def _with_suffix(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
