"""Paired bootstrap: 95 % confidence intervals of metrics and of their differences between two models.

A metric is measured on items: images, people or faces. A bootstrap draw picks as many items as there are, at random
with replacement. The draw is stored as one weight for each item: how often the item was picked. Every statistic (a
mean, a ratio of means, a mean over pairs) is computed from these weights. Both models are measured on the same items
and get the same draws. So an item that is hard for both models does not widen the interval of the difference.

    interval of x = x + [q(2.5 %), q(97.5 %)] of (x* - mean of x*)                                   (Efron 1979)

x is the statistic of all items, x* are its values in the draws, and q are quantiles over the draws. The mean of x* is
subtracted because a Frechet distance of resampled sets is biased upward.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

LEVEL = 0.95
"""Probability with which an interval is meant to hold the true value."""
DRAWS_PER_BATCH = 100
"""Number of draws that are computed at a time, to limit the memory."""

Weights = Float[np.ndarray, "draw item"]
"""How often each item was picked in each bootstrap draw (whole numbers)."""
Draws = Float[np.ndarray, " draw"]
"""Value of one statistic in each bootstrap draw."""


@dataclass(frozen=True)
class BootstrapStatistics:
    """Statistics of one metric, as functions of how often each item (image, person or face) is counted."""

    counts: Mapping[str, int]
    """Kind of item, such as people -> number of these items; empty if the statistics cannot be resampled."""
    compute: Callable[[Sequence[Weights]], dict[str, Draws]]
    """Function that computes all statistics. It takes one array (draw, item) for each kind of item, in the order of
    ``counts``: how often each item was picked in each bootstrap draw. It returns the name of each statistic -> its
    value in every draw."""

    def estimate(self) -> dict[str, float]:
        """Return the name of each statistic -> its value if every item is counted once."""
        weights = [np.ones((1, count)) for count in self.counts.values()]
        return {name: float(value[0]) for name, value in self.compute(weights).items()}


@dataclass(frozen=True)
class Estimate:
    """Value of a statistic with its 95 % confidence interval."""

    value: float
    """Value of the statistic."""
    low: float | None = None
    """Lower end of the 95 % confidence interval, or None if there is no interval."""
    high: float | None = None
    """Upper end of the 95 % confidence interval, or None if there is no interval."""


@dataclass(frozen=True)
class Difference:
    """One statistic of the models A and B, and the difference between them."""

    a: Estimate
    """The statistic of model A."""
    b: Estimate
    """The statistic of model B."""
    difference: Estimate
    """The statistic of B minus that of A."""

    def is_significant(self) -> bool | None:
        """Return whether the 95 % interval of the difference excludes zero, or None if there is no interval."""
        low, high = self.difference.low, self.difference.high
        return None if low is None or high is None else low > 0 or high < 0


def differences(
    a: BootstrapStatistics, b: BootstrapStatistics, draws: int, rng: np.random.Generator
) -> dict[str, Difference]:
    """Compute all statistics of the models A and B, and the differences B - A, with 95 % intervals.

    The intervals come from ``draws`` bootstrap draws (random samples of the measured items, with replacement). Returns
    the name of each statistic -> its values for A, B and B - A. Without two items of each kind there are no intervals:
    every draw would pick the same one.

    Raises:
        ValueError: the two models were not measured on the same numbers of items.
    """
    if dict(a.counts) != dict(b.counts):
        raise ValueError(f"{dict(a.counts)} and {dict(b.counts)} are not the same items")
    values_a, values_b = a.estimate(), b.estimate()
    batches: dict[str, list[np.ndarray]] = {name: [] for name in values_a}  # arrays of shape (2, draw)
    vary = a.counts and min(a.counts.values()) > 1
    for start in range(0, draws if vary else 0, DRAWS_PER_BATCH):
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
    """Draw ``draws`` bootstrap samples, each of ``items`` picks among ``items`` items at random with replacement.

    Returns the array (draws, items) of how often each item was picked in each sample.
    """
    return rng.multinomial(items, np.full(items, 1 / items), size=draws).astype(np.float64)


def interval(value: float, draws: Draws) -> Estimate:
    """Compute the 95 % interval of a statistic from its values in all bootstrap draws.

    ``value`` is the statistic of all items. There is no interval if ``value`` is not finite, or if over half of the
    values in the draws are not finite.
    """
    finite = draws[np.isfinite(draws)]
    if not math.isfinite(value) or len(finite) < max(2, len(draws) / 2):
        return Estimate(value)
    low, high = np.quantile(finite - finite.mean(), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, value + float(low), value + float(high))


def weighted_mean(
    weights: Weights, values: Shaped[np.ndarray, "item *value"]
) -> Float[np.ndarray, "draw *value"]:
    """Compute, in each bootstrap draw, the mean of ``values`` over the items that were picked.

    ``weights`` (draw, item) say how often each item was picked.
    """
    total = np.tensordot(weights, np.asarray(values, np.float64), axes=1)
    return total / weights.sum(axis=1).reshape(-1, *[1] * (values.ndim - 1))


def weighted_ratio(
    weights: Weights, numerator: Shaped[np.ndarray, " item"], denominator: Shaped[np.ndarray, " item"]
) -> Draws:
    """Compute, in each bootstrap draw, the ratio of two sums over the picked items: the sum of ``numerator`` divided by
    the sum of ``denominator``.

    ``weights`` (draw, item) say how often each item was picked. A ratio is nan if the sum of ``denominator`` is 0.
    """
    return ratio(*(weights @ np.asarray(values, np.float64) for values in (numerator, denominator)))


def ratio(numerator: Draws, denominator: Draws) -> Draws:
    """Divide the statistic ``numerator`` by the statistic ``denominator`` in each bootstrap draw; nan where
    ``denominator`` is 0.
    """
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator != 0)


def pair_mean(weights: Weights, distance: Shaped[np.ndarray, "item item"]) -> Draws:
    """Compute, in each bootstrap draw, the mean of ``distance`` over all pairs of different items that were picked.

    ``weights`` (draw, item) say how often each item was picked. ``distance`` is symmetric. Its diagonal is ignored: an
    item that was picked twice does not form a pair with itself.
    """
    off_diagonal = np.asarray(distance, np.float64) * (1 - np.eye(len(distance)))
    total = np.einsum("di,ij,dj->d", weights, off_diagonal, weights, optimize=True)
    return ratio(total, weights.sum(axis=1) ** 2 - np.square(weights).sum(axis=1))


def weighted_correlation(
    weights: Weights, x: Shaped[np.ndarray, "item entry"], y: Shaped[np.ndarray, "item entry"]
) -> Float[np.ndarray, "draw entry"]:
    """Compute, in each bootstrap draw and for each entry, Pearson's correlation of x and y over the picked items.

    ``weights`` (draw, item) say how often each item was picked. The correlation is 0 if x or y is constant there.
    """
    x, y = (np.asarray(values, np.float64) - np.mean(values, axis=0, dtype=np.float64) for values in (x, y))
    mean_x, mean_y = weighted_mean(weights, x), weighted_mean(weights, y)
    covariance = weighted_mean(weights, x * y) - mean_x * mean_y
    variance_x = np.clip(weighted_mean(weights, x * x) - mean_x * mean_x, 0, None)
    variance_y = np.clip(weighted_mean(weights, y * y) - mean_y * mean_y, 0, None)
    return covariance / np.sqrt(variance_x * variance_y).clip(min=1e-12)
