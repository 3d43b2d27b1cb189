"""Intervals by drawing items again: closed forms, slow references, and how often they hold the truth."""

import math

import numpy as np
import pytest

from anifacegan.evaluation.bootstrap import (
    DRAWS_PER_BATCH,
    BootstrapStatistics,
    Difference,
    Estimate,
    differences,
    interval,
    pair_mean,
    resample_weights,
    weighted_correlation,
    weighted_mean,
    weighted_ratio,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def mean_of(values: np.ndarray) -> BootstrapStatistics:
    return BootstrapStatistics(
        {"items": len(values)}, lambda weights: {"mean": weighted_mean(weights[0], values)}
    )


def repeated(weights: np.ndarray) -> list[np.ndarray]:
    """Indices, each as often as its weight says."""
    return [np.repeat(np.arange(len(row)), row.astype(int)) for row in weights]


# ------------------------------------------------------------------------------------------------- numbers of weights
def test_draws_are_as_many_items_as_there_are() -> None:
    weights = resample_weights(7, 500, rng())
    assert weights.shape == (500, 7) and (weights.sum(axis=1) == 7).all() and (weights % 1 == 0).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.15)  # deviation 0.93 / sqrt(500) = 0.04
    np.testing.assert_allclose(weights.var(axis=0), 6 / 7, atol=0.25)


def test_means_ratios_and_correlations_are_those_of_repeated_items() -> None:
    x, y = rng(1).normal(size=(2, 9, 3))
    weights = resample_weights(9, 20, rng())
    for k, selected in enumerate(repeated(weights)):
        np.testing.assert_allclose(weighted_mean(weights, x)[k], x[selected].mean(axis=0), rtol=1e-12)
        ratio = weighted_ratio(weights, x[:, 0], 5 + y[:, 0])[k]
        assert ratio == pytest.approx(x[selected, 0].sum() / (5 + y[selected, 0]).sum(), rel=1e-12)
        slow = [np.corrcoef(x[selected, c], y[selected, c])[0, 1] for c in range(3)]
        np.testing.assert_allclose(weighted_correlation(weights, x, y)[k], slow, rtol=1e-9)
    constant = weighted_correlation(weights, np.ones_like(x), y)
    assert np.abs(constant).max() == 0


def test_an_item_that_came_up_twice_is_no_pair_with_itself() -> None:
    points = rng(1).normal(size=(6, 2))
    distance = np.linalg.norm(points[:, None] - points, axis=-1)
    np.fill_diagonal(distance, 7.0)  # of one person's images, say
    weights = resample_weights(6, 20, rng())
    for k, selected in enumerate(repeated(weights)):
        pairs = [distance[i, j] for a, i in enumerate(selected) for j in selected[:a] if i != j]
        assert pair_mean(weights, distance)[k] == pytest.approx(np.mean(pairs), rel=1e-12)
    nobody_else = np.array([[3.0, 0, 0, 0, 0, 0]])
    assert math.isnan(pair_mean(nobody_else, distance)[0]) and math.isnan(
        weighted_ratio(nobody_else, points[:, 0], np.zeros(6))[0]
    )


# ---------------------------------------------------------------------------------------------------------- intervals
def test_the_interval_of_a_normal_mean_is_the_closed_form() -> None:
    """mean +- 1.96 deviation / sqrt(n); 4000 draws place a quantile within about 3 %."""
    values = rng(3).normal(5, 2, size=400)
    found = differences(mean_of(values), mean_of(values), 4000, rng())["mean"].a
    half = 1.96 * values.std() / math.sqrt(400)
    assert found.value == pytest.approx(values.mean(), rel=1e-12)
    assert found.low == pytest.approx(values.mean() - half, abs=0.06 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.06 * half)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """300 sets of known mean: 95 %, give or take three binomial deviations (3.8 %) and what 60 items leave short."""
    held = 0
    for k in range(300):
        found = differences(mean_of(rng(k).normal(5, 2, size=60)), mean_of(np.zeros(60)), 300, rng(1000 + k))[
            "mean"
        ]
        assert found.a.low is not None and found.a.high is not None
        held += found.a.low < 5 < found.a.high
    assert 0.90 < held / 300 < 0.99


def test_what_both_share_cancels_in_the_difference() -> None:
    """Paired items: the interval of the difference is that of the items' differences, far narrower than either's."""
    hardness, change = rng(1).normal(0, 10, size=500), rng(2).normal(0.3, 1, size=500)
    found = differences(mean_of(hardness), mean_of(hardness + change), 2000, rng())["mean"]
    half = 1.96 * change.std() / math.sqrt(500)
    assert found.difference.value == pytest.approx(change.mean())
    assert found.difference.low == pytest.approx(change.mean() - half, abs=0.08 * half)
    assert found.is_significant() is True
    assert found.a.low is not None and found.a.high is not None
    assert found.a.high - found.a.low > 5 * 2 * half


def test_a_thing_does_not_differ_from_itself() -> None:
    found = differences(mean_of(rng().normal(size=9)), mean_of(rng().normal(size=9)), 50, rng(1))["mean"]
    assert found.difference == Estimate(0.0, 0.0, 0.0) and found.is_significant() is False


def test_the_seed_decides_the_draws_and_every_draw_is_made() -> None:
    values = rng(1).normal(size=30)
    found = [
        differences(mean_of(values), mean_of(2 * values), DRAWS_PER_BATCH + 3, rng(seed))["mean"]
        for seed in (1, 1, 2)
    ]
    assert found[0] == found[1] != found[2]
    counted: list[int] = []

    def numbers(weights: list[np.ndarray]) -> dict[str, np.ndarray]:
        counted.append(len(weights[0]))
        return {"mean": weighted_mean(weights[0], values)}

    once = BootstrapStatistics({"items": 30}, numbers)
    differences(once, once, DRAWS_PER_BATCH + 3, rng())
    assert counted == [
        1,
        1,
        DRAWS_PER_BATCH,
        DRAWS_PER_BATCH,
        3,
        3,
    ]  # both models as they are, then their draws


def test_an_interval_lies_about_its_number_although_all_draws_are_too_large() -> None:
    found = interval(1.0, 3 + rng().normal(size=4000))
    assert found.low == pytest.approx(1 - 1.96, abs=0.15) and found.high == pytest.approx(1 + 1.96, abs=0.15)


def test_numbers_of_whole_sets_and_of_nothing_have_no_interval() -> None:
    whole = BootstrapStatistics({}, lambda weights: {"fid": np.array([3.0])})
    found = differences(whole, whole, 50, rng())["fid"]
    assert found == Difference(Estimate(3.0), Estimate(3.0), Estimate(0.0)) and found.is_significant() is None
    assert interval(math.nan, np.ones(9)).low is None
    assert interval(1.0, np.array([1.0, *[math.nan] * 8])).low is None
    assert interval(1.0, np.array([1.0] * 8 + [math.nan])) == Estimate(1.0, 1.0, 1.0)


def test_other_items_are_refused() -> None:
    with pytest.raises(ValueError, match="not the same items"):
        differences(mean_of(np.ones(3)), mean_of(np.ones(4)), 20, rng())
