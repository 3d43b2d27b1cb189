"""Cells of the adaptive renderer: the squares between grid rays, which are traced on their own and guide the rays
inside a cell.

See :mod:`anifacegan.rendering.adaptive` for the algorithm.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anifacegan.rendering.adaptive_tracing import RayTracer, TracedRays
from anifacegan.rendering.ray_march import FallBounds, march, squares_between

CELL_SIZE = 0.0028
"""Distance between neighbouring grid rays, world units, rounded to whole pixels: 3 pixels at 256 px, 2 at 128 px, 1 at
64 px. For comparison: a head is 0.15 wide, an iris 0.01."""
LARGEST_CELL = 2 * CELL_SIZE
"""Distance between grid rays, world units, up to which a ray inside a cell is expected to meet no manifold before all
of the 16 grid rays around the cell do. With its four corners alone, a closed lid lost a pixel in one of 105 images."""
STEEP_SPREAD = 0.006
"""Difference, world units, between the distances at which the four corner rays of a cell cross a manifold, above which
the manifold is steep, and may be visible inside the cell though it is invisible on the grid rays."""
MEASURED_LINES = 4
"""Every fourth grid ray of every fourth row of them is evaluated at all its samples, for the bounds of the march."""


@dataclass(frozen=True)
class Cells:
    """Grid rays of an image (every k-th ray of every k-th row), C rows of C rays, and the (C - 1) x (C - 1) cells
    between them."""

    lines: Int[Tensor, "line"]
    """Indices of the image rows that contain grid rays; the columns have the same indices. The image's first and last
    row are included."""
    pixels: Int[Tensor, "corner"]
    """Pixel index of each grid ray, row by row."""
    corners: TracedRays
    """Rendered values and crossings of the grid rays, which are the corners of the cells."""
    visible: Bool[Tensor, "cell level"]
    """Whether each manifold has to be rendered inside each cell."""
    earliest: Int[Tensor, "cell level"]
    """Last sample before any grid ray around each cell meets each manifold; 0 where one does not, and in cells that are
    large."""
    bounds: FallBounds
    """How much s may fall from sample to sample of the rays inside the cells."""

    @classmethod
    def between_grid_rays(cls, tracer: RayTracer, size: int, stride: int) -> "Cells":
        """Find all crossings of every ``stride``-th ray of every ``stride``-th row of an image of ``size`` x ``size``
        pixels; decide which manifolds are visible in each cell between these rays.
        """
        lines = torch.arange(0, size, stride, device=tracer.t.device)
        if lines[-1] < size - 1:
            lines = torch.cat([lines, lines.new_tensor([size - 1])])
        pixels = (lines[:, None] * size + lines).flatten()
        bounds = FallBounds.measure(tracer, torch.cat([lines[:-1:MEASURED_LINES], lines[-1:]]), size)
        places = (place.to(tracer.t) for place in (pixels // size, pixels % size))
        corners = march(tracer, bounds, pixels, bounds.squares(*places))

        in_front = corners.hit & (corners.distance <= tracer.t_background[pixels, None])
        spread = _cell_maximum(corners.distance) + _cell_maximum(-corners.distance)  # max - min
        may_appear = _any_corner(in_front) & (_any_corner(~corners.hit) | (spread > STEEP_SPREAD))
        visible = _any_corner(~corners.invisible, margin=1) | may_appear
        earliest = -_cell_maximum(-corners.interval.to(corners.distance), margin=1).long()
        if stride * pixel_size(tracer, size) > LARGEST_CELL:
            earliest = torch.zeros_like(earliest)
        return cls(lines, pixels, corners, visible, earliest, bounds)

    def containing(self, row: Float[Tensor, "ray"], column: Float[Tensor, "ray"]) -> Int[Tensor, "ray"]:
        """Return the cell that each ray passes through; ``row`` and ``column`` are in pixels.

        A ray beyond the image's outermost pixel centres belongs to the nearest cell.
        """
        return squares_between(self.lines, row, column)


def pixel_size(tracer: RayTracer, size: int) -> float:
    """Return the distance between neighbouring rays of an image of ``size`` x ``size`` pixels, a world unit from the
    camera."""
    return 2 * math.tan(math.radians(tracer.fields.ray_sampling.fov_deg / 2)) / max(size - 1, 1)


def _cell_maximum(values: Float[Tensor, "corner level"], margin: int = 0) -> Float[Tensor, "cell level"]:
    """Return the largest value at the corners of each cell, and at the grid rays up to ``margin`` lines around the
    cell."""
    lines = round(len(values) ** 0.5)
    grid = values.T.reshape(1, -1, lines, lines)
    grid = torch.nn.functional.pad(grid, (margin,) * 4, value=-torch.inf)
    return torch.nn.functional.max_pool2d(grid, 2 + 2 * margin, 1)[0].flatten(1).T


def _any_corner(condition: Bool[Tensor, "corner level"], margin: int = 0) -> Bool[Tensor, "cell level"]:
    """Return whether a condition holds at a corner of each cell, or at a grid ray up to ``margin`` lines around the
    cell."""
    return _cell_maximum(condition.float(), margin) > 0
