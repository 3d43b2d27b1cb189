"""One face is followed through the frames of a film."""

from pathlib import Path

import numpy as np
import pytest

from anifacegan.capture.film_files import NoFaceError
from anifacegan.capture.film_landmarks import FaceTracker
from anifacegan.capture.landmarks import DetectedFace, LandmarkDetector, Landmarks

FRAME = np.zeros((1200, 1200, 3), np.uint8)


def face(side: float) -> Landmarks:
    """Landmarks in a square of this side about the frame's centre."""
    return 600 + side * (np.random.default_rng(0).uniform(size=(478, 2)) - 0.5)


class Detector(LandmarkDetector):
    """Finds faces of the given sides."""

    def __init__(self, *sides: float) -> None:
        self.mirrored = np.arange(478)
        self._sides = sides
        self.shows_face = True
        self.followers: list[Follower] = []
        self.tiles_at: list[bool] = []

    def faces(self, photograph: np.ndarray, tiles: bool = True) -> list[DetectedFace]:
        self.tiles_at.append(tiles)
        return [DetectedFace(face(side)) for side in self._sides] if self.shows_face else []

    def video_landmarker(self) -> "Follower":  # type: ignore[override]
        self.followers.append(Follower(self))
        return self.followers[-1]


class Follower:
    """Finds the middle of any image, while the detector shows a face."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def landmarks(self, image: np.ndarray, millisecond: int) -> Landmarks | None:
        if not self._detector.shows_face:
            return None
        return (np.random.default_rng(0).uniform(size=(478, 2)) + 1) * image.shape[0] / 3

    def close(self) -> None:
        pass


def test_a_face_that_no_frame_has_is_refused_as_in_photographs() -> None:
    tracker = FaceTracker(Detector(200.0), 5, Path("me.mp4"))
    with pytest.raises(NoFaceError, match=r"me\.mp4: has 1 faces.*, expected at least 5 \(--face\)"):
        tracker.landmarks(FRAME, 0)


def test_the_face_of_the_number_is_followed() -> None:
    for number, side in ((1, 200.0), (2, 100.0)):
        tracker = FaceTracker(Detector(200.0, 100.0), number, Path("me.mp4"))
        found = tracker.landmarks(FRAME, 0)
        assert found is not None and np.ptp(found, axis=0).max() == pytest.approx(side, rel=0.05)


def test_frames_before_the_face_appears_are_no_error() -> None:
    tracker = FaceTracker(Detector(), 5, Path("me.mp4"))
    assert tracker.landmarks(FRAME, 0) is None


def test_a_face_is_found_again_in_the_first_frame_that_shows_it() -> None:
    """Whether it was seen before or not."""
    for seen_before in (True, False):
        detector, times = Detector(200.0), iter(range(100))
        tracker = FaceTracker(detector, 1, Path("me.mp4"))
        if seen_before:
            assert tracker.landmarks(FRAME, next(times)) is not None
        for faceless in (1, 2, 1, 7):
            detector.shows_face = False
            assert all(tracker.landmarks(FRAME, next(times)) is None for _ in range(faceless))
            detector.shows_face = True
            assert tracker.landmarks(FRAME, next(times)) is not None
        assert len(detector.followers) <= 2 * (5 + seen_before)  # none for a frame without a face


def test_a_long_stretch_without_a_face_is_searched_in_tiles_a_few_times_a_second() -> None:
    """For a second in all of 25 frames, then in each seventh; again in all of a new stretch, or a new chunk."""
    detector, times = Detector(200.0), iter(range(0, 40 * 1000, 40))
    tracker = FaceTracker(detector, 1, Path("me.mp4"))

    def searched(frames: int) -> list[bool]:
        detector.shows_face = False
        detector.tiles_at.clear()
        assert all(tracker.landmarks(FRAME, next(times)) is None for _ in range(frames))
        return detector.tiles_at

    assert searched(60) == [True] * 25 + 5 * ([False] * 6 + [True])
    tracker.start_anew()
    assert searched(30) == [True] * 25 + [False] * 5
    detector.shows_face = True
    assert tracker.landmarks(FRAME, next(times)) is not None
    assert searched(30) == [True] * 25 + [False] * 5
