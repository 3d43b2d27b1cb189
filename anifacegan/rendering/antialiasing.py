"""Anti-aliasing: several rays through the pixels where one ray is not enough, on outlines and other sharp edges.

A pixel of :func:`anifacegan.rendering.adaptive.render_adaptive` is one ray through its centre, so an outline is a
staircase. Here the image is rendered in two passes:

1. One ray through each pixel, as before.
2. Contrast. Where colour changes evenly from pixel to pixel, the centre already is the mean of the pixel; where it
   does not, four more rays are traced. The contrast is the largest second difference, horizontal plus vertical, of rgb
   and, at half the weight, of opacity: an outline that has the colour of the background becomes visible where the head
   is laid over something else. The further rays are guided by the cells of the first pass, as the pixels are.

   With the centre, the rays lie in five different rows and columns, so that an edge passes them one after another::

       . . . 1 .        rows and columns are a fifth of a pixel apart
       4 . . . .
       . . 0 . .        0  centre, from the first pass
       . . . . 2
       . 3 . . .

The colours and the opacity of such a pixel move to the mean of its five rays, gradually above the least contrast, so
that a difference by rounding cannot switch a pixel. Depth stays that of the centre: the mean of two surfaces lies on
neither. All other pixels stay as they are, bit for bit.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.geometry.rays import image_rays, pixel_rays
from anifacegan.models.generator import ConditionedFields
from anifacegan.models.numba_fields import with_numba_fields
from anifacegan.rendering.adaptive import render_inside_cells, render_pixels
from anifacegan.rendering.adaptive_tracing import RayTracer
from anifacegan.runtime.cpu import one_blas_thread

OFFSETS_PX = ((0.2, -0.4), (0.4, 0.2), (-0.2, 0.4), (-0.4, -0.2))
"""Places (x, y) of the further rays in a pixel, pixels from its centre."""
MIN_CONTRAST = 0.06
"""Contrast, of colours and opacity in [0, 1], above which a pixel has further rays."""
FULL_CONTRAST = 1.25
"""Contrast, divided by the least one of the image, from which a pixel is the mean of its rays."""
OPACITY_WEIGHT = 0.5
"""Weight of the contrast of opacity beside that of the colours."""
MAX_SHARE = 0.033
"""Largest share of an image's pixels that have further rays, those of the largest contrast; it bounds the cost of
images that are full of detail."""
COLOURS = 7
"""Number of the image's channels that are averaged: rgb, opacity, premultiplied foreground rgb."""


@torch.inference_mode()
@one_blas_thread()
def render_antialiased(
    fields: ConditionedFields,
    *,
    yaw: Float[Tensor, "1"],
    pitch: Float[Tensor, "1"],
    size: int,
    stride: int | None = None,
) -> Float[Tensor, "8 size size"]:
    """Render a square image of one face with smooth outlines.

    ``yaw`` and ``pitch`` are the camera's pose, radians relative to frontal. The channels and ``stride`` are those of
    :func:`anifacegan.rendering.adaptive.render_adaptive`; the last channel, distance, is that of one ray a pixel.
    """
    fields, fov_deg = with_numba_fields(fields), fields.ray_sampling.fov_deg
    rays = image_rays(yaw=yaw, pitch=pitch, size=size, fov_deg=fov_deg)
    values, cells = render_pixels(RayTracer(fields, rays), size, stride)
    weight = mean_weight(values.T.reshape(8, size, size)).flatten()
    pixels = weight.nonzero()[:, 0]
    if len(pixels):
        offsets = values.new_tensor(OFFSETS_PX)
        x_px = ((pixels % size)[:, None] + offsets[:, 0]).flatten()  # (pixel * 4,)
        y_px = ((pixels // size)[:, None] + offsets[:, 1]).flatten()
        rays = pixel_rays(yaw=yaw, pitch=pitch, x_px=x_px[None], y_px=y_px[None], size=size, fov_deg=fov_deg)
        tracer, every = RayTracer(fields, rays), torch.arange(len(x_px), device=x_px.device)
        if cells is None:
            further = tracer.trace(every).values
        else:
            further = render_inside_cells(tracer, cells, every, y_px, x_px)
        one = values[pixels, :COLOURS]
        total = one + further[:, :COLOURS].reshape(len(pixels), -1, COLOURS).sum(dim=1)
        mean = total / (1 + len(offsets))
        values[pixels, :COLOURS] = torch.lerp(one, mean, weight[pixels, None])
    return values.T.reshape(8, size, size)


def mean_weight(image: Float[Tensor, "8 size size"]) -> Float[Tensor, "size size"]:
    """Compute how far each pixel moves from its centre's colour to the mean of its rays: 0, where no further rays are
    needed, to 1."""
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
