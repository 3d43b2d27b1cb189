"""Frechet distance between two sets of features, each taken for a Gaussian.

    d = |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a^1/2 C_b C_a^1/2)^1/2)          (Dowson and Landau 1982)

With the features of the Inception network it is the FID of Heusel et al. 2017; with any others it has the name of
those features. C are the unbiased covariances. Both roots are of symmetric matrices and come from their eigenvalues,
so a set of fewer rows than features, whose covariance has no full rank, does no harm.

The distance of finite sets is never zero. How large it is for two sets of the same images is the floor that a
generated set is compared with; how far it varies is told by drawing both sets again from themselves (bootstrap).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped
from tqdm import tqdm

from anifacegan.evaluation.bootstrap import BootstrapStatistics, Draws, Weights


@dataclass(frozen=True)
class Gaussian:
    """Mean and covariance of a set, float64."""

    mean: Float[np.ndarray, " feature"]
    covariance: Float[np.ndarray, "feature feature"]


@dataclass(frozen=True)
class FrechetReport:
    """How far a generated set is from a real one, and what that means."""

    distance: float
    """Generated to real."""
    deviation: float
    """Standard deviation of the distance over bootstrap draws of both sets."""
    floor: float
    """Real to other real images."""
    over_floor: float
    """distance / floor."""
    count: int
    """Generated images."""
    real_count: int
    floor_count: int
    """Images of each of the two real sets of the floor; fewer images have a higher floor."""
    draws: int
    """Bootstrap draws."""
    features: str
    """Name and version of the network whose features they are."""


@dataclass(frozen=True)
class FrechetItems:
    """Features of generated images, and of ideally twice as many real ones.

    The generated set is compared with as many real images, the first; the floor is between the real set's halves.
    """

    generated: Shaped[np.ndarray, "item feature"]
    real: Shaped[np.ndarray, "real_item feature"]
    features: str
    """Name and version of the network that made them."""
    draws: int
    """For the deviation."""
    seed: int

    @property
    def compared(self) -> Shaped[np.ndarray, "compared_item feature"]:
        return self.real[: len(self.generated)]

    def report(self) -> FrechetReport:
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
        sets = (self.generated, self.compared)

        def numbers(weights: Sequence[Weights]) -> dict[str, Draws]:
            distances = [
                frechet_distance(
                    *(gaussian(repeated(rows, row)) for rows, row in zip(sets, pair, strict=True))
                )
                for pair in tqdm(
                    zip(*weights, strict=True), "bootstrap", len(weights[0]), leave=False, disable=None
                )
            ]
            return {"distance": np.array(distances)}

        return BootstrapStatistics(
            {"images": len(self.generated), "real images": len(self.compared)}, numbers
        )


def repeated(rows: Shaped[np.ndarray, "item feature"], weights: Float[np.ndarray, " item"]) -> np.ndarray:
    """Each row as often as its weight says."""
    return np.repeat(rows, weights.astype(int), axis=0)


def gaussian(features: Shaped[np.ndarray, "item feature"]) -> Gaussian:
    """Mean and unbiased covariance of at least two rows."""
    if len(features) < 2:
        raise ValueError(f"a covariance of {len(features)} rows, expected at least 2")
    rows = np.asarray(features, np.float64)
    mean = rows.mean(axis=0)
    centred = rows - mean
    return Gaussian(mean, centred.T @ centred / (len(rows) - 1))


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """The distance; 0 for equal Gaussians, symmetric, never negative but for rounding, which is cut off."""
    root = symmetric_root(a.covariance)
    inner = root @ b.covariance @ root
    shared = np.sqrt(np.linalg.eigvalsh((inner + inner.T) / 2).clip(min=0)).sum()
    means = np.square(a.mean - b.mean).sum()
    return max(float(means + np.trace(a.covariance) + np.trace(b.covariance) - 2 * shared), 0.0)


def symmetric_root(matrix: Float[np.ndarray, "feature feature"]) -> Float[np.ndarray, "feature feature"]:
    """The symmetric square root of a matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T


def bootstrap_deviation(
    a: Shaped[np.ndarray, "item feature"],
    b: Shaped[np.ndarray, "other_item feature"],
    draws: int,
    rng: np.random.Generator,
) -> float:
    """Standard deviation of the distance over ``draws`` pairs of sets, drawn from the rows of both with repeats."""

    def drawn(rows: np.ndarray) -> Gaussian:
        return gaussian(rows[rng.integers(len(rows), size=len(rows))])

    return float(np.std([frechet_distance(drawn(a), drawn(b)) for _ in range(draws)], ddof=1))
