"""Frechet distance between two sets of features, each modelled as a Gaussian.

    d = |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a^1/2 C_b C_a^1/2)^1/2)          (Dowson and Landau 1982)

m are the means and C the unbiased covariances of the sets a and b. With features of the Inception network this is the
FID of Heusel et al. 2017; here the features of other networks are used, and reports name the network. The matrix roots
are computed from eigenvalues of symmetric matrices, so there may be fewer images than features.

Two finite sets of images from the same distribution have a distance above zero. The report therefore also gives the
floor, the distance between two disjoint sets of real images. It also gives the standard deviation of the distance over
bootstrap draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from tqdm import tqdm

from anifacegan.evaluation.bootstrap import BootstrapStatistics, Draws, Weights


@dataclass(frozen=True)
class Gaussian:
    """Mean and covariance of a set of features (float64)."""

    mean: Float[np.ndarray, " feature"]
    covariance: Float[np.ndarray, "feature feature"]


@dataclass(frozen=True)
class FrechetReport:
    """Frechet distance between the features of generated and of real images, its standard deviation, and the floor."""

    distance: float
    """Frechet distance between the features of generated and of real images."""
    deviation: float
    """Standard deviation of ``distance`` over bootstrap draws (random samples, with replacement) of both sets of
    images."""
    floor: float
    """Frechet distance between the features of two disjoint sets of real images. Generated images that are as good as
    real images have about this distance."""
    over_floor: float
    """``distance`` divided by ``floor``; nan if ``floor`` is zero."""
    count: int
    """Number of generated images."""
    real_count: int
    """Number of real images that the generated images are compared with."""
    floor_count: int
    """Number of images in each of the two disjoint sets of real images behind ``floor``; fewer images raise the
    floor."""
    draws: int
    """Number of bootstrap draws."""
    features: str
    """Name and version of the network that computed the features."""


@dataclass(frozen=True)
class FrechetItems:
    """Features of generated images, and of up to twice as many real images.

    The generated images are compared with as many real images. The floor is the Frechet distance between the features
    of the two halves of all real images.
    """

    generated: Shaped[np.ndarray, "item feature"]
    """Features of the generated images."""
    real: Shaped[np.ndarray, "real_item feature"]
    """Features of the real images."""
    features: str
    """Name and version of the network that computed the features."""
    draws: int
    """Number of bootstrap draws for the standard deviation of the distance."""
    seed: int
    """Random seed of the bootstrap draws."""

    @property
    def compared(self) -> Shaped[np.ndarray, "compared_item feature"]:
        """Features of those real images that the generated images are compared with."""
        return self.real[: len(self.generated)]

    def report(self) -> FrechetReport:
        """Compute the Frechet distance between generated and real images, its standard deviation, and the floor."""
        half = len(self.real) // 2
        distance = frechet_distance(gaussian(self.generated), gaussian(self.compared))
        floor = frechet_distance(gaussian(self.real[:half]), gaussian(self.real[half : 2 * half]))
        rng = np.random.default_rng(self.seed)
        return FrechetReport(
            distance=distance,
            deviation=bootstrap_deviation(self.generated, self.compared, self.draws, rng),
            floor=floor,
            over_floor=distance / floor if floor > 0 else float("nan"),
            count=len(self.generated),
            real_count=len(self.compared),
            floor_count=half,
            draws=self.draws,
            features=self.features,
        )

    def bootstrap_statistics(self) -> BootstrapStatistics:
        """Return a function that recomputes the Frechet distance from bootstrap samples of the generated and of the
        real images."""

        def compute(weights: Sequence[Weights]) -> dict[str, Draws]:
            pairs = tqdm(zip(*weights, strict=True), "bootstrap", len(weights[0]), leave=False, disable=None)
            distances = [
                frechet_distance(
                    gaussian(repeated(self.generated, row)), gaussian(repeated(self.compared, real_row))
                )
                for row, real_row in pairs
            ]
            return {"distance": np.array(distances)}

        return BootstrapStatistics(
            {"images": len(self.generated), "real images": len(self.compared)}, compute
        )


def repeated(rows: Shaped[np.ndarray, "item feature"], weights: Float[np.ndarray, " item"]) -> np.ndarray:
    """Repeat each row as many times as its weight, a whole number, says."""
    return np.repeat(rows, weights.astype(int), axis=0)


def gaussian(features: Shaped[np.ndarray, "item feature"]) -> Gaussian:
    """Compute the mean and the unbiased covariance of features.

    Raises:
        ValueError: fewer than two rows.
    """
    if len(features) < 2:
        raise ValueError(f"a covariance of {len(features)} rows, expected at least 2")
    rows = np.asarray(features, np.float64)
    mean = rows.mean(axis=0)
    centred = rows - mean
    return Gaussian(mean, centred.T @ centred / (len(rows) - 1))


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """Compute the Frechet distance of two Gaussians; negative rounding errors are clipped to 0."""
    root = symmetric_root(a.covariance)
    inner = root @ b.covariance @ root
    shared = np.sqrt(np.linalg.eigvalsh((inner + inner.T) / 2).clip(min=0)).sum()
    means = np.square(a.mean - b.mean).sum()
    return max(float(means + np.trace(a.covariance) + np.trace(b.covariance) - 2 * shared), 0.0)


def symmetric_root(matrix: Float[np.ndarray, "feature feature"]) -> Float[np.ndarray, "feature feature"]:
    """Compute the symmetric square root of a positive semi-definite matrix."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T


def bootstrap_deviation(
    a: Shaped[np.ndarray, "item feature"],
    b: Shaped[np.ndarray, "other_item feature"],
    draws: int,
    rng: np.random.Generator,
) -> float:
    """Compute the standard deviation of the Frechet distance between two sets of features over bootstrap draws.

    In each of the ``draws`` draws, both sets are replaced by random samples with replacement.
    """

    def resample(rows: np.ndarray) -> Gaussian:
        return gaussian(rows[rng.integers(len(rows), size=len(rows))])

    return float(np.std([frechet_distance(resample(a), resample(b)) for _ in range(draws)], ddof=1))
