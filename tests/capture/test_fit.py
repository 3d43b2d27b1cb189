"""The fit on synthetic landmarks: projected from known faces of the open face model, with the learned errors."""

from dataclasses import replace

import numpy as np
import pytest

from anifacegan.capture.correspondence import REGRESSED
from anifacegan.capture.crop import Crop
from anifacegan.capture.face_points import SIDES_PER_MODEL_UNIT, project
from anifacegan.capture.fit import LandmarkFit, LandmarkFitter, place_difference
from anifacegan.capture.priors import Estimate
from anifacegan.capture.regressed_face import DOUBT, RegressedFace, weighted_estimate
from anifacegan.face_model.open_model import load_head_parts

CROP = Crop(x=310.0, y=240.0, side=290.0, roll=-0.2)
PITCH, YAW = 0.1, -0.3


@pytest.fixture
def fitter(landmark_fitter: LandmarkFitter) -> LandmarkFitter:
    """A fitter with the shipped correspondence."""
    return landmark_fitter


def person(fitter: LandmarkFitter, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A person of the bank, who opens the jaw, smiles and blinks with one eye."""
    parts, names = load_head_parts(), fitter.points.units.names
    strengths = np.zeros(len(names))
    strengths[[names.index(n) for n in ("jawOpen", "mouthSmileLeft", "mouthSmileRight")]] = 0.5
    strengths[names.index("eyeBlinkLeft")] = 0.9
    return parts.bank_id[seed].astype(np.float64), strengths


def seen(
    fitter: LandmarkFitter, z_id: np.ndarray, strengths: np.ndarray, noise: float, seed: int = 0
) -> np.ndarray:
    """Landmarks as the detector would give them, pixels of a photograph; ``noise`` multiplies the learned errors."""
    learned = fitter.correspondence
    points = fitter.points.unposed(z_id, fitter.points.units.to_exp @ strengths)
    rng = np.random.default_rng(seed)
    error = learned.mean + noise * learned.factors @ rng.standard_normal(learned.factors.shape[1])
    flat = project(points, PITCH, YAW) + SIDES_PER_MODEL_UNIT * error.reshape(-1, 2)
    return CROP.to_photograph(flat)


def distance_px(fitter: LandmarkFitter, fit: LandmarkFit, z_id: np.ndarray, strengths: np.ndarray) -> float:
    """Mean distance of true and fitted points in the photograph, pixels of a crop of 256."""
    units = fitter.points.units
    true = CROP.to_photograph(project(fitter.points.unposed(z_id, units.to_exp @ strengths), PITCH, YAW))
    found = fit.crop.to_photograph(project(fitter.points.unposed(fit.z_id, fit.z_exp), fit.pitch, fit.yaw))
    return float(np.linalg.norm(true - found, axis=1).mean()) / CROP.side * 255


def test_exact_landmarks_give_the_face(fitter: LandmarkFitter) -> None:
    z_id, strengths = person(fitter, 3)
    fit = fitter.fit(seen(fitter, z_id, strengths, noise=0.0))
    names = fitter.points.units.names
    assert abs(fit.yaw - YAW) < 0.03 and abs(fit.pitch - PITCH) < 0.05
    assert fit.crop.roll == pytest.approx(CROP.roll, abs=0.03)
    assert fit.crop.side == pytest.approx(CROP.side, rel=0.05)
    assert fit.strengths[names.index("jawOpen")] == pytest.approx(0.5, abs=0.15)
    assert fit.strengths[names.index("eyeBlinkLeft")] > 0.6 + fit.strengths[names.index("eyeBlinkRight")]
    assert distance_px(fitter, fit, z_id, strengths) < 0.8


def test_noise_of_the_learned_size_is_borne(fitter: LandmarkFitter) -> None:
    z_id, strengths = person(fitter, 8)
    fit = fitter.fit(seen(fitter, z_id, strengths, noise=1.0))
    assert abs(fit.yaw - YAW) < 0.15
    assert (fit.strengths >= 0).all() and (fit.strengths <= 1.05).all()
    assert distance_px(fitter, fit, z_id, strengths) < 5.0


def test_an_upside_down_face_is_fitted(fitter: LandmarkFitter) -> None:
    z_id, strengths = person(fitter, 3)
    landmarks = seen(fitter, z_id, strengths, noise=0.0)
    upright, turned = fitter.fit(landmarks), fitter.fit(500 - landmarks)
    assert turned.yaw == pytest.approx(upright.yaw, abs=1e-6)
    assert abs(abs(turned.crop.roll - upright.crop.roll) - np.pi) < 1e-6


def test_a_known_identity_is_kept(fitter: LandmarkFitter) -> None:
    z_id, strengths = person(fitter, 5)
    fit = fitter.fit(seen(fitter, z_id, strengths, noise=1.0), identity=z_id)
    np.testing.assert_allclose(fit.z_id, z_id, atol=1e-2)


def test_a_certain_estimate_is_followed(fitter: LandmarkFitter) -> None:
    z_id, strengths = person(fitter, 5)
    mean = np.concatenate([[PITCH, YAW], z_id, fitter.points.units.to_exp @ strengths, np.zeros(4)])
    landmarks = seen(fitter, z_id, strengths, noise=1.0)
    alone = fitter.fit(landmarks)
    fit = fitter.fit(landmarks, start=alone, estimate=Estimate(CROP, mean, 1e-6 * np.eye(REGRESSED)))
    assert fit.yaw == pytest.approx(YAW, abs=0.01)
    assert distance_px(fitter, fit, z_id, strengths) < distance_px(fitter, alone, z_id, strengths)


def test_the_population_holds_a_face_whose_estimate_is_not_believed(fitter: LandmarkFitter) -> None:
    z_id, strengths = person(fitter, 5)
    landmarks = seen(fitter, z_id, strengths, noise=1.0)
    alone = fitter.fit(landmarks)
    useless = Estimate(alone.crop, np.full(REGRESSED, 0.1), 1e8 * np.eye(REGRESSED), belief=1e-8)
    fit = fitter.fit(landmarks, start=alone, estimate=useless)

    def unlikely(fitted: LandmarkFit) -> float:
        apart = fitted.z_id - fitter.people.identity_mean
        return float(apart @ fitter.people.identity_precision @ apart) / len(apart)

    # the two differ by the population's poses alone, which an estimate holds
    np.testing.assert_allclose(fit.z_id, alone.z_id, atol=0.05)
    assert unlikely(fit) == pytest.approx(unlikely(alone), rel=0.05)
    unheld = fitter.fit(landmarks, start=alone, estimate=replace(useless, belief=1.0))
    assert unlikely(unheld) > 3 * unlikely(alone)  # without the population shapes run away


def test_a_regressor_that_contradicts_the_landmarks_is_doubted(fitter: LandmarkFitter) -> None:
    landmarks = seen(fitter, *person(fitter, 3), noise=0.0)
    fit, learned = fitter.fit(landmarks), fitter.correspondence
    agreeing = (
        np.concatenate([[fit.pitch, fit.yaw], fit.z_id, fit.z_exp, np.zeros(4)]) - learned.regressor_mean
    )
    apart = np.zeros(REGRESSED)
    apart[2:20] = 3 * learned.regressor_deviation[2:20]

    def believed(numbers: np.ndarray) -> Estimate:
        face = RegressedFace(fit.crop, numbers, np.zeros(80), np.zeros(27))
        return weighted_estimate(face, fit, fitter, landmarks)

    assert np.array_equal(believed(agreeing).covariance, learned.regressor_covariance)
    assert believed(agreeing).belief == 1.0
    once, twice = (believed(agreeing + k * apart) for k in (1, 2))
    growth = twice.covariance[2, 2] / once.covariance[2, 2]
    assert once.covariance[2, 2] > learned.regressor_covariance[2, 2]
    assert once.belief == pytest.approx(learned.regressor_covariance[2, 2] / once.covariance[2, 2], rel=1e-9)
    pose = np.s_[:2, :2]  # is R's all the same
    assert np.array_equal(twice.covariance[pose], learned.regressor_covariance[pose])
    assert growth == pytest.approx(4.0**DOUBT, rel=1e-6)  # a chi-squared statistic grows with the square
    np.testing.assert_allclose(once.mean, agreeing + apart + learned.regressor_mean, atol=1e-12)


def test_derivatives_are_differences(fitter: LandmarkFitter) -> None:
    z_id, strengths = person(fitter, 5)
    points, basis = fitter.points.derivatives(z_id, strengths)
    step = 1e-4
    for column in (0, 40, 80 + fitter.points.units.names.index("jawOpen")):
        moved_id, moved = z_id.copy(), strengths.copy()
        (moved_id if column < 80 else moved)[column % 80] += step
        difference = (fitter.points.unposed(moved_id, fitter.points.units.to_exp @ moved) - points) / step
        still = np.linalg.norm(basis[..., column] - difference, axis=1) < 2e-2 * np.abs(difference).max()
        assert still.mean() > 0.8  # points of the lids do not move linearly


def test_the_difference_of_two_similarities() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((2, 4))
    matrix, offset = place_difference(first)
    np.testing.assert_allclose(matrix @ first + offset, 0, atol=1e-12)
    scale, turn, *shift = matrix @ second + offset
    a, b, c, d = first
    quotient = 1 + scale + 1j * turn
    expected = quotient * (a + 1j * b), quotient * (c + 1j * d) + complex(*shift)
    np.testing.assert_allclose(expected, [complex(*second[:2]), complex(*second[2:])])


def test_noise_does_not_widen_the_crop(fitter: LandmarkFitter) -> None:
    z_id, strengths = person(fitter, 8)
    sides = [fitter.fit(seen(fitter, z_id, strengths, 0.5, seed)).crop.side for seed in range(6)]
    exact = fitter.fit(seen(fitter, z_id, strengths, 0.0)).crop.side
    assert np.mean(sides) == pytest.approx(exact, rel=0.05)
