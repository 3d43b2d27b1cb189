"""Exposure and tone: from linear light to bytes."""

import numpy as np
import pytest

from anifacegan.data.rasterized_mesh import RasterizedMesh
from anifacegan.data.synthetic.looks.colour import linear_light, srgb_encoded
from anifacegan.data.synthetic.shading.development import MIDDLE_GREY, develop, exposure_of
from anifacegan.data.synthetic.strands.drawing import StrandImage


def samples(size: int, covered: bool) -> RasterizedMesh:
    nothing = np.zeros(0, np.float32)
    triangle = np.full((size, size), 0 if covered else -1, np.int32)
    return RasterizedMesh(nothing, nothing, nothing, triangle, np.zeros((size, size), np.float32))


def no_strands(size: int) -> StrandImage:
    flat = np.zeros((size, size), np.float32)
    return StrandImage(flat + 1, np.zeros((size, size, 3), np.float32), flat)


def developed(value: float, exposure: float = 1.0) -> int:
    picture = np.full((3, 3, 3), value, np.float32)
    image = develop(
        picture, samples(3, covered=True), no_strands(3), np.zeros((1, 1, 3), np.float32), exposure
    )
    assert len(set(image.ravel().tolist())) == 1
    return int(image[0, 0, 0])


def test_light_gets_brighter_monotonously_and_never_clips_early() -> None:
    values = [developed(light) for light in np.linspace(0, 3, 60)]
    assert values[0] == 0 and (np.diff(values) >= 0).all()
    assert developed(0.9) < 240 < developed(4.0)


def test_exposure_is_a_factor_of_the_light() -> None:
    assert developed(0.1, 2.0) == developed(0.2, 1.0)


def test_a_face_of_mean_skin_is_exposed_to_middle_grey_whatever_its_light() -> None:
    for light in (0.2, 1.7):
        assert exposure_of(light, 0.33, 1.0) * light * 0.33 == pytest.approx(MIDDLE_GREY)
    dark, fair = (exposure_of(1.0, skin, 1.0) * skin for skin in (0.08, 0.5))
    assert dark < MIDDLE_GREY < fair  # a dark face stays darker


def test_strands_cover_the_background_by_their_share() -> None:
    picture = np.zeros((2, 2, 3), np.float32)
    half = np.full((2, 2), 0.5, np.float32)
    hair = StrandImage(half, np.full((2, 2, 3), 0.5 * 0.2, np.float32), half)
    background = np.full((1, 1, 3), 0.4, np.float32)
    blended = develop(picture, samples(2, covered=False), hair, background, 1.0)
    assert abs(int(blended[0, 0, 0]) - developed(0.3)) <= 1  # the mean of 0.2 and 0.4, rounded


def test_srgb_is_decoded_to_what_it_was_encoded_from() -> None:
    values = np.linspace(0, 1, 30, dtype=np.float32)
    encoded = np.array([srgb_encoded(value) for value in values])
    assert np.allclose(
        linear_light(np.stack([encoded] * 3, axis=1))[:, 0], values, atol=1e-5
    )  # powers in float32
    assert srgb_encoded(np.float32(0.2140)) == pytest.approx(0.5, abs=1e-3)
