"""Adaptive renderer for inference: the image of ``volume.render_rays`` from fewer evaluations of the networks.

Only a few manifold crossings of a ray are visible. The renderer avoids evaluating the others:

1. Early termination. The scalar s falls along a ray, so the manifolds are met in the order of their levels, from near
   to far. Each crossing is composited before the next one is searched for. When less than 1/4096 of the light is left,
   the crossing counts as opaque and the ray ends.

2. Neighbouring rays. Every k-th ray of every k-th row is traced on its own: s is evaluated at all of its samples, so
   all its crossings are known. These grid rays cut the image into cells::

       o . . o . . o        o  grid ray, traced on its own
       . . . . . . .        .  ray inside a cell, guided by the four grid rays at the corners of the cell
       . . . . . . .
       o . . o . . o

   A manifold that is invisible on the 16 grid rays around a cell (alpha below 1e-7, or not met) is skipped inside the
   cell. For any other manifold the crossing's distance is interpolated between the four corners, and s is evaluated at
   the two samples around it. If they do not enclose the level, the search moves to the neighbouring samples, at most
   four pairs in all::

       s
       |  x
       |      x                       x  sample of s along the ray
       |          x                   +  expected crossing: s must be above the level at the sample
       |------------+--------- level     before it, and below the level at the sample behind it
       |              x   x
       +---------------------- distance

3. Fallback. Where a corner misses the manifold, the corners' distances spread too widely (a fold of the surface), or
   no enclosing samples are found, all samples of that ray are evaluated, as for a grid ray.

The image can only lack a detail of one manifold that is smaller than a cell and touched by no grid ray around it.
Distances are in world units. On a GPU, whose time goes into starting so many small steps and waiting for their
numbers of points, :mod:`anifacegan.rendering.every_point` renders instead.
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from anifacegan.geometry.rays import Rays
from anifacegan.models.generator import ConditionedFields
from anifacegan.models.numba_fields import with_numba_fields
from anifacegan.rendering.adaptive_cells import Cells, Places, SampleCache
from anifacegan.rendering.adaptive_tracing import Compositor, RayTracer
from anifacegan.rendering.every_point import render_every_point
from anifacegan.runtime.cpu import one_blas_thread

CELL_SIZE = 0.0028
"""Distance between neighbouring grid rays, world units, rounded to whole pixels: 3 pixels at 256 px, 2 at 128 px, 1 at
64 px. For comparison: a head is 0.15 wide, an iris 0.01."""


@torch.inference_mode()
@one_blas_thread()
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
        pixel = 2 * math.tan(math.radians(tracer.fields.ray_sampling.fov_deg / 2)) / max(size - 1, 1)
        stride = max(1, round(CELL_SIZE / pixel))
    pixels = torch.arange(size * size, device=tracer.origins.device)
    if stride == 1 or size <= stride:
        return tracer.trace(pixels).values, None
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
    values = tracer.origins.new_empty(len(rays), 8)

    def render_slice(part: slice) -> None:
        values[part] = _render_slice(tracer, cells, rays[part], cells.locate(row[part], column[part]))

    tracer.in_slices(len(rays), render_slice)
    return values


def _render_slice(
    tracer: RayTracer, cells: Cells, rays: Int[Tensor, "ray"], places: Places
) -> Float[Tensor, "ray 8"]:
    cell, corners, corner_weights = places
    compositor = Compositor(tracer.origins[rays])
    samples = SampleCache(tracer, rays)
    for k, level in enumerate(tracer.levels):
        needed = cells.visible[cell, k] & (compositor.transmittance > 0)
        on_its_own = cells.ambiguous[cell, k] | samples.complete

        # Rays whose corners say where the crossing is: search among the samples there.
        ray = (needed & ~on_its_own).nonzero()[:, 0]
        expected = (cells.corners.distance[corners[ray], k] * corner_weights[ray]).sum(dim=1)
        found, interval = samples.crossing_near(ray, expected, level)

        # The other rays, and those where the search failed: look at all samples.
        rest = torch.cat([(needed & on_its_own).nonzero()[:, 0], ray[~found]])
        rest_found, rest_interval = samples.first_crossing(rest, level)
        ray = torch.cat([ray[found], rest[rest_found]])
        interval = torch.cat([interval[found], rest_interval[rest_found]])
        if len(ray):
            _composite_crossings(tracer, samples, compositor, ray, interval, level)
    return tracer.finish(rays, compositor)


def _composite_crossings(
    tracer: RayTracer,
    samples: SampleCache,
    compositor: Compositor,
    ray: Int[Tensor, "point"],
    interval: Int[Tensor, "point"],
    level: float,
) -> None:
    """Composite one crossing on each of some rays; it lies between the samples ``interval`` and ``interval + 1`` of the
    ray."""
    pixels, s, delta = samples.pixels, samples.s, samples.delta
    near = ray * samples.count + interval
    fraction = (s[near] - level) / (s[near] - s[near + 1])
    t = torch.lerp(tracer.t[interval], tracer.t[interval + 1], fraction)
    in_front = t <= tracer.t_background[pixels[ray]]
    ray, near, fraction, t = (values[in_front] for values in (ray, near, fraction, t))
    delta = torch.lerp(delta[near], delta[near + 1], fraction[:, None])
    rgb, alpha = tracer.radiance(pixels[ray], t, delta)
    compositor.add(ray, rgb, alpha, t)
