"""How sure is a number? Its items are drawn again from themselves, with repeats, and it is computed anew (bootstrap).

A draw is a weight for every item: how often it came up. A number is a function of weights, so that means, ratios of
means and means over pairs of people all follow one rule, and two models can be given the same draws: their items are
paired by seed, and what both find hard or easy cancels in the difference.

    interval of x = x + [q(2.5 %), q(97.5 %)] of (x* - mean of x*) over the draws x*                (Efron 1979)

The draws are moved so that their mean lies on the number itself: those of a Frechet distance are all too large.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped

LEVEL = 0.95
PART = 100
"""Draws at a time: they bound the memory."""

Weights = Float[np.ndarray, "draw item"]
"""How often each item came up in each draw; whole numbers."""
Draws = Float[np.ndarray, " draw"]


@dataclass(frozen=True)
class BootstrapStatistics:
    """Numbers of a model whose items can be drawn again."""

    counts: Mapping[str, int]
    """Items of each kind, such as people; nothing where the numbers are of whole sets and have no items."""
    numbers: Callable[[Sequence[Weights]], dict[str, Draws]]
    """Weights of each kind of item -> name of a number -> its value in each draw."""

    def estimate(self) -> dict[str, float]:
        """The numbers of the items as they are."""
        once = [np.ones((1, count)) for count in self.counts.values()]
        return {name: float(value[0]) for name, value in self.numbers(once).items()}


@dataclass(frozen=True)
class Estimate:
    """A number with its interval."""

    value: float
    low: float | None = None
    """None where there is no interval."""
    high: float | None = None


@dataclass(frozen=True)
class Difference:
    """One number of two models."""

    a: Estimate
    b: Estimate
    difference: Estimate
    """b - a."""

    def beyond(self) -> bool | None:
        """Whether the interval of the difference leaves out zero; None where there is no interval."""
        low, high = self.difference.low, self.difference.high
        return None if low is None or high is None else low > 0 or high < 0


def differences(
    a: BootstrapStatistics, b: BootstrapStatistics, draws: int, rng: np.random.Generator
) -> dict[str, Difference]:
    """Every number of two models, of the same items drawn ``draws`` times."""
    if dict(a.counts) != dict(b.counts):
        raise ValueError(f"{dict(a.counts)} and {dict(b.counts)} are not the same items")
    first, second = a.estimate(), b.estimate()
    drawn: dict[str, list[np.ndarray]] = {name: [] for name in first}  # (2, some draws) each
    for start in range(0, draws if a.counts else 0, PART):
        weights = [resample_weights(count, min(PART, draws - start), rng) for count in a.counts.values()]
        parts = a.numbers(weights), b.numbers(weights)
        for name in drawn:
            drawn[name].append(np.stack([part[name] for part in parts]))
    found = {}
    for name, parts in drawn.items():
        both = np.concatenate(parts, axis=1) if parts else np.zeros((2, 0))
        values = (first[name], second[name], second[name] - first[name])
        rows = (*both, both[1] - both[0])
        found[name] = Difference(*(interval(value, row) for value, row in zip(values, rows, strict=True)))
    return found


def resample_weights(items: int, draws: int, rng: np.random.Generator) -> Weights:
    """As many items as there are, drawn with repeats."""
    return rng.multinomial(items, np.full(items, 1 / items), size=draws).astype(np.float64)


def interval(value: float, draws: Draws) -> Estimate:
    """The number with its interval; none where it, or half of the draws, is not finite."""
    known = draws[np.isfinite(draws)]
    if not math.isfinite(value) or len(known) < max(2, len(draws) / 2):
        return Estimate(value)
    low, high = np.quantile(known - known.mean(), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(value, value + float(low), value + float(high))


def weighted_mean(
    weights: Weights, values: Shaped[np.ndarray, "item *value"]
) -> Float[np.ndarray, "draw *value"]:
    """Mean over items, in each draw."""
    total = np.tensordot(weights, np.asarray(values, np.float64), axes=1)
    return total / weights.sum(axis=1).reshape(-1, *[1] * (values.ndim - 1))


def weighted_ratio(
    weights: Weights, over: Shaped[np.ndarray, " item"], under: Shaped[np.ndarray, " item"]
) -> Draws:
    """Sum over items of the one by that of the other, in each draw; nan where the latter is 0."""
    return ratio(*(weights @ np.asarray(values, np.float64) for values in (over, under)))


def ratio(over: Draws, under: Draws) -> Draws:
    """Draw by draw; nan where the latter is 0."""
    return np.divide(over, under, out=np.full_like(over, np.nan), where=under != 0)


def pair_mean(weights: Weights, distance: Shaped[np.ndarray, "item item"]) -> Draws:
    """Mean over pairs of different items of a symmetric table; an item that came up twice is no pair with itself."""
    apart = np.asarray(distance, np.float64) * (1 - np.eye(len(distance)))
    total = np.einsum("di,ij,dj->d", weights, apart, weights, optimize=True)
    return ratio(total, weights.sum(axis=1) ** 2 - np.square(weights).sum(axis=1))


def weighted_correlation(
    weights: Weights, x: Shaped[np.ndarray, "item entry"], y: Shaped[np.ndarray, "item entry"]
) -> Float[np.ndarray, "draw entry"]:
    """Pearson's, entry by entry, in each draw; 0 where one of the two is constant."""
    x, y = (np.asarray(values, np.float64) - np.mean(values, axis=0, dtype=np.float64) for values in (x, y))
    mean_x, mean_y = weighted_mean(weights, x), weighted_mean(weights, y)
    shared = weighted_mean(weights, x * y) - mean_x * mean_y
    spread = [weighted_mean(weights, v * v) - m * m for v, m in ((x, mean_x), (y, mean_y))]
    return shared / np.sqrt(np.clip(spread[0], 0, None) * np.clip(spread[1], 0, None)).clip(min=1e-12)
