"""Adaptive renderer for inference: the image of ``volume.render_rays`` from fewer evaluations of the networks.

Only a few manifold crossings of a ray are visible. The renderer avoids evaluating the others:

1. Early termination. The scalar s falls along a ray, so the manifolds are met in the order of their levels, from near
   to far. Each crossing is composited before the next one is searched for. When less than 1/4096 of the light is left,
   the crossing counts as opaque and the ray ends.

2. Long steps. From one sample of a ray to the next, s falls by a bounded amount only. The bounds are measured on some
   rays, and a ray steps over all samples at which s must still be above its next level, and over those before the
   crossings of the rays around it (:mod:`anifacegan.rendering.ray_march`).

3. Neighbouring rays. On every k-th ray of every k-th row all crossings are found, until it ends. These grid rays cut
   the image into cells::

       o . . o . . o        o  grid ray
       . . . . . . .        .  ray inside a cell
       . . . . . . .
       o . . o . . o

   A manifold that is invisible on the 16 grid rays around a cell (alpha below 1e-7, or not met) is left out inside the
   cell, unless it is steep there, is missed by a corner of the cell, or is behind the end of one of the 16.

The image can only lack a detail of one manifold that is smaller than a cell and touched by no grid ray around it.
Distances are in world units. On a GPU, whose time goes into starting so many small steps and waiting for their
numbers of points, :mod:`anifacegan.rendering.every_point` renders instead.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from anifacegan.geometry.rays import Rays
from anifacegan.models.generator import ConditionedFields
from anifacegan.models.numba_fields import with_numba_fields
from anifacegan.rendering.adaptive_cells import CELL_SIZE, Cells, pixel_size
from anifacegan.rendering.adaptive_tracing import RayTracer
from anifacegan.rendering.every_point import render_every_point
from anifacegan.rendering.ray_march import march, trace
from anifacegan.runtime.cpu import jobs_only, one_blas_thread


@torch.inference_mode()
@one_blas_thread()
@jobs_only()
def render_adaptive(
    fields: ConditionedFields, rays: Rays, size: int, stride: int | None = None
) -> Float[Tensor, "8 size size"]:
    """Render a square image of one face; the levels of the manifolds must be in falling order.

    The eight channels are rgb, opacity of the head, rgb of the head premultiplied by the opacity, and expected distance
    from the camera (world units).

    Args:
        fields: the face's deformation, manifolds and radiance, as a batch of one.
        rays: rays of the image's pixels, row by row.
        size: height and width of the image, pixels.
        stride: every ``stride``-th ray of every ``stride``-th row is searched for all its crossings and guides the rays
            between; 1: every ray, None: a stride that suits ``size``.
    """
    if rays.origins.device.type != "cpu":
        return render_every_point(fields, rays).T.reshape(8, size, size)
    values, _ = render_pixels(RayTracer(with_numba_fields(fields), rays), size, stride)
    return values.T.reshape(8, size, size)


def render_pixels(
    tracer: RayTracer, size: int, stride: int | None = None
) -> tuple[Float[Tensor, "pixel 8"], Cells | None]:
    """Render the pixels of a square image, whose rays the tracer has row by row; see :func:`render_adaptive`.

    Returns the rendered values, and the cells of the image, which can guide further rays between its pixels; None if
    every ray was traced on its own.
    """
    if stride is None:
        stride = max(1, round(CELL_SIZE / pixel_size(tracer, size)))
    pixels = torch.arange(size * size, device=tracer.origins.device)
    if stride == 1 or size <= stride:
        return trace(tracer, pixels).values, None
    cells = Cells.between_grid_rays(tracer, size, stride)
    values = tracer.origins.new_empty(size * size, 8)
    values[cells.pixels] = cells.corners.values
    inside = torch.ones_like(pixels, dtype=torch.bool)
    inside[cells.pixels] = False
    pixels = pixels[inside]
    row, column = (index.to(values) for index in (pixels // size, pixels % size))
    values[pixels] = render_inside_cells(tracer, cells, pixels, row, column)
    return values, cells


def render_inside_cells(
    tracer: RayTracer,
    cells: Cells,
    rays: Int[Tensor, "ray"],
    row: Float[Tensor, "ray"],
    column: Float[Tensor, "ray"],
) -> Float[Tensor, "ray 8"]:
    """Render rays inside the cells of an image, guided by the grid rays at the corners of their cells.

    ``rays`` are indices of the tracer's rays; they pass through the image at ``row`` and ``column``, in pixels.
    """
    cell, squares = cells.containing(row, column), cells.bounds.squares(row, column)
    return march(tracer, cells.bounds, rays, squares, cells.visible[cell], cells.earliest[cell]).values
