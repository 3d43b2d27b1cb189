"""Paired bootstrap: 95 % confidence intervals of metrics and of their differences between two models.

A bootstrap draw resamples the items (images, people, faces) with replacement. It is stored as a weight per item: how
often the item was drawn. Every statistic is a function of these weights, so means, ratios of means and means over pairs
are all resampled in the same way. Two models get the same draws of the same items, so what is hard or easy for both
cancels in the difference.

    interval of x = x + [q(2.5 %), q(97.5 %)] of (x* - mean of x*) over the draws x*                (Efron 1979)

The draws are centred on the statistic, since a Frechet distance of resampled sets is biased upward.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

LEVEL = 0.95
DRAWS_PER_BATCH = 100
"""Draws computed at a time, which bounds the memory."""

Weights = Float[np.ndarray, "draw item"]
"""How often each item was drawn in each bootstrap draw (whole numbers)."""
Draws = Float[np.ndarray, " draw"]
"""One statistic in each bootstrap draw."""


@dataclass(frozen=True)
class BootstrapStatistics:
    """Statistics of one metric as functions of item weights."""

    counts: Mapping[str, int]
    """Number of items of each kind, such as people; empty if the statistics cannot be resampled."""
    compute: Callable[[Sequence[Weights]], dict[str, Draws]]
    """Function from the weights of each kind of item to each named statistic's value in every draw."""

    def estimate(self) -> dict[str, float]:
        """Compute the statistics with every item counted once."""
        weights = [np.ones((1, count)) for count in self.counts.values()]
        return {name: float(value[0]) for name, value in self.compute(weights).items()}


@dataclass(frozen=True)
class Estimate:
    """A statistic with its 95 % interval."""

    value: float
    low: float | None = None
    """Lower end of the interval, or None if there is no interval."""
    high: float | None = None
    """Upper end of the interval, or None if there is no interval."""


@dataclass(frozen=True)
class Difference:
    """One statistic of two models, and the difference b - a."""

    a: Estimate
    b: Estimate
    difference: Estimate

    def is_significant(self) -> bool | None:
        """Return whether the interval of the difference excludes zero, or None if there is no interval."""
        low, high = self.difference.low, self.difference.high
        return None if low is None or high is None else low > 0 or high < 0


def differences(
    a: BootstrapStatistics, b: BootstrapStatistics, draws: int, rng: np.random.Generator
) -> dict[str, Difference]:
    """Estimate every statistic of two models and its difference from ``draws`` paired bootstrap draws.

    Raises:
        ValueError: the two models do not have the same numbers of items.
    """
    if dict(a.counts) != dict(b.counts):
        raise ValueError(f"{dict(a.counts)} and {dict(b.counts)} are not the same items")
    values_a, values_b = a.estimate(), b.estimate()
    batches: dict[str, list[np.ndarray]] = {name: [] for name in values_a}  # arrays of shape (2, draw)
    for start in range(0, draws if a.counts else 0, DRAWS_PER_BATCH):
        batch = min(DRAWS_PER_BATCH, draws - start)
        weights = [resample_weights(count, batch, rng) for count in a.counts.values()]
        draws_a, draws_b = a.compute(weights), b.compute(weights)
        for name in batches:
            batches[name].append(np.stack([draws_a[name], draws_b[name]]))
    result = {}
    for name, parts in batches.items():
        row_a, row_b = np.concatenate(parts, axis=1) if parts else np.zeros((2, 0))
        result[name] = Difference(
            interval(values_a[name], row_a),
            interval(values_b[name], row_b),
            interval(values_b[name] - values_a[name], row_b - row_a),
        )
    return result


def resample_weights(items: int, draws: int, rng: np.random.Generator) -> Weights:
    """Draw as many items as there are, with replacement, and count how often each was drawn."""
    return rng.multinomial(items, np.full(items, 1 / items), size=draws).astype(np.float64)


def interval(value: float, draws: Draws) -> Estimate:
    """Compute the interval of a statistic; there is none if the value or over half of the draws are not finite."""
    finite = draws[np.isfinite(draws)]
    if not math.isfinite(value) or len(finite) < max(2, len(draws) / 2):
        return Estimate(value)
    low, high = np.quantile(finite - finite.mean(), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, value + float(low), value + float(high))


def weighted_mean(
    weights: Weights, values: Shaped[np.ndarray, "item *value"]
) -> Float[np.ndarray, "draw *value"]:
    """Compute the mean over items in each draw."""
    total = np.tensordot(weights, np.asarray(values, np.float64), axes=1)
    return total / weights.sum(axis=1).reshape(-1, *[1] * (values.ndim - 1))


def weighted_ratio(
    weights: Weights, numerator: Shaped[np.ndarray, " item"], denominator: Shaped[np.ndarray, " item"]
) -> Draws:
    """Compute the ratio of two sums over items in each draw; nan if the denominator is 0."""
    return ratio(*(weights @ np.asarray(values, np.float64) for values in (numerator, denominator)))


def ratio(numerator: Draws, denominator: Draws) -> Draws:
    """Divide two statistics draw by draw; nan if the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator != 0)


def pair_mean(weights: Weights, distance: Shaped[np.ndarray, "item item"]) -> Draws:
    """Compute the mean of a symmetric distance matrix over pairs of different items in each draw.

    The diagonal is ignored: an item that was drawn twice does not form a pair with itself.
    """
    off_diagonal = np.asarray(distance, np.float64) * (1 - np.eye(len(distance)))
    total = np.einsum("di,ij,dj->d", weights, off_diagonal, weights, optimize=True)
    return ratio(total, weights.sum(axis=1) ** 2 - np.square(weights).sum(axis=1))


def weighted_correlation(
    weights: Weights, x: Shaped[np.ndarray, "item entry"], y: Shaped[np.ndarray, "item entry"]
) -> Float[np.ndarray, "draw entry"]:
    """Compute Pearson's correlation of each entry over the items in each draw; 0 if either entry is constant."""
    x, y = (np.asarray(values, np.float64) - np.mean(values, axis=0, dtype=np.float64) for values in (x, y))
    mean_x, mean_y = weighted_mean(weights, x), weighted_mean(weights, y)
    covariance = weighted_mean(weights, x * y) - mean_x * mean_y
    variance_x = np.clip(weighted_mean(weights, x * x) - mean_x * mean_x, 0, None)
    variance_y = np.clip(weighted_mean(weights, y * y) - mean_y * mean_y, 0, None)
    return covariance / np.sqrt(variance_x * variance_y).clip(min=1e-12)
