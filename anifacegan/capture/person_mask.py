"""The person's share of each pixel of a photograph, by MediaPipe's selfie segmentation (extra ``photo``).

The network is Google's file ``selfie_segmentation.tflite`` (Apache-2.0), which the wheel of mediapipe 0.10.21 carries.
That wheel is opened as a zip archive and never installed; the installed mediapipe (1.2 or later) runs the network.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from anifacegan.capture.crop import STRIP_PIXELS, Photograph
from anifacegan.capture.landmarks import import_mediapipe, mediapipe_image, quiet_stderr, reading_step
from anifacegan.face_model.open_model import face_model_path
from anifacegan.runtime.errors import InputError, last_line
from anifacegan.runtime.paths import user_path
from anifacegan.runtime.zip_entries import read_entry, read_whole

PERSON_FILE = "selfie_segmentation.tflite"
"""Name of the network's file in the cache folder and in the wheel."""
PERSON_REACH = 1.25
"""Half the side of the square in which the person is separated from the background, in sides of the fitted crop."""
WHEEL_COMMAND = (
    "pip download --no-deps --only-binary=:all: --python-version 3.11 --platform manylinux_2_28_x86_64 "
    "mediapipe==0.10.21"
)
"""Command that downloads the wheel with the file."""


def person_model_bytes(path: Path | str | None = None) -> tuple[Path, bytes]:
    """Read the segmentation network; return its path and its content.

    Args:
        path: the .tflite file, or the wheel (.whl) of mediapipe 0.10.21, which holds it. None: the file, or the wheel,
            in the cache folder.

    Raises:
        InputError: the file is missing, or the wheel holds no such network.
    """
    place = _cached() if path is None else user_path(path)
    if place.suffix != ".whl":
        return place, read_whole(place, f"{PERSON_FILE} or the wheel that holds it")
    return place, read_entry(place, f"/{PERSON_FILE}", "the wheel of mediapipe 0.10.21")


def _cached() -> Path:
    folder = face_model_path().parent
    wheels = sorted(folder.glob("mediapipe-0.10.*.whl"))
    places = [folder / PERSON_FILE, *wheels]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise InputError(
            f"{PERSON_FILE}: not found; '{WHEEL_COMMAND}' brings a wheel that holds it: name the wheel with "
            f"--person_model, or put it into {folder}"
        )
    return found


class PersonSegmenter:
    """Separates the person of a photograph from the background; a context manager, which frees the network at its end.

    Args:
        model: file of the network, see :func:`person_model_bytes`.

    Raises:
        InputError: MediaPipe, one of its system libraries, or the file is missing or not usable.
    """

    def __init__(self, model: Path | str | None) -> None:
        self.path, content = person_model_bytes(model)
        with quiet_stderr():
            self._mediapipe = import_mediapipe()
            self._segmenter = _open_segmenter(self.path, content)

    def __enter__(self) -> "PersonSegmenter":
        return self

    def __exit__(self, *failure: object) -> None:
        with quiet_stderr():
            self._segmenter.close()

    def person(
        self, photograph: Photograph, centre: tuple[float, float], half: float
    ) -> UInt8[np.ndarray, "height width"]:
        """Return the person's share of each pixel, 0 to 255.

        The network works on 256 x 256 pixels, so only the square of side ``2 * half`` about the pixel ``centre`` (x, y)
        is looked at; beyond it the share is 0.
        """
        rows, columns = (
            slice(max(0, round(at - half)), max(0, round(at + half)) + 1) for at in reversed(centre)
        )
        part = photograph[rows, columns]
        height, width = part.shape[:2]
        step = reading_step(height, width)
        with quiet_stderr():
            result = self._segmenter.segment(mediapipe_image(self._mediapipe, part))
            share = result.confidence_masks[0].numpy_view()
            mask = _levels(share.reshape(-(-height // step), -(-width // step)))
        if step > 1:
            mask = mask.repeat(step, axis=0).repeat(step, axis=1)
        whole = np.zeros(photograph.shape[:2], np.uint8)
        whole[rows, columns] = mask[:height, :width]
        return whole


def _levels(share: Float[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width"]:
    """Convert shares from 0 to 1 to bytes, strip by strip: as float32, those of a large photograph are gigabytes."""
    levels = np.empty(share.shape, np.uint8)
    rows = max(1, STRIP_PIXELS // max(share.shape[1], 1))
    for top in range(0, len(share), rows):
        levels[top : top + rows] = np.rint(255 * share[top : top + rows].clip(0, 1))
    return levels


def _open_segmenter(path: Path, content: bytes) -> Any:
    try:
        from mediapipe.tasks.python import vision
        from mediapipe.tasks.python.core.base_options import BaseOptions

        options = vision.ImageSegmenterOptions(
            base_options=BaseOptions(model_asset_buffer=content),
            output_confidence_masks=True,
            output_category_mask=False,
        )
        return vision.ImageSegmenter.create_from_options(options)
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(f"{path}: mediapipe cannot open it ({last_line(error)})") from None
