"""The Frechet distance of Gaussians: closed forms, scipy's matrix root, and sets of known order."""

import numpy as np
import pytest
import scipy.linalg
from scipy.ndimage import gaussian_filter

from anifacegan.evaluation.frechet import (
    FrechetItems,
    Gaussian,
    bootstrap_deviation,
    frechet_distance,
    gaussian,
    repeated,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def random_gaussian(seed: int, dim: int = 7, rank: int = 7) -> Gaussian:
    factor = rng(seed).normal(size=(dim, rank))
    return Gaussian(rng(seed + 100).normal(size=dim), factor @ factor.T)


def test_commuting_gaussians_are_apart_by_their_means_and_deviations() -> None:
    a = Gaussian(np.array([1.0, 2.0, 3.0]), np.diag([1.0, 4.0, 9.0]))
    b = Gaussian(np.array([1.0, 0.0, 3.5]), np.diag([4.0, 4.0, 0.0]))
    assert frechet_distance(a, b) == pytest.approx(2.0**2 + 0.5**2 + (1 - 2) ** 2 + 0 + 3.0**2, rel=1e-12)


@pytest.mark.parametrize("rank", [7, 3])
def test_distance_is_that_of_scipys_matrix_root(rank: int) -> None:
    """scipy takes the root of the product itself, which is not symmetric; of low rank it loses half the digits."""
    a, b = random_gaussian(1, rank=rank), random_gaussian(2)
    root = scipy.linalg.sqrtm(a.covariance @ b.covariance).real
    slow = np.square(a.mean - b.mean).sum() + np.trace(a.covariance + b.covariance - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(slow, rel=1e-10 if rank == 7 else 1e-5)


def test_distance_is_symmetric_and_zero_to_itself() -> None:
    a, b = random_gaussian(1), random_gaussian(2, rank=3)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)
    assert frechet_distance(a, a) < 1e-12 and frechet_distance(b, b) < 1e-6


def test_gaussian_of_rows_is_numpys() -> None:
    rows = rng().normal(size=(50, 4)).astype(np.float32)
    found = gaussian(rows)
    np.testing.assert_allclose(found.mean, rows.astype(np.float64).mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(rows.astype(np.float64), rowvar=False), rtol=1e-10)
    with pytest.raises(ValueError, match="1 rows"):
        gaussian(rows[:1])


def test_large_samples_of_known_gaussians_are_as_far_apart_as_these() -> None:
    a, b = random_gaussian(1), random_gaussian(2)
    exact = frechet_distance(a, b)
    rows = [rng(seed).multivariate_normal(g.mean, g.covariance, 40_000) for seed, g in ((3, a), (4, b))]
    assert frechet_distance(*map(gaussian, rows)) == pytest.approx(exact, rel=0.03)


def test_blurred_images_are_farther_than_other_images() -> None:
    images = rng().normal(size=(400, 6, 6))
    half, other = images[:200].reshape(200, -1), images[200:]
    blurred = gaussian_filter(other, (0, 0.7, 0.7)).reshape(200, -1)
    to_other = frechet_distance(gaussian(half), gaussian(other.reshape(200, -1)))
    assert frechet_distance(gaussian(half), gaussian(blurred)) > 2 * to_other


def test_bootstrap_deviation_is_that_of_fresh_sets() -> None:
    """Of sets that are far apart, where the distance is nearly linear in the means: measured with 200 fresh pairs."""

    def fresh(seed: int, shift: float) -> np.ndarray:
        return shift + rng(seed).normal(size=(200, 3))

    fresh_pairs = [(fresh(2 * k, 0.0), fresh(2 * k + 1, 2.0)) for k in range(200)]
    expected = np.std([frechet_distance(gaussian(a), gaussian(b)) for a, b in fresh_pairs])
    found = np.mean([bootstrap_deviation(*pair, 60, rng(9)) for pair in fresh_pairs[:5]])
    assert found == pytest.approx(expected, rel=0.2)


def test_a_weight_is_how_often_a_row_comes() -> None:
    rows = rng().normal(size=(5, 2))
    np.testing.assert_array_equal(repeated(rows, np.array([0.0, 2, 1, 0, 2])), rows[[1, 1, 2, 4, 4]])


def test_a_report_names_the_network_of_its_features() -> None:
    report = FrechetItems(
        rng(1).normal(size=(9, 2)), rng().normal(size=(20, 2)), "net (sha256 12ab)", 2, 0
    ).report()
    assert report.features == "net (sha256 12ab)"


def test_report_compares_with_as_many_real_images_and_halves_all_of_them_for_the_floor() -> None:
    real, generated = rng(0).normal(size=(120, 4)), rng(2).normal(size=(60, 4))
    plenty = FrechetItems(generated, real, "some network", 5, 0).report()
    assert plenty.distance == frechet_distance(gaussian(generated), gaussian(real[:60]))
    assert plenty.floor == frechet_distance(gaussian(real[:60]), gaussian(real[60:]))
    assert plenty.over_floor == plenty.distance / plenty.floor
    assert (plenty.count, plenty.real_count, plenty.floor_count) == (60, 60, 60)
    few = FrechetItems(generated, real[:61], "some network", 5, 0).report()
    assert few.floor == frechet_distance(gaussian(real[:30]), gaussian(real[30:60]))
    assert (few.count, few.real_count, few.floor_count) == (60, 60, 30)
    assert plenty.deviation == few.deviation > 0  # the same draws of the same sets
