"""Face detection and 478 landmarks in photographs, with MediaPipe's face landmarker (extra ``photo``).

A face is looked for in the whole photograph first, then in the photograph with a margin around it (the detector misses
some faces that the frame cuts) and turned by 180 degrees (it sees faces that lie on their sides and none that are
upside down). It sees near faces only, so where it finds none, halves and then quarters of the photograph are searched
(coarse to fine). The landmarks of a found face are read again in an upright crop around it and in the crop's mirror
image, and averaged; what was found in a half or quarter and is not found again there is no face.
"""

import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from anifacegan.capture.crop import Crop, Photograph
from anifacegan.capture.landmark_model import landmark_model_bytes
from anifacegan.runtime.errors import InputError, last_line
from anifacegan.runtime.files import sha256

COUNT = 478
"""Number of landmarks, the irises among them."""
EYE_CORNERS = (33, 263)
"""Landmarks at the outer corners of the eyes, the image's left first."""
MOST_FACES = 10
READ_SIZE = 256
"""Height and width of the crops in which landmarks are read again, pixels."""
READ_SCALE = 2.0
"""Side of these crops, in sides of the square around the landmarks."""
MARGIN = 1.4
"""Side of the square that is searched around a photograph, in sides of the photograph."""
SEARCH_SHARES = (1 / 2, 1 / 4)
"""Sides of the tiles of the coarse-to-fine search, in sides of the photograph."""
LEAST_FACE_PX = 32
"""Smallest side of the square around a face's landmarks, pixels; the fit of a smaller face would be a guess."""
LONGEST_SIDE = 2**15 - 2
"""Largest side of an image that MediaPipe takes, pixels: at a larger one, its OpenCV ends the process."""
INSTALL_EXTRA = "pip install 'anifacegan[photo]'"

QUIET = threading.RLock()
"""Held while standard error is redirected, which concerns the whole process."""

Landmarks = Float[np.ndarray, "478 2"]


@dataclass(frozen=True)
class DetectedFace:
    """Landmarks of one face in a photograph."""

    landmarks: Landmarks
    """Pixel coordinates in the photograph, x right and y down, integers at pixel centres."""

    @property
    def side(self) -> float:
        """Side of the upright square around the landmarks, pixels."""
        return float(np.ptp(self.landmarks, axis=0).max())


class LandmarkDetector:
    """Finds faces and their landmarks; a context manager, which frees the networks at its end.

    Args:
        model: path of ``face_landmarker.task``, see
            :func:`anifacegan.capture.landmark_model.landmark_model_bytes`.
        mirrored: number of the landmark that each landmark becomes when the image is mirrored.

    Raises:
        InputError: MediaPipe, one of its system libraries, or the file is missing or not usable.
    """

    def __init__(self, model: Path | str | None, mirrored: Int[np.ndarray, "478"]) -> None:
        self.path, self._content = landmark_model_bytes(model)
        self.mirrored = mirrored
        with quiet_stderr():
            self._mediapipe = import_mediapipe()
            self._landmarker = open_landmarker(self.path, self._content)

    @property
    def sha256(self) -> str:
        """SHA-256 of the landmarker's networks."""
        return sha256([self._content])

    def __enter__(self) -> "LandmarkDetector":
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the networks."""
        with quiet_stderr():
            self._landmarker.close()

    def video_landmarker(self) -> "VideoLandmarker":
        """Make a landmarker that follows one face from image to image."""
        with quiet_stderr():
            return VideoLandmarker(
                self._mediapipe, open_landmarker(self.path, self._content, video=True), self.path
            )

    def faces(self, photograph: Photograph, tiles: bool = True) -> list[DetectedFace]:
        """Return the faces of a photograph, the largest first; smaller faces are looked for only if no large one is
        found, and if ``tiles``, as that takes ten times as long.

        Raises:
            InputError: the landmarker's file has another number of landmarks or no depth.
        """
        height, width = photograph.shape[:2]
        found = (
            self.landmarks_once(photograph) or self._with_margin(photograph) or self._upside_down(photograph)
        )
        faces = [self._read_again(photograph, points) or DetectedFace(points) for points in found]
        for share in SEARCH_SHARES if tiles else ():
            if not faces:
                found = self._in_tiles(photograph, share * max(height, width))
                again = [self._read_again(photograph, points) for points in found]
                faces = [face for face in again if face is not None]
        return sorted(faces, key=lambda face: -face.side)

    def _with_margin(self, photograph: Photograph) -> list[Landmarks]:
        """Look for faces in a larger square around the photograph, thinned if it is large, whose border goes on."""
        step = max(1, max(photograph.shape[:2]) // (2 * READ_SIZE))
        thinned = photograph[::step, ::step]
        height, width = thinned.shape[:2]
        crop = Crop((width - 1) / 2, (height - 1) / 2, MARGIN * max(height, width))
        return [step * points for points in self._in_crop(thinned, crop)]

    def _in_crop(self, photograph: Photograph, crop: Crop) -> list[Landmarks]:
        size = max(READ_SIZE, min(2 * READ_SIZE, round(crop.side)))
        found = self.landmarks_once(crop.cut(photograph, size))
        return [crop.to_photograph(points / (size - 1) - 0.5) for points in found]

    def _upside_down(self, photograph: Photograph) -> list[Landmarks]:
        """Look for faces in the photograph turned by 180 degrees."""
        last = np.array(photograph.shape[1::-1]) - 1.0
        return [last - points for points in self.landmarks_once(photograph[::-1, ::-1])]

    def _in_tiles(self, photograph: Photograph, side: float) -> list[Landmarks]:
        """Search square tiles that overlap by half their side; a face that several tiles show is returned once."""
        height, width = photograph.shape[:2]
        half, found = side / 2, []
        for y in np.arange(half - 0.5, max(height - half, half) + half / 2, half):
            for x in np.arange(half - 0.5, max(width - half, half) + half / 2, half):
                for points in self._in_crop(photograph, Crop(float(x), float(y), side)):
                    if not any(_same_face(points, other) for other in found):
                        found.append(points)
        return found

    def _read_again(self, photograph: Photograph, points: Landmarks) -> DetectedFace | None:
        """Average the landmarks in an upright crop around a face and in its mirror image, as far as they are found
        there; None if they are found in neither."""
        crop = upright_crop(points, READ_SCALE)
        image = crop.cut(photograph, READ_SIZE)
        readings = []
        for mirror in (False, True):
            found = self.landmarks_once(image[:, ::-1] if mirror else image)
            if not found:
                continue
            reading = min(found, key=lambda p: float(np.linalg.norm(p.mean(axis=0) - (READ_SIZE - 1) / 2)))
            if mirror:
                reading = reading[self.mirrored] * np.array([-1.0, 1.0]) + np.array([READ_SIZE - 1.0, 0.0])
            readings.append(crop.to_photograph(reading / (READ_SIZE - 1) - 0.5))
        return DetectedFace(np.mean(readings, axis=0)) if readings else None

    def landmarks_once(self, image: Photograph) -> list[Landmarks]:
        """Run the landmarker once on an image; return the landmarks of each face it finds, pixels of the image."""
        with quiet_stderr():
            result = self._landmarker.detect(mediapipe_image(self._mediapipe, image))
        return _landmarks_of(result, image, self.path)


class VideoLandmarker:
    """MediaPipe's landmarker in its VIDEO mode: follows one face, and smooths its landmarks by time.

    Args:
        mediapipe: the package.
        landmarker: its landmarker.
        path: the landmarker's file, for messages.
    """

    def __init__(self, mediapipe: Any, landmarker: Any, path: Path) -> None:
        self._mediapipe, self._landmarker, self._path = mediapipe, landmarker, path

    def landmarks(self, image: Photograph, millisecond: int) -> Landmarks | None:
        """Return the landmarks in the next image, pixels of the image; None if no face is found.

        ``millisecond`` is the image's time and has to rise from image to image.

        Raises:
            InputError: the landmarker's file has another number of landmarks or no depth.
        """
        with quiet_stderr():
            result = self._landmarker.detect_for_video(mediapipe_image(self._mediapipe, image), millisecond)
        return next(iter(_landmarks_of(result, image, self._path)), None)

    def blendshapes(self, image: Photograph, millisecond: int) -> dict[str, float] | None:
        """Return the strengths of ARKit's facial movements in the next image by their names; None if no face is found.

        ``millisecond`` is as for :meth:`landmarks`. The landmarker has to be opened with blendshapes.
        """
        with quiet_stderr():
            result = self._landmarker.detect_for_video(mediapipe_image(self._mediapipe, image), millisecond)
        if not result.face_blendshapes:
            return None
        return {item.category_name: float(item.score) for item in result.face_blendshapes[0]}

    def close(self) -> None:
        """Free the networks."""
        with quiet_stderr():
            self._landmarker.close()


def reading_step(height: int, width: int) -> int:
    """Return the least step at which rows and columns of an image have to be taken so that MediaPipe can read it; 1 for
    all but panoramas."""
    return -(-max(height, width) // LONGEST_SIDE)


def mediapipe_image(mediapipe: Any, image: Photograph) -> Any:
    """Return an image as MediaPipe takes it; one that is too long for it is thinned, see :func:`reading_step`."""
    step = reading_step(*image.shape[:2])
    pixels = np.ascontiguousarray(image[::step, ::step])
    return mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)


def _landmarks_of(result: Any, image: Photograph, path: Path) -> list[Landmarks]:
    """Convert a landmarker's result to pixels of its image."""
    size = np.array([image.shape[1], image.shape[0]], np.float64)
    found = []
    for face in result.face_landmarks:
        points = np.array([(point.x, point.y, point.z) for point in face], np.float64)
        require_landmarks(points, path)
        found.append(points[:, :2] * size - 0.5)
    return found


def require_landmarks(points: Float[np.ndarray, "point 3"], path: Path) -> None:
    """Require that a landmarker's output has 478 points, not all with depth 0.

    MediaPipe reads the 468 points of an older network wrongly and without an error.

    Raises:
        InputError: it has not; the message names the file ``path``.
    """
    if len(points) != COUNT:
        raise InputError(f"{path}: gives {len(points)} landmarks, expected {COUNT} (face_landmarker.task)")
    if not points[:, 2].any():
        raise InputError(f"{path}: gives landmarks without depth, expected those of face_landmarker.task")


def upright_crop(points: Landmarks, scale: float) -> Crop:
    """Return the square around landmarks whose x axis runs along the line through the eyes' outer corners.

    ``scale`` is the side of the crop in sides of the smallest such square.
    """
    right = points[EYE_CORNERS[1]] - points[EYE_CORNERS[0]]
    turned = Crop(0.0, 0.0, 1.0, float(np.arctan2(right[1], right[0])))
    unit = turned.to_unit(points)
    low, high = unit.min(axis=0), unit.max(axis=0)
    x, y = turned.to_photograph((low + high) / 2)
    return Crop(float(x), float(y), scale * float((high - low).max()), turned.roll)


def _same_face(points: Landmarks, other: Landmarks) -> bool:
    apart = float(np.linalg.norm(points.mean(axis=0) - other.mean(axis=0)))
    return apart < 0.5 * float(np.ptp(other, axis=0).max())


def import_mediapipe() -> Any:
    try:
        import mediapipe
    except ImportError as error:
        raise InputError(f"mediapipe: cannot be imported ({last_line(error)}): {INSTALL_EXTRA}") from None
    except OSError as error:
        raise InputError(_library_message(error)) from None
    return mediapipe


def _library_message(error: OSError) -> str:
    return f"mediapipe: a library of the system is missing ({last_line(error)}): apt-get install libegl1 libgles2"


def open_landmarker(path: Path, content: bytes, video: bool = False, blendshapes: bool = False) -> Any:
    """Open MediaPipe's face landmarker.

    Args:
        path: its file, for messages.
        content: what the file holds.
        video: follow one face from image to image; otherwise every image is read for itself.
        blendshapes: also give the strengths of ARKit's facial movements.

    Raises:
        InputError: a system library is missing, or MediaPipe cannot use the file.
    """
    try:
        from mediapipe.tasks.python import vision
        from mediapipe.tasks.python.core.base_options import BaseOptions

        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=content),
            num_faces=1 if video else MOST_FACES,
            output_face_blendshapes=blendshapes,
            running_mode=vision.RunningMode.VIDEO if video else vision.RunningMode.IMAGE,
        )
        return vision.FaceLandmarker.create_from_options(options)
    except OSError as error:
        raise InputError(_library_message(error)) from None
    except (RuntimeError, ValueError) as error:
        raise InputError(f"{path}: mediapipe cannot open it ({last_line(error)})") from None


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Keep what the process writes to standard error, also from C++, off the terminal; one thread at a time."""
    with QUIET, tempfile.TemporaryFile() as sink:
        sys.stderr.flush()
        saved = os.dup(2)
        try:
            os.dup2(sink.fileno(), 2)
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
