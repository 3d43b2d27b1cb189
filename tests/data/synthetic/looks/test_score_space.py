"""Weights of kinds: sharp, continuous, and as frequent as requested."""

import numpy as np
import pytest

from anifacegan.data.synthetic.looks.score_space import (
    between,
    biases,
    kind_weights,
    normal_cdf,
    normal_points,
    places,
)

FREQUENCIES = np.array([0.5, 0.3, 0.15, 0.05, 0.0])
PLACES = np.eye(5)[:, :4] + 0.2


def test_biases_give_the_requested_frequencies() -> None:
    bias = biases(FREQUENCIES, PLACES, temperature=0.05)
    draws = np.random.default_rng(0).normal(size=(5_000, 4))
    weights = np.stack([kind_weights(z, PLACES, bias, 0.05) for z in draws])
    assert np.allclose(
        weights.mean(axis=0), FREQUENCIES, atol=0.035
    )  # 4 sigma of draws 0.028, and quadrature
    assert (weights.max(axis=1) > 0.8).mean() > 0.85
    assert np.allclose(weights.sum(axis=1), 1)


def test_a_lower_temperature_is_sharper_and_no_score_overflows() -> None:
    z = np.array([0.3, 0.1, 0.0, 0.0])
    soft, sharp = (kind_weights(z, PLACES, np.zeros(5), t) for t in (1.0, 0.01))
    assert sharp.max() > soft.max() and np.isfinite(kind_weights(1e4 * z, PLACES, np.zeros(5), 1e-3)).all()


def test_points_are_normal_and_repeatable() -> None:
    points = normal_points(4096, 6)
    assert np.array_equal(points, normal_points(4096, 6))
    assert np.allclose(points.mean(axis=0), 0, atol=0.01) and np.allclose(points.std(axis=0), 1, atol=0.01)
    assert np.abs(np.corrcoef(points.T) - np.eye(6)).max() < 0.08  # 0.05; independent draws have 0.04


def test_places_are_unit_vectors_in_the_order_of_the_names() -> None:
    table = {"a": (3.0, 4.0), "b": (0.0, -2.0)}
    assert np.allclose(places(table, ("b", "a")), [[0, -1], [0.6, 0.8]])


def test_uniform_numbers_between_bounds() -> None:
    assert normal_cdf(0.0) == 0.5 and between(2.0, 4.0, 0.0) == 3.0
    assert between(2.0, 4.0, 9.0) == pytest.approx(4.0) and between(4.0, 2.0, 9.0) == pytest.approx(2.0)
