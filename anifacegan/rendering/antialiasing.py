"""Anti-aliasing: several rays through the pixels where one ray is not enough, on outlines and other sharp edges.

A pixel of :func:`anifacegan.rendering.adaptive.render_adaptive` is one ray through its centre, so an outline is a
staircase. Here the image is rendered in two passes:

1. One ray through each pixel, as before.
2. Four more rays through each pixel of high contrast (:mod:`anifacegan.rendering.sharp_edges`). They are guided by the
   cells of the first pass, as the pixels are.

   With the centre, the rays lie in five different rows and columns, so that an edge passes them one after another::

       . . . 1 .        rows and columns are a fifth of a pixel apart
       4 . . . .
       . . 0 . .        0  centre, from the first pass
       . . . . 2
       . 3 . . .

Baked frames have a regular pattern of samples instead (:mod:`anifacegan.avatars.players.numba_player`).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.geometry.rays import Rays, image_rays, pixel_rays
from anifacegan.models.generator import ConditionedFields
from anifacegan.models.numba_fields import with_numba_fields
from anifacegan.rendering.adaptive import render_inside_cells, render_pixels
from anifacegan.rendering.adaptive_cells import Cells
from anifacegan.rendering.adaptive_tracing import RayTracer
from anifacegan.rendering.every_point import render_every_point
from anifacegan.rendering.ray_march import trace
from anifacegan.rendering.sharp_edges import COLOURS, mean_weight
from anifacegan.runtime.cpu import jobs_only, one_blas_thread

OFFSETS_PX = ((0.2, -0.4), (0.4, 0.2), (-0.2, 0.4), (-0.4, -0.2))
"""Places (x, y) of the further rays in a pixel, pixels from its centre."""


@torch.inference_mode()
@one_blas_thread()
@jobs_only()
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
    fov_deg, on_cpu = fields.ray_sampling.fov_deg, yaw.device.type == "cpu"
    fields = with_numba_fields(fields)
    rays = image_rays(yaw=yaw, pitch=pitch, size=size, fov_deg=fov_deg)
    if on_cpu:
        values, cells = render_pixels(RayTracer(fields, rays), size, stride)
    else:
        values, cells = render_every_point(fields, rays), None
    weight = mean_weight(values.T.reshape(8, size, size)).flatten()
    pixels = weight.nonzero()[:, 0]
    if len(pixels):
        offsets = values.new_tensor(OFFSETS_PX)
        x_px = ((pixels % size)[:, None] + offsets[:, 0]).flatten()  # (pixel * 4,)
        y_px = ((pixels // size)[:, None] + offsets[:, 1]).flatten()
        rays = pixel_rays(yaw=yaw, pitch=pitch, x_px=x_px[None], y_px=y_px[None], size=size, fov_deg=fov_deg)
        further = _further(fields, rays, cells, x_px, y_px)
        one = values[pixels, :COLOURS]
        total = one + further[:, :COLOURS].reshape(len(pixels), -1, COLOURS).sum(dim=1)
        mean = total / (1 + len(offsets))
        values[pixels, :COLOURS] = torch.lerp(one, mean, weight[pixels, None])
    return values.T.reshape(8, size, size)


def _further(
    fields: ConditionedFields, rays: Rays, cells: Cells | None, x_px: Tensor, y_px: Tensor
) -> Float[Tensor, "ray 8"]:
    """Render the further rays, which pass through places ``x_px``, ``y_px`` of the image."""
    if x_px.device.type != "cpu":
        return render_every_point(fields, rays)
    tracer, every = RayTracer(fields, rays), torch.arange(len(x_px))
    if cells is None:
        return trace(tracer, every).values
    return render_inside_cells(tracer, cells, every, y_px, x_px)
