"""Pictures that are cropped as the generator's camera sees faces, and others."""

import dataclasses
from pathlib import Path

import pytest
import torch

from anifacegan.data.dataset import CoefficientTable
from anifacegan.face_model.face_mesh import FaceMesh, face_mesh
from anifacegan.face_model.load import load_face_model
from anifacegan.training.crop_check import CropFit, crop_fit
from tests.fixtures.tiny_training_set import tiny_codes


@pytest.fixture(scope="module")
def mesh(tiny: Path) -> FaceMesh:
    return face_mesh(load_face_model(tiny / "face_model.npz"))


@pytest.fixture(scope="module")
def codes(tiny: Path) -> CoefficientTable:
    return tiny_codes(tiny)


def check(fit: CropFit, right: float, up: float, scale: float, tolerance: float = 0.01) -> None:
    assert (fit.right_px, fit.up_px) == pytest.approx((right, up), abs=tolerance)
    assert fit.scale == pytest.approx(scale, abs=1e-3) and fit.rest_px < 0.1


def test_synthetic_pictures_fit_the_camera_that_drew_them(mesh: FaceMesh, codes: CoefficientTable) -> None:
    """The tiny head's lids are moved a little; everything else is exact."""
    check(crop_fit(mesh, codes, 12.0), 0, 0, 1, tolerance=0.1)


def test_another_crop_shows_as_offset_and_scale(mesh: FaceMesh, codes: CoefficientTable) -> None:
    exact = crop_fit(mesh, codes, 12.0)
    middle = codes.lm68.mean(dim=1, keepdim=True)
    other = 0.9 * (codes.lm68 - middle) + middle + torch.tensor([7.0, -3.0])
    fit = crop_fit(mesh, dataclasses.replace(codes, lm68=other), 12.0)
    check(fit, exact.right_px + 7, exact.up_px - 3, 0.9 * exact.scale)
    assert "+7.0 right, -3.0 up, 0.900 times" in fit.line() and "\n" not in fit.line()


def test_a_wrong_pitch_offset_shows_as_well(mesh: FaceMesh, codes: CoefficientTable) -> None:
    turned = dataclasses.replace(codes, pose=codes.pose + torch.tensor([0.1, 0.0]))
    assert crop_fit(mesh, turned, 12.0).rest_px > 1
    assert crop_fit(mesh, codes, 12.6).scale == pytest.approx(1.05, abs=0.01)
