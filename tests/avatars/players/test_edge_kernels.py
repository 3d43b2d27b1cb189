"""The compiled loops of smooth edges do what the operations on tensors do."""

import numpy as np
import pytest
import torch

from anifacegan.avatars.players.edge_kernels import mean_weights, numbered_samples, smooth
from anifacegan.rendering.sharp_edges import doubled, mean_weight, with_smooth_edges

SIZE = 48


@pytest.fixture
def fine() -> np.ndarray:
    """Eight different planes of the doubled size: blurred noise with an edge, also at the border."""
    rng = np.random.default_rng(3)
    side = doubled(SIZE)
    planes = 0.04 * rng.random((8, side, side))
    y, x = np.mgrid[:side, :side]
    planes += ((x + 0.4 * y > side / 2) & (y > 20)) * rng.uniform(0.4, 0.9, (8, 1, 1))
    return planes.astype(np.float32)


def test_weights_are_those_of_the_tensors(fine: np.ndarray) -> None:
    image = np.ascontiguousarray(fine[:, ::2, ::2])
    expected = mean_weight(torch.from_numpy(image)).numpy()
    assert 0 < (expected > 0).mean() < 0.1
    # the same float32 operations, of which compilers may fuse some
    np.testing.assert_allclose(mean_weights(image), expected, atol=1e-5)


def test_smooth_images_are_those_of_the_tensors_and_read_only_marked_samples(fine: np.ndarray) -> None:
    image = np.ascontiguousarray(fine[:, ::2, ::2])
    weight = mean_weights(image)
    number = numbered_samples(weight)
    marked = number >= 0
    assert not marked[::2, ::2].any() and marked.any()
    assert sorted(number[marked]) == list(range(marked.sum()))
    samples = np.full((8, marked.sum()), np.nan, np.float32)
    samples[:, number[marked]] = fine[:, marked]
    expected = with_smooth_edges(torch.from_numpy(fine), torch.from_numpy(weight)).numpy()
    result = image.copy()
    smooth(result, weight, number, samples)
    np.testing.assert_allclose(result, expected, atol=1e-6)  # sums of nine numbers below 1
    np.testing.assert_array_equal(result[7], image[7], err_msg="the distance stays")


def test_samples_are_marked_around_pixels_at_the_border_too() -> None:
    weight = np.zeros((4, 4), np.float32)
    weight[0, 3] = 0.5
    rows, columns = (numbered_samples(weight) >= 0).nonzero()
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == {(0, 5), (1, 5), (1, 6)}
