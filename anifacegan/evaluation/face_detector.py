"""An off-the-shelf face detector, dlib's, made from photographs of other people: it knows nothing of this project.

Extra ``demo-check``. Its landmark model was trained on data that are for research: it judges, and takes no part in
training.
"""

import importlib.util
import math
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from scipy.stats import trim_mean

from anifacegan.runtime.errors import InputError

DLIB_INSTALL = "pip install --no-deps dlib-bin face_recognition_models"

Image = UInt8[np.ndarray, "height width 3"]
Landmarks = Float[np.ndarray, "68 2"]


def dlib_models() -> Path:
    """The folder of dlib's networks.

    Raises:
        InputError: dlib or its models are not installed.
    """
    # face_recognition_models is found, not imported: its code wants a setuptools of long ago.
    places = {name: importlib.util.find_spec(name) for name in ("dlib", "face_recognition_models")}
    missing = [name for name, place in places.items() if place is None]
    if missing:
        packages = " and ".join(missing)
        raise InputError(f"{packages}: not installed, needed to find and to recognise faces: {DLIB_INSTALL}")
    weights = places["face_recognition_models"]
    assert weights is not None and weights.origin is not None
    return Path(weights.origin).parent / "models"


@dataclass(frozen=True)
class DetectedFace:
    """What the detector sees of one face."""

    landmarks: Landmarks
    """iBUG's 68 points, pixels with y down, in the mean of several readings."""
    single_reading: Landmarks
    """The points as the detector's own rectangle gives them."""
    embedding: Float[np.ndarray, "128"] | None
    """Where it was asked for; photographs of one person are less than about 0.6 apart."""


class FaceDetector:
    """dlib's HOG face detector, its 68 landmarks and its face embedding.

    Raises:
        InputError: dlib or its models are not installed.
    """

    def __init__(self, upsample: int) -> None:
        models = dlib_models()
        import dlib

        self.upsample = upsample
        self._detect = dlib.get_frontal_face_detector()
        self._predict = dlib.shape_predictor(str(models / "shape_predictor_68_face_landmarks.dat"))

    @cached_property
    def _embedding(self) -> Any:
        import dlib

        return dlib.face_recognition_model_v1(
            str(dlib_models() / "dlib_face_recognition_resnet_model_v1.dat")
        )

    def boxes(self, pixels: Image) -> list[Any]:
        """Rectangles of faces, the surest first."""
        boxes, scores, _ = self._detect.run(np.ascontiguousarray(pixels), self.upsample, 0.0)
        return [boxes[k] for k in np.argsort(-np.asarray(scores), kind="stable")]

    def find(self, pixels: Image, embed: bool = False) -> DetectedFace | None:
        """The surest face of an image; None if there is none."""
        boxes = self.boxes(pixels)
        if not boxes:
            return None
        points = self._predict(pixels, boxes[0])
        others = [self._predict(pixels, box) for box in shifted(boxes[0])]
        readings = np.array(
            [[(dot.x, dot.y) for dot in shape.parts()] for shape in (points, *others)], np.float64
        )
        embedding = np.array(self._embedding.compute_face_descriptor(pixels, points)) if embed else None
        return DetectedFace(trim_mean(readings, 0.25), readings[0], embedding)


def shifted(box: Any) -> list[Any]:
    """Eight rectangles about a face's, 3 % aside and 6 % smaller or larger.

    The landmarks depend on the rectangle by more than a step of the smile (0.7 px on average, sometimes 5), and the
    HOG detector's rectangles jump by 8 px or so. So the middle half of nine readings is averaged, point by point.
    """
    import dlib

    centre, width = np.array([box.left() + box.right(), box.top() + box.bottom()]) / 2, box.width()
    corners = [
        (centre + np.array(shift) * 0.03 * width, size * width / 2)
        for size, *shift in product((0.94, 1.06), (-1, 1), (-1, 1))
    ]
    return [dlib.rectangle(*(int(round(x)) for x in (*(at - half), *(at + half)))) for at, half in corners]


def head_yaw(landmarks: Landmarks, mean_face: Float[np.ndarray, "68 3"]) -> float:
    """Yaw in radians of the mean face, seen from afar and stretched as it likes, that fits the columns best.

    A point (X, Y, Z) is seen at x = aX + bY + cZ + d with a : c = cos yaw : sin yaw; a wider or flatter face changes
    the scale of yaw a little, but not its zero. The 17 points of the jaw are left out: they lie on the outline, which
    slides over the skin as the head turns.
    """
    columns = np.column_stack([mean_face[17:], np.ones(51)])
    a, _, c, _ = np.linalg.lstsq(columns, landmarks[17:, 0], rcond=None)[0]
    return math.atan2(c, a)
