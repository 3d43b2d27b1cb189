"""Facial movements in the pictures of a camera, with the blendshapes of MediaPipe's face landmarker (extra ``photo``).

The landmarker's file holds a network from landmarks to the strengths of ARKit's facial movements, which are action
units of the open face model. The face is followed from picture to picture; strengths are smoothed a little over time.
"""

from pathlib import Path
from time import monotonic

from torch import Tensor

from anifacegan.capture.crop import Photograph
from anifacegan.capture.landmark_model import landmark_model_bytes
from anifacegan.capture.landmarks import VideoLandmarker, import_mediapipe, open_landmarker, quiet_stderr
from anifacegan.capture.photographs import labelled_photograph
from anifacegan.runtime.errors import InputError

SMOOTHING_S = 0.06
"""Time constant of the smoothing, seconds."""
NEUTRAL = "_neutral"
"""Name of MediaPipe's score that is no movement."""


class CameraBlendshapes:
    """Reads the strengths of action units from the pictures of one camera.

    Args:
        model: path of ``face_landmarker.task``, see :func:`anifacegan.capture.landmark_model.landmark_model_bytes`.

    Raises:
        InputError: MediaPipe, one of its system libraries, or the file is missing or not usable.
    """

    def __init__(self, model: Path | str | None = None) -> None:
        path, content = landmark_model_bytes(model)
        with quiet_stderr():
            mediapipe = import_mediapipe()
            landmarker = open_landmarker(path, content, video=True, blendshapes=True)
        self._landmarker = VideoLandmarker(mediapipe, landmarker, path)
        self._started = monotonic()
        self._last_ms = -1
        self._is_open = True
        self._strengths: dict[str, float] = {}

    def strengths(self, picture: Photograph | Tensor) -> dict[str, float] | None:
        """Return the strength of each action unit in the camera's next picture, by its name; None if no face is found.

        The picture is as the camera sees the face, not mirrored; left is the person's left.

        Raises:
            InputError: it is no picture, or the networks are closed.
        """
        if not self._is_open:
            raise InputError("the camera's networks have been closed, expected open ones")
        picture, _ = labelled_photograph(picture)
        now_ms = max(round(1000 * (monotonic() - self._started)), self._last_ms + 1)
        found = self._landmarker.blendshapes(picture, now_ms)
        elapsed, self._last_ms = (now_ms - self._last_ms) / 1000, now_ms
        if found is None:
            self._strengths = {}
            return None
        old = elapsed + SMOOTHING_S
        self._strengths = {
            name: (SMOOTHING_S * self._strengths.get(name, score) + elapsed * score) / old
            for name, score in found.items()
            if name != NEUTRAL
        }
        return dict(self._strengths)

    def close(self) -> None:
        """Free the networks."""
        self._is_open = False
        self._landmarker.close()
