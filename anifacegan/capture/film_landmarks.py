"""Landmarks of one face in every frame of a film, with MediaPipe's VIDEO mode.

In this mode the landmarker follows the face from frame to frame and smooths by the frames' times. It is run in a part
of the frame around the face, in which the face is large enough to be found, and in the part's mirror image. Where the
face is lost, or leaves the part, it is looked for in the whole frame, and the landmarker starts anew. The search for a
small face in tiles takes seconds, so a long stretch without a face has it a few times a second only.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anifacegan.capture.crop import Photograph
from anifacegan.capture.film_files import NoFaceError
from anifacegan.capture.landmarks import LEAST_FACE_PX, LandmarkDetector, Landmarks, VideoLandmarker

PART_SCALE = 3.0
"""Side of the part around the face, in sides of the square around its landmarks."""
LEAST_MARGIN, LARGEST_CHANGE = 0.35, 1.6
"""Smallest distance of the landmarks from the part's border, in sides of the face, and largest factor by which the face
may grow or shrink, before another part is taken."""
TILES_MS, TILES_INTERVAL_MS = 1000, 250
"""For how long every frame without a face is also searched in tiles, and the interval after that, milliseconds: a face
that is too small to be found without them may be found so much too late."""


@dataclass(frozen=True)
class Part:
    """An upright part of a frame, in pixels: rows and columns from the first to before the last."""

    left: int
    top: int
    right: int
    bottom: int
    face_side: float

    @classmethod
    def around(cls, points: Landmarks, shape: tuple[int, ...]) -> "Part":
        low, high = points.min(axis=0), points.max(axis=0)
        side = float((high - low).max())
        x, y = (low + high) / 2
        half = PART_SCALE / 2 * side
        return cls(
            max(0, round(x - half)),
            max(0, round(y - half)),
            min(shape[1], round(x + half)),
            min(shape[0], round(y + half)),
            side,
        )

    def suits(self, points: Landmarks, shape: tuple[int, ...]) -> bool:
        """Return whether the face is well inside the part, or where the part touches the frame's border."""
        low, high = points.min(axis=0), points.max(axis=0)
        side = float((high - low).max())
        if not 1 / LARGEST_CHANGE < side / self.face_side < LARGEST_CHANGE:
            return False
        least = LEAST_MARGIN * side
        return bool(
            (low[0] - self.left > least or self.left == 0)
            and (low[1] - self.top > least or self.top == 0)
            and (self.right - high[0] > least or self.right == shape[1])
            and (self.bottom - high[1] > least or self.bottom == shape[0])
        )


class FaceTracker:
    """Follows one face through a film's frames, which are given one after another.

    Args:
        detector: finds the face where it is not known.
        number: which face to follow if a frame has several when the face is looked for: 1 is the largest.
        label: the film, for messages.
    """

    def __init__(self, detector: LandmarkDetector, number: int, label: Path) -> None:
        self._detector, self._number, self._label = detector, number, label
        self.last: Landmarks | None = None
        """Landmarks where the face was last, pixels of the frame."""
        self._part: Part | None = None
        self._landmarkers: tuple[VideoLandmarker, VideoLandmarker] | None = None
        self._lost_since: int | None = None
        self._tiles_at = 0

    def landmarks(self, frame: Photograph, millisecond: int) -> Landmarks | None:
        """Return the landmarks in the next frame, pixels of the frame; None if no face is found.

        ``millisecond`` is the frame's time and has to rise from frame to frame.

        Raises:
            NoFaceError: the first frame with a face has fewer faces than the number of the one to follow.
        """
        if self._part is None and self.last is not None:
            self._part = Part.around(self.last, frame.shape)
        points = None if self._part is None else self._follow(frame, millisecond)
        if points is None or self._part is None or not self._part.suits(points, frame.shape):
            if points is None:
                points = self._look_for(frame, self._searches_tiles(millisecond))
                if points is None:
                    return None  # the next frame is looked at in this part, too
            self._forget_part()
            self._part = Part.around(points, frame.shape)
            points = self._follow(frame, millisecond)
        if points is not None:
            self.last, self._lost_since = points, None
        return points

    def start_anew(self) -> None:
        """Forget everything but where the face was last; the next frame begins there."""
        self._forget_part()
        self._lost_since = None

    def close(self) -> None:
        """Free the landmarker's networks."""
        self._forget_part()

    def _forget_part(self) -> None:
        for landmarker in self._landmarkers or ():
            landmarker.close()
        self._landmarkers, self._part = None, None

    def _follow(self, frame: Photograph, millisecond: int) -> Landmarks | None:
        part = self._part
        assert part is not None
        if self._landmarkers is None:
            self._landmarkers = self._detector.video_landmarker(), self._detector.video_landmarker()
        image = frame[part.top : part.bottom, part.left : part.right]
        seen = self._landmarkers[0].landmarks(image, millisecond)
        mirrored = self._landmarkers[1].landmarks(image[:, ::-1], millisecond)
        if seen is None or mirrored is None:
            return None
        turned = mirrored[self._detector.mirrored] * np.array([-1.0, 1.0])
        turned += np.array([image.shape[1] - 1.0, 0.0])
        return (seen + turned) / 2 + np.array([part.left, part.top])

    def _searches_tiles(self, millisecond: int) -> bool:
        """Return whether the search of a frame without a face includes tiles."""
        if self._lost_since is None:
            self._lost_since = millisecond
        is_new = millisecond - self._lost_since < TILES_MS
        if not is_new and millisecond - self._tiles_at < TILES_INTERVAL_MS:
            return False
        self._tiles_at = millisecond
        return True

    def _look_for(self, frame: Photograph, tiles: bool) -> Landmarks | None:
        """Search the whole frame; prefer the face that is nearest to where the face was last."""
        faces = [face for face in self._detector.faces(frame, tiles) if face.side >= LEAST_FACE_PX]
        if not faces:
            return None
        if self.last is None:
            if self._number > len(faces):
                raise NoFaceError(
                    f"{self._label}: has {len(faces)} faces where the first one is seen, expected at least "
                    f"{self._number} (--face)"
                )
            return faces[self._number - 1].landmarks
        last = self.last.mean(axis=0)
        return min((face.landmarks for face in faces), key=lambda p: float(np.linalg.norm(p.mean(0) - last)))
