"""The mean of the samples around pixels on sharp edges, in images of the doubled size."""

import torch

from anifacegan.rendering.sharp_edges import doubled, mean_weight, with_smooth_edges

SIZE = 32


def half_plane(size: int) -> torch.Tensor:
    """Eight equal planes with a slanted edge between 0 and 1, of the same view at every size."""
    place = torch.linspace(-1, 1, size)
    y, x = torch.meshgrid(place, place, indexing="ij")
    return (x + 0.3 * y > 0.05).float().expand(8, -1, -1).clone()


def test_even_samples_of_the_doubled_image_are_the_pixels_centres() -> None:
    assert torch.equal(half_plane(doubled(SIZE))[:, ::2, ::2], half_plane(SIZE))


def test_only_pixels_of_high_contrast_change_and_the_distance_never() -> None:
    fine = half_plane(doubled(SIZE))
    weight = mean_weight(fine[:, ::2, ::2])
    smooth, centres = with_smooth_edges(fine, weight), fine[:, ::2, ::2]
    changed = (smooth != centres).any(dim=0)
    assert changed.any() and not (changed & (weight == 0)).any()
    assert torch.equal(smooth[7], centres[7])
    assert ((smooth[:7] > 0) & (smooth[:7] < 1)).any()


def test_a_smooth_edge_is_nearer_to_its_coverage() -> None:
    """Of a slanted edge, 9 samples a pixel have half the error of one, and less."""
    fine = half_plane(doubled(SIZE))
    smooth = with_smooth_edges(fine, mean_weight(fine[:, ::2, ::2]).ceil())
    errors = [(image[0] - coverage()).abs().mean() for image in (fine[:, ::2, ::2], smooth)]
    assert errors[1] < 0.5 * errors[0]


def coverage() -> torch.Tensor:
    """The share of each pixel's square that lies beyond the edge, from 15 x 15 samples."""
    step = 2 / (SIZE - 1)
    place = -1 + step * (torch.arange(15 * SIZE) - 7) / 15
    y, x = torch.meshgrid(place, place, indexing="ij")
    inside = (x + 0.3 * y > 0.05).float()
    return torch.nn.functional.avg_pool2d(inside[None], 15)[0]
