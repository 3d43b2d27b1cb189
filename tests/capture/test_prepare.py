"""Aligned images and their coefficients belong together, for every camera and mirrored, without MediaPipe."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from anifacegan.capture.face_fitter import FaceFitter, FaceRefusedError, FittedFace
from anifacegan.capture.face_points import FacePoints
from anifacegan.capture.fit import LandmarkFitter
from anifacegan.capture.landmarks import DetectedFace
from anifacegan.capture.light import Colours
from anifacegan.capture.person_mask import PersonSegmenter
from anifacegan.capture.prepare import MIRRORED_SUFFIX, Preparer, item_files, landmark_offset, widening
from anifacegan.face_model.coefficients import read_coefficients
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.open_model import load_head_parts
from anifacegan.geometry.cameras import reconstruction_camera
from anifacegan.runtime.image_files import read_image
from tests.capture.conftest import Motion

SIZE = 64


@pytest.fixture
def fitter(
    landmark_fitter: LandmarkFitter,
    face_model: MorphableModel,
    motion: Motion,
    monkeypatch: pytest.MonkeyPatch,
) -> FaceFitter:
    """A fitter that finds the landmarks of a known motion's frame in every photograph."""
    fitter = object.__new__(FaceFitter)
    fitter.model, fitter.parts, fitter.fitter = face_model, load_head_parts(), landmark_fitter
    fitter._lm68 = FacePoints(face_model, landmark_fitter.points.units, face_model.landmark_vertices.numpy())
    points = motion.landmarks[5]
    fit = landmark_fitter.fit(points, identity=motion.z_id)
    face = FittedFace(
        DetectedFace(points), fit, Colours(np.zeros(80), np.arange(27.0), 0.0), fitter.lm68(fit)
    )
    monkeypatch.setattr(fitter, "select", lambda *arguments: (face.detected, 2), raising=False)
    monkeypatch.setattr(fitter, "fit", lambda *arguments: face)
    return fitter


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """A photograph of noise."""
    path = tmp_path / "a.b.jpg"
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(noise).resize((64, 64)).save(path)
    return path


def test_image_and_landmarks_belong_together_with_every_camera(
    fitter: FaceFitter, photograph: Path, tmp_path: Path
) -> None:
    wide = Preparer(fitter, SIZE, "deep3dfacerecon", mirror=False)
    own = Preparer(fitter, SIZE, "generator", mirror=False)
    item = own.prepare(photograph, tmp_path / "own" / "a.b")
    assert item.reason is None and item.several
    assert (
        abs(item.offset[0]) < 1 and abs(item.offset[1]) < 1 and item.offset[2] == pytest.approx(1, abs=0.01)
    )
    wide.prepare(photograph, tmp_path / "wide" / "a.b")
    found = {name: read_coefficients(tmp_path / name / "a.b.mat") for name in ("own", "wide")}
    middle, factor = 223 / 2, widening("deep3dfacerecon")
    assert factor == pytest.approx(111.5 / 1015 / np.tan(np.radians(6)), rel=1e-9)
    np.testing.assert_allclose(factor * (found["wide"].lm68 - middle), found["own"].lm68 - middle, atol=1e-3)
    face = found["wide"]
    camera = reconstruction_camera(
        torch.from_numpy(face.angle)[None], torch.from_numpy(face.trans)[None], SIZE
    )
    with torch.no_grad():
        shape = fitter.model.shape(torch.from_numpy(face.id)[None], torch.from_numpy(face.exp)[None])
        projected = camera.project(shape[:, fitter.model.landmark_vertices])[0].numpy()
    np.testing.assert_allclose(projected * 223 / (SIZE - 1), face.lm68, atol=0.3)


def test_mirror_images_are_exact(fitter: FaceFitter, photograph: Path, tmp_path: Path) -> None:
    target = tmp_path / "data" / "a"
    Preparer(fitter, SIZE, "gram", mirror=True).prepare(photograph, target)
    mirrored = target.with_name("a" + MIRRORED_SUFFIX)
    plain, other = (read_image(path.with_suffix(".png"), "RGB") for path in (target, mirrored))
    assert (plain[:, ::-1] == other).all()
    face, turned = (read_coefficients(path.with_suffix(".mat")) for path in (target, mirrored))
    assert (
        face.pose is not None
        and turned.pose is not None
        and face.lm68 is not None
        and turned.lm68 is not None
    )
    np.testing.assert_allclose(turned.pose, face.pose * [1, -1])
    np.testing.assert_allclose(turned.lm68[8, 0], 223 - face.lm68[8, 0], atol=1e-4)
    shapes = [
        fitter.model.shape(torch.from_numpy(one.id)[None], torch.from_numpy(one.exp)[None])[0].numpy()
        for one in (face, turned)
    ]
    left, right = (shape[fitter.model.landmark_vertices.numpy()] for shape in shapes)
    np.testing.assert_allclose(left[8] * [-1, 1, 1], right[8], atol=2e-3)
    assert all(path.is_file() for path in item_files(target, mirror=True))
    assert set(item_files(target, mirror=True)) == {
        path.with_suffix(suffix) for path in (target, mirrored) for suffix in (".mat", ".png")
    }


def test_masks_show_the_same_part_of_the_photograph(
    fitter: FaceFitter, photograph: Path, tmp_path: Path
) -> None:
    class RedSegmenter(PersonSegmenter):
        """Takes the red channel of a photograph for the person."""

        def __init__(self) -> None:
            pass

        def person(self, pixels: np.ndarray, centre: tuple[float, float], half: float) -> np.ndarray:
            assert half > 0
            return pixels[..., 0].copy()

    target, mask = tmp_path / "data" / "a", tmp_path / "data-masks" / "a"
    preparer = Preparer(fitter, SIZE, "gram", mirror=True, segmenter=RedSegmenter())
    assert preparer.prepare(photograph, target, mask).reason is None
    for path in item_files(mask, True, (".png",)):
        drawn = read_image(path, "RGB")
        image = read_image(target.with_name(path.stem).with_suffix(".png"), "RGB")
        assert np.ptp(drawn, axis=-1).max() == 0
        np.testing.assert_allclose(drawn[..., 0].astype(int), image[..., 0], atol=2)


def test_bad_photographs_are_named_with_reasons(
    fitter: FaceFitter, photograph: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    preparer = Preparer(fitter, SIZE, "generator", mirror=False)
    item = preparer.prepare(broken, tmp_path / "out" / "broken")
    assert item.reason == "not a readable image" and "broken.png" in item.message

    def refuse(*arguments: object) -> None:
        raise FaceRefusedError("no face", "a.jpg: no face found")

    monkeypatch.setattr(fitter, "select", refuse)
    item = preparer.prepare(photograph, tmp_path / "out" / "a")
    assert (item.reason, item.message) == ("no face", "a.jpg: no face found")
    assert not (tmp_path / "out").exists()


def test_offsets_of_landmarks() -> None:
    points = np.random.default_rng(0).standard_normal((478, 2)) * 0.1
    right, up, scale, rest = landmark_offset(1.1 * points + [0.01, -0.02], points)
    middle = 0.1 * 223 * points.mean(axis=0)
    assert right == pytest.approx(2.23 + middle[0]) and up == pytest.approx(4.46 - middle[1])
    assert scale == pytest.approx(1.1) and rest == pytest.approx(0, abs=1e-9)
