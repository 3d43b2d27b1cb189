"""Pixels in which one sample is not enough, on outlines and other sharp edges, and the mean of several samples there.

Where colour changes evenly from pixel to pixel, the sample at the centre already is the mean of the pixel. The contrast
is the largest second difference, horizontal plus vertical, of rgb and, at half the weight, of opacity: an outline that
has the colour of the background becomes visible where the head is laid over something else.

The colours and the opacity of a pixel of high contrast move to the mean of its samples, gradually above the least
contrast, so that a difference by rounding cannot switch a pixel. Depth stays that of the centre: the mean of two
surfaces lies on neither. All other pixels stay as they are, bit for bit.
"""

import torch
from jaxtyping import Float
from torch import Tensor

MIN_CONTRAST = 0.06
"""Contrast, of colours and opacity in [0, 1], above which a pixel has further samples."""
FULL_CONTRAST = 1.25
"""Contrast, divided by the least one of the image, from which a pixel is the mean of its samples."""
OPACITY_WEIGHT = 0.5
"""Weight of the contrast of opacity beside that of the colours."""
MAX_SHARE = 0.033
"""Largest share of an image's pixels that have further samples, those of the largest contrast; it bounds the cost of
images that are full of detail."""
COLOURS = 7
"""Number of the image's channels that are averaged: rgb, opacity, premultiplied foreground rgb."""
TENT = (0.25, 0.5, 0.25)
"""Weights, in each direction, of the samples half a pixel before a pixel's centre, at it, and behind it."""


def mean_weight(image: Float[Tensor, "8 size size"]) -> Float[Tensor, "size size"]:
    """Compute how far each pixel moves from its centre's colour to the mean of its samples: 0, where no further samples
    are needed, to 1."""
    seen = torch.maximum(contrast(image[:3]), OPACITY_WEIGHT * contrast(image[3:4]))
    most = int(MAX_SHARE * seen.numel())
    least = seen.flatten().topk(most + 1).values[-1].clamp(min=MIN_CONTRAST)
    return ((seen / least - 1) / (FULL_CONTRAST - 1)).clamp(0, 1)


def contrast(planes: Float[Tensor, "channel height width"]) -> Float[Tensor, "height width"]:
    """Compute the largest second difference, horizontal plus vertical, over the channels of an image."""
    padded = torch.nn.functional.pad(planes[None], (1, 1, 1, 1), mode="replicate")[0]
    twice = 2 * planes
    across = (twice - padded[:, 1:-1, :-2] - padded[:, 1:-1, 2:]).abs()
    down = (twice - padded[:, :-2, 1:-1] - padded[:, 2:, 1:-1]).abs()
    return (across + down).amax(dim=0)


def doubled(size: int) -> int:
    """Return the size of the image of the same view that has a sample half-way between all neighbouring pixels of one
    of ``size`` pixels; its even rows and columns are the pixels' centres."""
    return 2 * size - 1


def with_smooth_edges(
    fine: Float[Tensor, "8 doubled doubled"], weight: Float[Tensor, "size size"]
) -> Float[Tensor, "8 size size"]:
    """Return the pixels' centres of a doubled image; those of positive weight move towards the weighted mean of the
    nine samples around them, all channels but the distance.

    Of ``fine``, only the centres and the samples beside pixels of positive weight are read.
    """
    image = fine[:, ::2, ::2].clone()
    rows, columns = (weight > 0).nonzero(as_tuple=True)
    last, mean = fine.shape[-1] - 1, 0
    for down, row_weight in zip((-1, 0, 1), TENT, strict=True):
        for across, column_weight in zip((-1, 0, 1), TENT, strict=True):
            sample = fine[:COLOURS, (2 * rows + down).clamp(0, last), (2 * columns + across).clamp(0, last)]
            mean = mean + row_weight * column_weight * sample
    image[:COLOURS, rows, columns] = torch.lerp(image[:COLOURS, rows, columns], mean, weight[rows, columns])
    return image
