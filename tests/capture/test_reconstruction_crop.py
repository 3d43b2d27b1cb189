"""Deep3DFaceRecon's crop: of a real file's landmarks, of a standard face, and of moved photographs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from anifacegan.capture.correspondence import load_correspondence
from anifacegan.capture.crop import Crop
from anifacegan.capture.reconstruction_crop import (
    LANDMARKS_68,
    PIXELS_PER_MODEL_UNIT,
    STANDARD_POINTS,
    cut_upright,
    reconstruction_crop,
    tilt,
)
from anifacegan.face_model.coefficients import read_coefficients
from anifacegan.face_model.morphable import ALIGNMENT_LANDMARKS, MorphableModel
from anifacegan.geometry.cameras import reconstruction_camera


def lm68_of(five: np.ndarray) -> np.ndarray:
    """68 landmarks whose five alignment points are given; the others are far away."""
    lm68 = np.full((68, 2), 1e4)
    for point, landmarks in zip(five, ALIGNMENT_LANDMARKS, strict=True):
        lm68[list(landmarks)] = point
    return lm68


def projected(
    trans: tuple[float, float, float] = (0.0, 0.0, 0.0), angle: tuple[float, float, float] = (0.0, 0.0, 0.0)
) -> np.ndarray:
    """68 landmarks of the standard face in Deep3DFaceRecon's image."""
    camera = reconstruction_camera(torch.tensor([angle]), torch.tensor([trans]), 224)
    return lm68_of(camera.project(torch.from_numpy(STANDARD_POINTS).float()[None])[0].double().numpy())


def test_a_real_file_s_face_is_brought_to_the_middle_at_102_px_a_unit(official: Path) -> None:
    """Its network says where the face's origin is; the crop finds it from the landmarks alone.

    Measured: 0.8 px right, 1.0 px down, 0.6 % larger. The file's own image is in GRAM's crop, whose standard points are
    0.2 units lower, at 95 px a unit; with those points, the origin would be missed by 16 px.
    """
    face = read_coefficients(official / "01626.mat")
    assert face.lm68 is not None
    crop = reconstruction_crop(face.lm68.astype(np.float64))
    pixels_per_unit = 1015 / (10 - face.trans[2])
    origin = 111.5 + pixels_per_unit * face.trans[:2] * [1, -1]
    assert np.abs(np.array([crop.x, crop.y]) - origin).max() < 1.5
    assert crop.side / 223 == pytest.approx(pixels_per_unit / PIXELS_PER_MODEL_UNIT, rel=0.01)


def test_a_standard_face_is_its_own_crop() -> None:
    """But for perspective: the five points are 0.13 to 0.55 units nearer than the origin, 1 to 6 % larger, and 102 px a
    unit are 0.5 % more than the camera's 101.5."""
    crop = reconstruction_crop(projected())
    assert np.abs([crop.x - 111.5, crop.y - 111.5]).max() < 1.0
    assert crop.side / 223 == pytest.approx(1.0, abs=0.03)
    moved = reconstruction_crop(projected(trans=(0.3, -0.2, -10.0)))  # twice as far away
    assert [moved.x, moved.y] == pytest.approx([111.5 + 0.3 * 50.75, 111.5 + 0.2 * 50.75], abs=0.6)
    assert moved.side / 223 == pytest.approx(0.5, abs=0.015)


@pytest.mark.parametrize("angle", [0.0, 0.2, -0.5])
@pytest.mark.parametrize(("scale", "shift"), [(1.0, (0.0, 0.0)), (2.7, (500.0, -40.0)), (0.4, (-3.3, 8.7))])
def test_a_moved_photograph_shows_the_same_face_in_the_same_crop(
    scale: float, shift: tuple[float, float], angle: float
) -> None:
    """The middle follows exactly, as the fit is linear; the scale changes with the tilt where a face is not the
    standard one, as it is the mean of two lengths that then differ (measured: 0.02 %)."""
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    lm68 = projected(trans=(0.1, 0.05, -1.0), angle=(0.2, 0.5, 0.0))
    lm68 = lm68_of(
        lm68[[36, 42, 30, 48, 54]] + np.random.default_rng(0).normal(0, 3, (5, 2))
    )  # another person
    before, after = reconstruction_crop(lm68), reconstruction_crop(scale * lm68 @ turn + np.array(shift))
    expected = scale * np.array([before.x, before.y]) @ turn + np.array(shift)
    np.testing.assert_allclose([after.x, after.y], expected, atol=1e-6)
    assert after.side == pytest.approx(scale * before.side, rel=1e-3)
    assert after.roll == 0
    assert tilt(scale * lm68 @ turn + np.array(shift)) == pytest.approx(tilt(lm68) + angle, abs=1e-9)


def waves(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A photograph without edges: bytes at places of any precision."""
    levels = [np.sin(x / 9) * np.cos(y / 13), np.cos((x + y) / 11), np.sin((x - 2 * y) / 17)]
    return np.rint(128 + 100 * np.stack(levels, axis=-1)).astype(np.uint8)


@pytest.mark.parametrize("scale", [0.7, 1.0, 2.6])
def test_pixels_are_those_at_the_crop_s_places(scale: float) -> None:
    """``scale`` pixels of the photograph become one; rounding twice costs 1 level, bicubic weights some more."""
    rows, columns = np.mgrid[0:700, 0:800].astype(np.float64)
    photograph = waves(columns / scale, rows / scale)
    crop = Crop(x=390.3, y=340.8, side=223 * scale)
    places = crop.to_photograph(np.stack(np.meshgrid(*2 * [np.linspace(-0.5, 0.5, 224)]), axis=-1)) / scale
    apart = cut_upright(photograph, crop, 224).astype(int) - waves(places[..., 0], places[..., 1]).astype(int)
    assert np.abs(apart).max() <= 3


def test_an_image_of_224_px_that_is_the_crop_already_stays_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    assert np.array_equal(cut_upright(image, Crop.whole(224), 224), image)
    beside = cut_upright(image, Crop(x=111.5 - 100, y=111.5, side=223.0), 224)
    assert np.array_equal(beside[:, 100:], image[:, :124]) and not beside[:, :100].any()  # black beyond


def test_the_alignment_landmarks_are_those_of_the_face_model(face_model: MorphableModel) -> None:
    """Measured in the mean face, seen from the front, by the learned errors of the detector: corners of the eyes and of
    the mouth, and the tip of the nose, within 2 px of 224, all 68 by 6 px on average (brows lie at their upper edge,
    the jaw at the outline of the face)."""
    learned = load_correspondence(len(face_model.mean))
    mean = face_model.mean.double().numpy()
    seen = mean[learned.vertices, :2] + learned.mean.reshape(-1, 2) * [1, -1]
    apart = seen[LANDMARKS_68] - mean[face_model.landmark_vertices.numpy(), :2]
    distance = PIXELS_PER_MODEL_UNIT * np.linalg.norm(apart, axis=1)
    assert distance[[index for part in ALIGNMENT_LANDMARKS for index in part]].max() < 2.0
    assert distance.mean() < 6.5


def test_the_68_landmarks_mirror_as_the_detector_s() -> None:
    mirrored = load_correspondence(None).mirrored
    halves = [(0, 16), (17, 26), (31, 35), (36, 45), (39, 42), (48, 54), (60, 64)]
    for left, right in halves:
        assert mirrored[LANDMARKS_68[left]] == LANDMARKS_68[right]
    assert len(set(LANDMARKS_68.tolist())) == 68
