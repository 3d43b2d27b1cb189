"""Images that are cropped as the generator's camera sees faces, and others."""

import dataclasses
from pathlib import Path

import pytest
import torch

from anifacegan.data.dataset import CoefficientTable
from anifacegan.face_model.face_mesh import FaceMesh, face_mesh
from anifacegan.face_model.load import load_face_model
from anifacegan.training.crop_check import CropCheck, crop_check
from tests.fixtures.tiny_training_set import tiny_latents


@pytest.fixture(scope="module")
def mesh(tiny: Path) -> FaceMesh:
    return face_mesh(load_face_model(tiny / "face_model.npz"))


@pytest.fixture(scope="module")
def latents(tiny: Path) -> CoefficientTable:
    return tiny_latents(tiny)


def check(fit: CropCheck, right: float, up: float, scale: float, tolerance: float = 0.01) -> None:
    assert (fit.right_px, fit.up_px) == pytest.approx((right, up), abs=tolerance)
    assert fit.scale == pytest.approx(scale, abs=1e-3) and fit.rest_px < 0.1


def test_synthetic_images_fit_the_camera_that_drew_them(mesh: FaceMesh, latents: CoefficientTable) -> None:
    """The tiny head's lids are moved a little; everything else is exact."""
    check(crop_check(mesh, latents, 12.0), 0, 0, 1, tolerance=0.1)


def test_another_crop_shows_as_offset_and_scale(mesh: FaceMesh, latents: CoefficientTable) -> None:
    exact = crop_check(mesh, latents, 12.0)
    middle = latents.lm68.mean(dim=1, keepdim=True)
    other = 0.9 * (latents.lm68 - middle) + middle + torch.tensor([7.0, -3.0])
    fit = crop_check(mesh, dataclasses.replace(latents, lm68=other), 12.0)
    check(fit, exact.right_px + 7, exact.up_px + 3, 0.9 * exact.scale)  # y of lm68 is down: -3 is 3 up
    assert "+7.0 right, +3.0 up, scale 0.900" in fit.line() and "\n" not in fit.line()


def test_landmarks_that_are_upside_down_do_not_fit(mesh: FaceMesh, latents: CoefficientTable) -> None:
    """The inner landmarks are an image height / 3 high: turned over, they miss by a good part of that."""
    over = torch.stack([latents.lm68[..., 0], 223 - latents.lm68[..., 1]], dim=-1)
    assert crop_check(mesh, dataclasses.replace(latents, lm68=over), 12.0).rest_px > 20


def test_a_wrong_pitch_offset_shows_as_well(mesh: FaceMesh, latents: CoefficientTable) -> None:
    turned = dataclasses.replace(latents, pose=latents.pose + torch.tensor([0.1, 0.0]))
    assert crop_check(mesh, turned, 12.0).rest_px > 1
    assert crop_check(mesh, latents, 12.6).scale == pytest.approx(1.05, abs=0.01)
