"""Smoothing removes noise, keeps blinks, and bridges frames without a fit."""

import numpy as np

from anifacegan.capture.film_smoothing import (
    BELIEVED,
    accelerations,
    bridged_normal,
    bridged_unknowns,
    smoothed,
)

NAMES = ("eyeBlinkLeft", "mouthSmileLeft")
COUNT = 6 + len(NAMES)
TIMES = np.arange(60) / 25


def roughness(rows: np.ndarray) -> float:
    return float(np.abs(np.diff(rows, 2, axis=0)).mean())


def test_noise_goes_and_blinks_stay() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros((len(TIMES), COUNT))
    truth[:, 1] = 0.1 * np.sin(2 * TIMES)
    truth[:, 6] = np.exp(-np.square((TIMES - 1.2) / 0.06))
    truth[:, 7] = 0.5 + 0.3 * np.sin(3 * TIMES)
    noisy = truth + 0.02 * rng.standard_normal(truth.shape)
    normal = np.repeat(np.eye(COUNT)[None] / 0.02**2, len(TIMES), axis=0)
    found = smoothed(noisy, normal, TIMES, accelerations(NAMES))
    for column in (1, 7):
        assert roughness(found[:, column]) < 0.3 * roughness(noisy[:, column])
        assert np.abs(found - truth)[:, column].mean() < 0.7 * np.abs(noisy - truth)[:, column].mean()
    assert found[:, 6].max() > 0.93 * truth[:, 6].max()
    assert found[:, 6:].min() >= 0


def test_it_is_the_minimum_of_its_sum_at_uneven_times() -> None:
    rng = np.random.default_rng(1)
    times = np.cumsum(rng.uniform(0.01, 0.1, 12))
    roots = rng.standard_normal((12, COUNT, COUNT)) * 20
    normal = roots @ roots.transpose(0, 2, 1)
    unknowns = 0.5 + 0.01 * rng.standard_normal((12, COUNT))
    acceleration = accelerations(NAMES)
    found = smoothed(unknowns, normal, times, acceleration)

    def value(rows: np.ndarray) -> float:
        apart = rows - unknowns
        slopes = np.diff(rows, axis=0) / np.diff(times)[:, None]
        second = np.diff(slopes, axis=0) / ((times[2:] - times[:-2]) / 2)[:, None]
        return float(
            BELIEVED * np.einsum("fi,fij,fj", apart, normal, apart) + np.square(second / acceleration).sum()
        )

    for _ in range(20):
        assert value(found) < value(found + 1e-4 * rng.standard_normal(found.shape))


def test_a_gap_is_bridged() -> None:
    truth = np.repeat((0.3 + 0.2 * np.sin(2 * TIMES))[:, None], COUNT, axis=1)
    fitted = np.ones(len(TIMES), bool)
    fitted[25:32] = False
    fitted[:3] = False
    broken = np.where(fitted[:, None], truth, 9.0)
    normal = np.repeat(np.eye(COUNT)[None] / 0.02**2, len(TIMES), axis=0)
    filled = bridged_unknowns(broken, fitted, TIMES)
    found = smoothed(filled, bridged_normal(normal, fitted), TIMES, accelerations(NAMES))
    np.testing.assert_allclose(found[25:32], truth[25:32], atol=0.03)
    assert (filled[:3] == truth[3]).all() and np.abs(found[:3] - truth[:3]).max() < 0.1


def test_a_turn_of_the_head_in_half_a_second_keeps_its_size() -> None:
    turning = 0.4 * np.cos(2 * np.pi * TIMES)  # radians, at one hertz
    truth = np.zeros((len(TIMES), COUNT))
    truth[:, 1] = turning
    normal = np.repeat(np.eye(COUNT)[None] / 0.01**2, len(TIMES), axis=0)
    found = smoothed(truth, normal, TIMES, accelerations(NAMES))[:, 1]
    assert np.polyfit(turning, found, 1)[0] > 0.9
