"""Compiled loops of :mod:`anifacegan.rendering.sharp_edges`, the same arithmetic, for the player on the CPU.

PyTorch's operations would split these small images among threads, which then wait for one another longer than they
work, above all on busy machines.
"""

from typing import no_type_check

import numpy as np
from jaxtyping import Float, Int

from anifacegan.rendering.sharp_edges import (
    COLOURS,
    FULL_CONTRAST,
    MAX_SHARE,
    MIN_CONTRAST,
    OPACITY_WEIGHT,
    TENT,
    doubled,
)
from anifacegan.runtime.compiled import kernel


def mean_weights(image: Float[np.ndarray, "8 size size"]) -> Float[np.ndarray, "size size"]:
    """Compute how far each pixel moves from its centre's colour to the mean of its samples, as
    :func:`anifacegan.rendering.sharp_edges.mean_weight` does: 0, where no further samples are needed, to 1."""
    size = image.shape[-1]
    seen = np.empty((size, size), np.float32)
    _contrast(image, np.float32(OPACITY_WEIGHT), seen)
    rank = size * size - 1 - int(MAX_SHARE * size * size)
    least = max(np.partition(seen, rank, axis=None)[rank], np.float32(MIN_CONTRAST))
    return ((seen / least - 1) / np.float32(FULL_CONTRAST - 1)).clip(0, 1)


def numbered_samples(weight: Float[np.ndarray, "size size"]) -> Int[np.ndarray, "doubled doubled"]:
    """Number the samples of the doubled image that lie around pixels of positive weight, but are no pixels' centres; -1
    elsewhere."""
    side = doubled(len(weight))
    number = np.full((side, side), -1, np.int32)
    _number_around(weight, number)
    return number


def smooth(
    image: Float[np.ndarray, "8 size size"],
    weight: Float[np.ndarray, "size size"],
    number: Int[np.ndarray, "doubled doubled"],
    samples: Float[np.ndarray, "8 sample"],
) -> None:
    """Move the pixels of an image of positive weight, in place, towards the weighted mean of the nine samples around
    them.

    ``number`` has the number in ``samples`` of each sample of the doubled image; the pixels' centres are in ``image``.
    """
    _move_to_mean(image, weight, number, samples, np.array(TENT, np.float32), COLOURS)


@kernel(nogil=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _contrast(image, opacity_weight, seen):
    size = image.shape[-1]
    for row in range(size):
        above, below = max(row - 1, 0), min(row + 1, size - 1)
        for column in range(size):
            left, right = max(column - 1, 0), min(column + 1, size - 1)
            most = np.float32(0)
            for channel in range(4):
                plane = image[channel]
                twice = np.float32(2) * plane[row, column]
                found = abs(twice - plane[row, left] - plane[row, right])
                found += abs(twice - plane[above, column] - plane[below, column])
                most = max(most, opacity_weight * found if channel == 3 else found)
            seen[row, column] = most


@kernel(nogil=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _number_around(weight, number):
    last, count = len(number) - 1, 0
    for row in range(len(weight)):
        for column in range(len(weight)):
            if weight[row, column] > 0:
                for y in range(max(2 * row - 1, 0), min(2 * row + 1, last) + 1):
                    for x in range(max(2 * column - 1, 0), min(2 * column + 1, last) + 1):
                        if (y % 2 or x % 2) and number[y, x] < 0:
                            number[y, x] = count
                            count += 1


@kernel(nogil=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _move_to_mean(image, weight, number, samples, tent, channels):
    last = len(number) - 1
    for row in range(len(weight)):
        for column in range(len(weight)):
            share = weight[row, column]
            if share <= 0:
                continue
            for channel in range(channels):
                centre = image[channel, row, column]
                mean = np.float32(0)
                for i in range(3):
                    y = min(max(2 * row + i - 1, 0), last)
                    for j in range(3):
                        x = min(max(2 * column + j - 1, 0), last)
                        sample = samples[channel, number[y, x]] if y % 2 or x % 2 else centre
                        mean += tent[i] * tent[j] * sample
                image[channel, row, column] = centre + share * (mean - centre)
