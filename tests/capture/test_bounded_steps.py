"""The minimum within bounds, compared with scipy's."""

import numpy as np
from scipy.optimize import lsq_linear

from anifacegan.capture.bounded_steps import bounded_minimum


def test_without_active_bounds_it_is_the_minimum() -> None:
    rng = np.random.default_rng(0)
    root = rng.standard_normal((20, 8)) * np.array([1, 1, 1, 1, 1e3, 1e3, 1e-3, 1e-3])
    right_side = rng.standard_normal(8)
    free = np.full(8, np.inf)
    found = bounded_minimum(root.T @ root, right_side, -free, free)
    np.testing.assert_allclose(root.T @ root @ found, right_side, rtol=1e-6)


def test_bounds_hold_and_the_value_is_near_the_best() -> None:
    rng = np.random.default_rng(1)
    root, target = rng.standard_normal((30, 10)), rng.standard_normal(30)
    low, high = np.zeros(10), np.full(10, 0.1)
    found = bounded_minimum(root.T @ root, root.T @ target, low, high)
    assert (found >= low).all() and (found <= high + 1e-12).all()
    best = lsq_linear(root, target, (low, high)).x

    def error(x: np.ndarray) -> float:
        return float(np.square(root @ x - target).sum())

    assert error(found) <= 1.02 * error(best)
