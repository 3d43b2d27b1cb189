"""dlib's face detector, which finds faces and their landmarks in generated images (extra ``demo-check``).

dlib has no part in training, so it checks the images independently. Its landmark model was trained on data that are
licensed for research only.
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

from anifacegan.runtime.errors import InputError

DLIB_INSTALL = "pip install --no-deps dlib-bin face_recognition_models"
LANDMARK_MODEL = "shape_predictor_68_face_landmarks.dat"
EMBEDDING_MODEL = "dlib_face_recognition_resnet_model_v1.dat"

Image = UInt8[np.ndarray, "height width 3"]
Landmarks = Float[np.ndarray, "68 2"]


def dlib_models() -> Path:
    """Return the folder of dlib's networks.

    Raises:
        InputError: dlib or its models are not installed.
    """
    # face_recognition_models is found, not imported: its code needs an old setuptools.
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
    """Landmarks and embedding of one detected face."""

    landmarks: Landmarks
    """iBUG's 68 landmarks, pixels with y down: found in nine slightly different face boxes and averaged (trimmed
    mean)."""
    single_reading: Landmarks
    """iBUG's 68 landmarks, pixels with y down, found in the detector's own face box only."""
    embedding: Float[np.ndarray, "128"] | None
    """Identity vector of the face, None if it was not requested. Vectors of two photographs of one person are less than
    about 0.6 apart (Euclidean distance)."""


class FaceDetector:
    """dlib's HOG face detector with 68 landmarks and face embedding.

    Args:
        upsample: how many times an image is doubled in size before detection.

    Raises:
        InputError: dlib or its models are not installed.
    """

    def __init__(self, upsample: int) -> None:
        models = dlib_models()
        import dlib

        self.upsample = upsample
        self._detect = dlib.get_frontal_face_detector()
        self._predict = dlib.shape_predictor(str(models / LANDMARK_MODEL))

    @cached_property
    def _embedding(self) -> Any:
        import dlib

        return dlib.face_recognition_model_v1(str(dlib_models() / EMBEDDING_MODEL))

    def boxes(self, pixels: Image) -> list[Any]:
        """Detect faces in an image; return their boxes (dlib rectangles), the most confident first."""
        boxes, scores, _ = self._detect.run(np.ascontiguousarray(pixels), self.upsample, 0.0)
        return [boxes[k] for k in np.argsort(-np.asarray(scores), kind="stable")]

    def find(self, pixels: Image, embed: bool = False) -> DetectedFace | None:
        """Return the most confidently detected face of an image, or None; with ``embed``, also its identity vector."""
        boxes = self.boxes(pixels)
        if not boxes:
            return None
        from scipy.stats import trim_mean  # takes a second to import, needed here only

        shapes = [self._predict(pixels, box) for box in (boxes[0], *shifted(boxes[0]))]
        readings = np.array([[(point.x, point.y) for point in shape.parts()] for shape in shapes], np.float64)
        embedding = np.array(self._embedding.compute_face_descriptor(pixels, shapes[0])) if embed else None
        return DetectedFace(trim_mean(readings, 0.25), readings[0], embedding)


def shifted(box: Any) -> list[Any]:
    """Return eight variants of a detected face box: shifted by 3 % of its width, and 6 % smaller or larger.

    The HOG detector's boxes jump by about 8 px. Another box moves the found landmarks by 0.7 px on average and
    sometimes by 5 px, more than a weak smile (a tenth of a full one) does. The average of the middle half of the
    landmarks found in all nine boxes does not jump like this.
    """
    import dlib

    centre, width = np.array([box.left() + box.right(), box.top() + box.bottom()]) / 2, box.width()
    corners = [
        (centre + np.array(shift) * 0.03 * width, size * width / 2)
        for size, *shift in product((0.94, 1.06), (-1, 1), (-1, 1))
    ]
    return [dlib.rectangle(*(int(round(x)) for x in (*(at - half), *(at + half)))) for at, half in corners]


def head_yaw(landmarks: Landmarks, mean_face: Float[np.ndarray, "68 3"]) -> float:
    """Estimate the head's yaw in radians by a linear fit of the face model's mean face to the landmarks' x positions.

    Under orthographic projection a point (X, Y, Z) of the mean face is seen at x = aX + bY + cZ + d, and c / a is the
    tangent of the yaw. For a wider or flatter face than the mean face the estimated yaw is a little too small or too
    large, but a frontal face still has yaw 0. The 17 landmarks of the jaw are left out: they lie on the outline, which
    slides over the skin as the head turns.

    Args:
        landmarks: 68 landmarks in pixels, x to the right.
        mean_face: the face model's 68 mean landmarks, y up, in any unit.
    """
    columns = np.column_stack([mean_face[17:], np.ones(51)])
    a, _, c, _ = np.linalg.lstsq(columns, landmarks[17:, 0], rcond=None)[0]
    return math.atan2(c, a)
