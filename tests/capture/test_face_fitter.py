"""From an image to files, with MediaPipe where it is installed; and the limits of what is accepted."""

import dataclasses
import inspect
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from anifacegan.capture.crop import Crop
from anifacegan.capture.face_fitter import FaceFitter, require_plausible, select_face, shared_identity
from anifacegan.capture.fit import LandmarkFit
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.runtime.errors import InputError

UNKNOWNS = 6 + 80 + 51


def fit_with(**changes: object) -> LandmarkFit:
    """A plausible fit with some fields replaced."""
    plain = LandmarkFit(
        pitch=0.0,
        yaw=0.0,
        crop=Crop.whole(64),
        z_id=np.zeros(80),
        strengths=np.zeros(51),
        z_exp=np.zeros(64),
        error_px=2.0,
        normal=np.eye(UNKNOWNS),
    )
    return dataclasses.replace(plain, **changes)


def test_profiles_and_bad_fits_are_refused() -> None:
    require_plausible(fit_with(), Path("good.jpg"))
    with pytest.raises(InputError, match=r"side.jpg: the head is turned by 69 degrees, expected at most"):
        require_plausible(fit_with(yaw=-1.2), Path("side.jpg"))
    with pytest.raises(InputError, match=r"cat.jpg: the landmarks are 20.0 px of 256 from"):
        require_plausible(fit_with(error_px=20.0), Path("cat.jpg"))


def test_a_shared_identity_is_weighted_by_precision() -> None:
    sure = fit_with(z_id=np.ones(80), normal=3 * np.eye(UNKNOWNS))
    np.testing.assert_allclose(shared_identity([sure, fit_with()]), 0.75, atol=1e-9)


class NoDetector:
    """Must not be asked."""


@pytest.mark.parametrize("number", [0, -1, 1.5, "1", True, 10**9])
def test_a_number_that_is_no_face_is_refused(number: object) -> None:
    select = inspect.unwrap(select_face)  # without the checks of types in tests
    with pytest.raises(InputError, match=r"face is .*, expected a whole number from 1 to"):
        select(NoDetector(), np.zeros((9, 9, 3), np.uint8), Path("a.jpg"), number)


@pytest.fixture(scope="module")
def face_fitter(face_model: MorphableModel) -> Iterator[FaceFitter]:
    """The whole chain, where MediaPipe and its file are there."""
    pytest.importorskip("mediapipe", reason="pip install 'anifacegan[photo]'")
    try:
        fitter = FaceFitter(None, None, Path("checkpoints/reconstruction"))
    except InputError as error:
        pytest.skip(str(error))
    with fitter:
        yield fitter


def test_an_image_without_a_face_is_refused(face_fitter: FaceFitter) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    with pytest.raises(InputError, match="noise.png: no face found"):
        face_fitter.select(noise, Path("noise.png"), None)


@pytest.mark.slow  # compiles the renderer
def test_a_synthetic_portrait_is_fitted(face_fitter: FaceFitter, real_renderer: object) -> None:
    from anifacegan.data.synthetic.renderer import render_item

    image, truth = render_item(real_renderer, 4711, 1, 256)
    small = np.full((1100, 1300, 3), 128, np.uint8)
    small[700:956, 200:456] = image  # MediaPipe alone does not see so small a face
    for photograph, corner in ((image, (0, 0)), (small, (200, 700))):
        detected, count = face_fitter.select(photograph, Path("portrait.png"), None)
        assert count == 1
        face = face_fitter.fit(photograph, detected, Path("portrait.png"))
        found = face.coefficients()
        assert found.pose is not None and truth.pose is not None
        assert np.abs(found.pose - truth.pose).max() < 0.12
        places = face.fit.crop.to_photograph(face.lm68) - np.array(corner)
        assert np.linalg.norm(places - truth.lm68 * 255 / 223, axis=1).mean() < 6.0
        assert torch.isfinite(torch.from_numpy(found.gamma)).all()
    with pytest.raises(InputError, match=r"portrait.png: has 1 faces, expected at least 2"):
        face_fitter.select(image, Path("portrait.png"), 2)
