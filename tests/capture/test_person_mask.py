"""The network's file is found, or one line says how to bring it; where MediaPipe is there, it runs."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from anifacegan.capture.person_mask import PersonSegmenter, person_model_bytes
from anifacegan.runtime.errors import InputError

INSIDE = "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite"


def test_the_file_is_read_from_a_wheel_or_by_itself(tmp_path: Path) -> None:
    wheel, alone = tmp_path / "mediapipe-0.10.21.whl", tmp_path / "selfie_segmentation.tflite"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(INSIDE, b"network")
    alone.write_bytes(b"network")
    for place in (wheel, alone):
        assert person_model_bytes(place) == (place, b"network")


def test_the_cache_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANIFACEGAN_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"not found; 'pip download .* mediapipe==0.10.21' brings a wheel"):
        person_model_bytes()
    (tmp_path / "selfie_segmentation.tflite").write_bytes(b"network")
    assert person_model_bytes()[1] == b"network"


def test_wrong_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"missing.tflite: no such file, expected selfie_segmentation.tflite"
    ):
        person_model_bytes(tmp_path / "missing.tflite")
    (tmp_path / "a.whl").write_bytes(b"text")
    with pytest.raises(
        InputError, match=r"a.whl: not a readable zip archive .*, expected the wheel of mediapipe"
    ):
        person_model_bytes(tmp_path / "a.whl")
    with zipfile.ZipFile(tmp_path / "b.whl", "w") as archive:
        archive.writestr("other.py", "")
    with pytest.raises(InputError, match=r"b.whl: holds no selfie_segmentation.tflite"):
        person_model_bytes(tmp_path / "b.whl")


def test_a_file_that_is_no_network_is_refused_in_one_line(tmp_path: Path) -> None:
    pytest.importorskip("mediapipe", reason="pip install 'anifacegan[photo]'")
    (tmp_path / "x.tflite").write_bytes(b"no network")
    with pytest.raises(InputError, match=r"x.tflite: mediapipe cannot open it") as caught:
        PersonSegmenter(tmp_path / "x.tflite")
    assert "\n" not in str(caught.value)


def test_an_empty_wall_has_no_person() -> None:
    pytest.importorskip("mediapipe", reason="pip install 'anifacegan[photo]'")
    try:
        segmenter = PersonSegmenter(None)
    except InputError as error:
        pytest.skip(str(error))
    with segmenter:
        wall = np.full((120, 90, 3), 128, np.uint8)
        mask = segmenter.person(wall, (45.0, 40.0), 60.0)
        part = segmenter.person(wall, (45.0, 40.0), 20.0)
    assert mask.shape == (120, 90) and mask.min() >= 0 and mask.max() <= 1 and mask.mean() < 0.5
    assert not part[61:].any() and not part[:, 66:].any(), "beyond the square"
