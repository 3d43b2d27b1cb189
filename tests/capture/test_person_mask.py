"""The network's file is found, or one line says how to bring it; where MediaPipe is there, it runs."""

import tracemalloc
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from anifacegan.capture import person_mask
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
    assert mask.shape == (120, 90) and mask.dtype == np.uint8 and mask.mean() < 127
    assert not part[61:].any() and not part[:, 66:].any(), "beyond the square"


def segmenter_that_sees(share: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> PersonSegmenter:
    """A segmenter whose network gives this share for whatever it is shown."""
    result = SimpleNamespace(confidence_masks=[SimpleNamespace(numpy_view=lambda: share)])
    network = SimpleNamespace(segment=lambda image: result, close=lambda: None)
    monkeypatch.setattr(person_mask, "person_model_bytes", lambda path: (Path("x.tflite"), b""))
    monkeypatch.setattr(person_mask, "import_mediapipe", lambda: None)
    monkeypatch.setattr(person_mask, "_open_segmenter", lambda path, content: network)
    monkeypatch.setattr(person_mask, "mediapipe_image", lambda mediapipe, image: image)
    return PersonSegmenter(None)


def test_shares_become_bytes_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    share = np.random.default_rng(0).uniform(-0.1, 1.1, (70, 50)).astype(np.float32)
    photograph = np.zeros((70, 50, 3), np.uint8)
    monkeypatch.setattr(person_mask, "STRIP_PIXELS", 333)
    with segmenter_that_sees(share, monkeypatch) as segmenter:
        mask = segmenter.person(photograph, (24.5, 34.5), 1000.0)
    np.testing.assert_array_equal(mask, np.rint(255 * share.clip(0, 1)))


def test_a_large_mask_is_never_whole_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a photograph of 169 megapixels it took 2 GB."""
    side = 6000
    share = np.broadcast_to(np.float32(0.5), (side, side))
    photograph = np.broadcast_to(np.uint8(0), (side, side, 3))
    with segmenter_that_sees(share, monkeypatch) as segmenter:
        tracemalloc.start()
        try:
            segmenter.person(photograph, (side / 2, side / 2), float(side))
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert most < 4 * side * side, "less than a float a pixel"
