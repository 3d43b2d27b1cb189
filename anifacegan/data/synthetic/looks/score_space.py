"""Continuous choice among kinds: weights that are near 1 for one kind and near 0 for the others.

Each kind (of hair style, light or background) has a place, a unit vector in the space of a few latents. The score of a
kind is the scalar product of its place with the latents, which are standard normal numbers, plus a bias that sets how
frequent the kind is; the weights are a sharp softmax of the scores. Kinds with near places are neighbours: on a
straight line between two latent vectors, similar kinds follow each other.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from anifacegan.geometry.normals import unit

RARE = 3e-4
"""Frequency that replaces 0 when biases are computed."""
DRAWS = 2048
"""Number of quasi-random normal latent vectors over which the frequencies of kinds are averaged."""
ITERATIONS, TOLERANCE = 150, 1e-3
"""Largest number of iterations that compute the biases, and the largest change of a bias at which iteration ends."""


def places(table: Mapping[str, Sequence[float]], names: Sequence[str]) -> Float[np.ndarray, "kind dim"]:
    """Return the places (unit vectors in the space of a few latents) of the kinds ``names``, in this order.

    ``table`` has a direction of any length for each name.
    """
    return unit(np.array([table[name] for name in names], np.float64))


def kind_weights(
    z: Float[np.ndarray, " dim"],
    kind_places: Float[np.ndarray, "kind dim"],
    bias: Float[np.ndarray, " kind"],
    temperature: float,
) -> Float[np.ndarray, " kind"]:
    """Return the share of each kind (of hair style, light or background), with sum 1, at the latents ``z``.

    It is a softmax of ``(kind_places @ z + bias) / temperature``: a kind has a large share if the unit vector that is
    its place points in the direction of ``z``. A lower temperature gives sharper borders between kinds.
    """
    scores = (kind_places @ z + bias) / temperature
    weights = np.exp(scores - scores.max())
    return weights / weights.sum()


def biases(
    frequencies: Float[np.ndarray, " kind"], kind_places: Float[np.ndarray, "kind dim"], temperature: float
) -> Float[np.ndarray, " kind"]:
    """Find the biases in :func:`kind_weights` for which the mean share of each kind over z ~ N(0, I) is its frequency,
    by fixed-point iteration.

    ``kind_places`` are the unit vectors of the kinds; for ``temperature`` see :func:`kind_weights`. The mean is over
    ``DRAWS`` points of a quasi-random sequence, so equal arguments give equal biases; the largest is 0.
    """
    target = np.maximum(frequencies, RARE)
    target = target / target.sum()
    scores = (kind_places @ normal_points(DRAWS, kind_places.shape[1]).T).astype(np.float32)  # (kind, draw)
    bias = np.zeros(len(target))
    for _ in range(ITERATIONS):
        shifted = scores + bias[:, None].astype(np.float32)
        weights = np.exp((shifted - shifted.max(axis=0)) / np.float32(temperature))
        got = (weights / weights.sum(axis=0)).mean(axis=1)
        step = 0.3 * np.log(target / np.maximum(got, RARE / 10))
        bias = bias + step
        if np.abs(step).max() < TOLERANCE:
            break
    return bias - bias.max()


def normal_points(count: int, dim: int) -> Float[np.ndarray, "count dim"]:
    """Return ``count`` evenly spread points of a standard normal distribution, always the same.

    They are an additive recurrence with irrational steps, mapped by the inverse of the normal distribution function.
    """
    root = 2.0
    for _ in range(
        60
    ):  # the root of x^(dim + 1) = x + 1, whose inverse powers are far from all rational steps
        root = (1 + root) ** (1 / (dim + 1))
    steps = root ** -np.arange(1, dim + 1)
    return ndtri((0.5 + np.arange(1, count + 1)[:, None] * steps) % 1)


def normal_cdf(z: float | np.floating) -> float:
    """Evaluate the standard normal distribution function."""
    return 0.5 * (1 + math.erf(z / math.sqrt(2)))


def between(low: float, high: float, z: float | np.floating) -> float:
    """Map a standard normal number to one that is uniform from ``low`` to ``high``, by its distribution function."""
    return low + (high - low) * normal_cdf(z)
