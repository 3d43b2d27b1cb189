"""Colours of the average head: nostrils are dark openings, and the columella between them is skin."""

import pytest
import torch
from torch import Tensor

from anifacegan.face_model.morphable import MorphableModel
from anifacegan.geometry.cameras import Camera, orbit_camera
from anifacegan.geometry.rasterization.rasterizer import interpolate, rasterize

SIZE = 256
CENTRE_OF_COLUMELLA, WINGS, CHEEKS = 33, (31, 35), (2, 14)
"""Landmarks: between the nostrils, beside them, and on the jaw."""


def frontal_camera() -> Camera:
    return orbit_camera(yaw=torch.zeros(1), pitch=torch.zeros(1), size=SIZE)


@pytest.fixture(scope="module")
def albedo(face_model: MorphableModel) -> Tensor:
    """(256, 256) brightness of the average face's colours, without light."""
    fragments = rasterize(face_model.to_world(face_model.mean[None]), face_model.triangles, frontal_camera())
    return interpolate(face_model.tex_mean, face_model.triangles, fragments)[0].mean(dim=-1)


def landmark_px(face_model: MorphableModel, index: int) -> tuple[int, int]:
    world = face_model.to_world(face_model.landmarks(face_model.mean[None]))
    x, y = frontal_camera().project(world)[0, index].round().long().tolist()
    return x, y


@pytest.mark.parametrize("wing", WINGS)
def test_both_nostrils_are_dark_openings_of_some_pixels(
    face_model: MorphableModel, albedo: Tensor, wing: int
) -> None:
    x_middle, y_middle = landmark_px(face_model, CENTRE_OF_COLUMELLA)
    x_wing, y_wing = landmark_px(face_model, wing)
    left, right = sorted((x_middle, x_wing))
    nostril = albedo[y_wing - 6 : y_middle + 1, left : right + 1]
    skin = torch.stack([albedo[landmark_px(face_model, cheek)[::-1]] for cheek in CHEEKS]).mean()
    assert 8 <= (nostril < 0.7 * skin).sum() <= 60
    assert nostril.min() < 0.5 * skin


def test_the_columella_between_the_nostrils_is_skin(face_model: MorphableModel, albedo: Tensor) -> None:
    x, y = landmark_px(face_model, CENTRE_OF_COLUMELLA)
    skin = torch.stack([albedo[landmark_px(face_model, cheek)[::-1]] for cheek in CHEEKS]).mean()
    assert albedo[y - 3 : y, x].min() > 0.6 * skin
