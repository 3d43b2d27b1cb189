"""Principal components, against a singular value decomposition."""

import numpy as np
import pytest

from anifacegan.face_model.build.pca import fix_signs, principal_components


def test_the_largest_entry_of_each_component_is_positive_and_samples_stay() -> None:
    basis = np.array([[0.1, -2.0], [-3.0, 1.0]])
    coefficients = np.array([[1.0, 2.0], [3.0, -4.0]])
    fixed, flipped = fix_signs(basis, coefficients)
    assert fixed.tolist() == [[-0.1, 2.0], [3.0, -1.0]]
    assert flipped.tolist() == [[-1.0, -2.0], [-3.0, 4.0]]
    np.testing.assert_array_equal(flipped @ fixed.T, coefficients @ basis.T)
    again, _ = fix_signs(fixed, flipped)
    np.testing.assert_array_equal(again, fixed)


def test_components_are_those_of_a_singular_value_decomposition() -> None:
    rng = np.random.default_rng(0)
    samples = (rng.normal(size=(50, 8)) * np.arange(1, 9)) @ rng.normal(size=(8, 30))
    samples = (samples - samples.mean(axis=0)).astype(np.float32)
    found = principal_components(samples, np.ones(30), 3)
    left, spread, right = np.linalg.svd(samples, full_matrices=False)
    best = (left[:, :3] * spread[:3]) @ right[:3]
    np.testing.assert_allclose(found.coefficients @ found.basis.T, best, atol=1e-3)
    np.testing.assert_allclose((found.coefficients**2).mean(axis=0), 1, rtol=1e-4)
    assert found.explained == pytest.approx((spread[:3] ** 2).sum() / (spread**2).sum(), rel=1e-4)


def test_coordinates_without_weight_do_not_choose_the_components() -> None:
    rng = np.random.default_rng(0)
    quiet = rng.normal(size=(40, 1)) @ rng.normal(size=(1, 5))
    loud = 100 * rng.normal(size=(40, 5))
    samples = np.concatenate([quiet, loud], axis=1).astype(np.float32)
    found = principal_components(samples, np.repeat([1.0, 0.0], 5), 1)
    np.testing.assert_allclose((found.coefficients @ found.basis.T)[:, :5], quiet, atol=1e-4)
