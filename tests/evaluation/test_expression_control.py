"""Expression control: known errors of the coefficients are measured."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from anifacegan.evaluation.expression_control import SIZE, expression_items
from anifacegan.evaluation.judge import Judge
from anifacegan.evaluation.targets import interocular, target_angle
from anifacegan.face_model.regressed import Reconstruction, pose_of
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.models.coefficient_vae import Latents
from anifacegan.models.latent_sampling import PosedLatents
from tests.fixtures.judged_model import tiny_judge
from tests.fixtures.tiny_head import tiny_model

COUNT = 30


@pytest.fixture(scope="module")
def judge(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Judge:
    return tiny_judge(tiny, tmp_path_factory.mktemp("judge"))


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def requested() -> PosedLatents:
    latents = Latents(*(normal(COUNT, size, seed=k) for k, size in enumerate((80, 64, 80))))
    return PosedLatents(latents, 0.3 * normal(COUNT, 2, seed=3))


def perfect(views: PosedLatents) -> Reconstruction:
    """What a perfect judge finds in perfect images."""
    zeros = torch.zeros(COUNT, 257)
    zeros[:, :80], zeros[:, 80:144], zeros[:, 224:227] = (
        views.latents.z_id,
        views.latents.z_exp,
        target_angle(views.pose),
    )
    return Reconstruction.from_rows(zeros)


def test_angles_of_the_camera_are_the_judges() -> None:
    views = requested()
    torch.testing.assert_close(pose_of(target_angle(views.pose)), views.pose, atol=1e-5, rtol=0)


def test_the_target_coefficients_have_no_error(judge: Judge) -> None:
    report = expression_items(requested(), perfect(requested()), judge).report()
    assert report.correlation == pytest.approx(1, abs=1e-6) == report.correlation_all
    assert report.yaw_correlation == pytest.approx(1, abs=1e-6)
    assert max(report.aed, report.aed_rms, report.apd_deg, report.apd_rms_deg, report.landmarks_mm) == 0
    assert report.landmarks_px < 1e-3 and report.count == COUNT


def test_a_constant_error_is_the_aed_and_leaves_the_correlation(judge: Judge) -> None:
    shift = torch.tensor([0.3, -0.1]).repeat(32)
    found = dataclasses.replace(perfect(requested()), exp=requested().latents.z_exp + shift)
    report = expression_items(requested(), found, judge).report()
    assert report.aed == pytest.approx(0.2, rel=1e-5)
    assert report.aed_rms == pytest.approx(math.sqrt((0.09 + 0.01) / 2), rel=1e-5)
    assert report.correlation == pytest.approx(1, abs=1e-6)


def test_wrong_coefficients_lose_their_own_correlation(judge: Judge) -> None:
    exp = requested().latents.z_exp.clone()
    exp[:, 3] *= -1
    exp[:, 40:] = 7.0  # says nothing: 0
    report = expression_items(requested(), dataclasses.replace(perfect(requested()), exp=exp), judge).report()
    assert report.correlations[3] == pytest.approx(-1) == report.correlation_lowest
    assert report.correlation == pytest.approx(0.8) and report.correlation_all == pytest.approx(38 / 64)


def test_turned_heads_are_the_apd_in_degrees(judge: Judge) -> None:
    turn = torch.deg2rad(torch.tensor([1.0, -2.0, 6.0]))
    found = perfect(requested())
    found = dataclasses.replace(found, angle=found.angle + turn)
    report = expression_items(requested(), found, judge).report()
    assert (report.yaw_deg, report.pitch_deg, report.roll_deg) == pytest.approx((2, 1, 6), rel=1e-4)
    assert report.apd_deg == pytest.approx(3, rel=1e-4)
    assert report.apd_rms_deg == pytest.approx(math.sqrt(41 / 3), rel=1e-4)
    assert report.landmarks_px > 1 and report.landmarks_mm == 0


def test_landmarks_are_those_of_the_face_model_in_the_generators_camera(judge: Judge) -> None:
    """A judge who always says neutral is wrong by the expression's own motion, seen by the camera."""
    views = requested()
    found = dataclasses.replace(perfect(views), exp=torch.zeros(COUNT, 64))
    report = expression_items(views, found, judge).report()
    model = tiny_model()
    neutral, expressive = (
        model.landmarks(model.shape(views.latents.z_id, exp)) for exp in (found.exp, views.latents.z_exp)
    )
    pitch, yaw = views.pose.unbind(-1)
    camera = orbit_camera(yaw=yaw, pitch=pitch, size=SIZE)
    px = (camera.project(0.1 * neutral) - camera.project(0.1 * expressive)).norm(dim=-1).mean(dim=1)
    eyes = 0.1 * interocular(neutral)
    apart = 0.1 * (neutral - expressive).norm(dim=-1).mean(dim=1)
    assert report.landmarks_px == pytest.approx(float(px.mean()), rel=1e-3)
    assert report.landmarks_mm == pytest.approx(1000 * float(apart.mean()), rel=1e-4)
    assert report.landmarks_mm_interocular == pytest.approx(float((apart / eyes).mean()), rel=1e-4)
    scale = (SIZE - 1) / 2 / math.tan(math.radians(6))  # pixels per world unit at distance 1
    assert report.landmarks_px_interocular == pytest.approx(float((px / eyes).mean()) / scale, rel=1e-3)


def test_eyes_are_as_far_apart_as_their_centres() -> None:
    points = torch.zeros(1, 68, 3)
    points[:, 36:42] = torch.tensor([-3.0, 0, 0])
    points[:, 42:48] = torch.tensor([0.0, 4, 0])
    assert float(interocular(points)) == pytest.approx(5)
