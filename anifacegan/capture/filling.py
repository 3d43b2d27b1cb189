"""Fills the unknown part of an image from the known part, more blurred the farther away."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage

LEAST_WEIGHT = 1e-6
SMALLEST = 2
"""Height and width, pixels, at which the image is not shrunk further."""

LEAST_SIGMA = 2.5
"""Standard deviation, pixels, below which a blur works at full resolution."""
DETAIL_BLUR, DETAIL_LIMIT = 4.0, 0.06
"""Fine detail is what a blur of this many pixels takes away, at most this bright."""
BLURS = (3.0, 8.0, 20.0)
"""Standard deviations, pixels, of the blurs that follow one another with growing distance from the known part."""


def nearest_filled(
    image: Float[np.ndarray, "height width channel"], known: Bool[np.ndarray, "height width"]
) -> Float[np.ndarray, "height width channel"]:
    """Return the image where it is known, and elsewhere the nearest known colours, blurred with growing distance.

    Without any known pixel, the result is 0.
    """
    if not known.any():
        return np.zeros_like(image)
    distance, index = ndimage.distance_transform_edt(~known, return_indices=True)
    result = image[tuple(index)]
    for sigma in BLURS:
        soft = np.stack(
            [ndimage.gaussian_filter(plane, sigma) for plane in np.moveaxis(result, -1, 0)], axis=-1
        )
        share = np.clip(distance / (2 * sigma) - 0.5, 0, 1)[..., None]
        result = result * (1 - share) + soft * share
    return result.astype(np.float32)


def mirrored_filled(
    image: Float[np.ndarray, "height width channel"], known: Bool[np.ndarray, "height width"]
) -> Float[np.ndarray, "height width channel"]:
    """Return the image where it is known, and elsewhere what is known near, without streaks: smooth colours, with the
    fine detail that the known part has as far inside its outline as the pixel is outside.

    Without any known pixel, the result is 0.
    """
    if not known.any():
        return np.zeros_like(image)
    distance, index = ndimage.distance_transform_edt(~known, return_indices=True)
    near = nearest_filled(image, known)
    low = blurred(near, DETAIL_BLUR)
    inner = ndimage.binary_erosion(known, iterations=2)
    detail = (image - low).clip(-DETAIL_LIMIT, DETAIL_LIMIT) * inner[..., None]
    grid = np.indices(known.shape)
    sizes = np.array(known.shape)[:, None, None] - 1
    row, column = (2 * index - grid).clip(0, sizes)
    share = np.clip(distance / DETAIL_BLUR, 0, 1)[..., None]
    return (near + (low + detail[row, column] - near) * share).astype(np.float32)


def blurred(
    image: Float[np.ndarray, "height width channel"], sigma: float
) -> Float[np.ndarray, "height width channel"]:
    """Blur with a Gaussian of standard deviation ``sigma`` pixels; wide ones work on a smaller image."""
    shrink = max(1, int(sigma // LEAST_SIGMA))
    planes = torch.from_numpy(np.ascontiguousarray(image, np.float32)).permute(2, 0, 1)[None]
    small = torch.nn.functional.avg_pool2d(planes, shrink, ceil_mode=True, count_include_pad=False)[0].numpy()
    soft = np.stack([ndimage.gaussian_filter(plane, sigma / shrink) for plane in small])
    if shrink > 1:
        size = tuple(shrink * length for length in soft.shape[1:])
        enlarged = torch.nn.functional.interpolate(torch.from_numpy(soft)[None], size, mode="bilinear")
        soft = enlarged[0, :, : image.shape[0], : image.shape[1]].numpy()
    return np.moveaxis(soft, 0, -1)


def push_pull_filled(
    image: Float[np.ndarray, "height width channel"], weight: Float[np.ndarray, "height width"]
) -> Float[np.ndarray, "height width channel"]:
    """Return the image where ``weight`` is 1, and elsewhere what its surroundings say (push-pull).

    Known pixels are averaged over ever larger squares; an unknown pixel takes the average of the smallest square that
    has known ones, interpolated between squares. Without any known pixel, the result is 0.
    """
    colour = torch.from_numpy(np.ascontiguousarray(image, np.float32)).permute(2, 0, 1)[None]
    share = torch.from_numpy(np.ascontiguousarray(weight, np.float32))[None, None].clamp(0, 1)
    return _push_pull(colour * share, share)[0].permute(1, 2, 0).contiguous().numpy()


def _push_pull(premultiplied: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    height, width = share.shape[2:]
    if min(height, width) <= SMALLEST:
        total = share.sum(dim=(2, 3), keepdim=True)
        mean = premultiplied.sum(dim=(2, 3), keepdim=True) / total.clamp(min=LEAST_WEIGHT)
        return premultiplied + (1 - share) * mean
    small, small_share = (
        torch.nn.functional.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)
        for x in (premultiplied, share)
    )
    certain = (small_share * 4).clamp(max=1)  # one known pixel of four is enough
    small = small / small_share.clamp(min=LEAST_WEIGHT) * certain
    coarse = _push_pull(small, certain)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    return premultiplied + (1 - share) * smooth
