"""Cells of the adaptive renderer: the squares between grid rays, which are traced on their own and guide the rays
inside a cell.

See :mod:`anifacegan.rendering.adaptive` for the algorithm.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anifacegan.rendering.adaptive_tracing import RayTracer, TracedRays, first_change

MAX_SPREAD = 0.008
"""Largest difference, world units, between the distances at which the four corner rays of a cell cross a manifold;
where it is larger, the manifold may fold inside the cell, and its crossing is not interpolated."""
STEEP_SPREAD = 0.006
"""Difference, world units, between the distances at which the four corner rays of a cell cross a manifold, above which
the manifold is steep, and may be visible inside the cell though it is invisible on the grid rays."""
SEARCH_STEPS = 4
"""Largest number of pairs of neighbouring samples of a ray that are tried around a manifold's expected crossing."""


Places = tuple[Int[Tensor, "ray"], Int[Tensor, "ray 4"], Float[Tensor, "ray 4"]]
"""Places of rays inside cells: the cell that each ray lies in, the indices of the cell's four corners among the grid
rays, and the corners' bilinear weights."""


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
    ambiguous: Bool[Tensor, "cell level"]
    """Whether a manifold's crossings inside a cell cannot be interpolated from the cell's corners."""

    @classmethod
    def between_grid_rays(cls, tracer: RayTracer, size: int, stride: int) -> "Cells":
        """Trace every ``stride``-th ray of every ``stride``-th row of an image of ``size`` x ``size`` pixels; decide,
        in each cell between these rays, which manifolds are visible, and whose crossings cannot be interpolated.
        """
        lines = torch.arange(0, size, stride, device=tracer.t.device)
        if lines[-1] < size - 1:
            lines = torch.cat([lines, lines.new_tensor([size - 1])])
        pixels = (lines[:, None] * size + lines).flatten()
        corners = tracer.trace(pixels, all_crossings=True)

        in_front = corners.hit & (corners.distance <= tracer.t_background[pixels, None])
        spread = _cell_maximum(corners.distance) + _cell_maximum(-corners.distance)  # max - min
        ambiguous = _any_corner(~corners.hit) | (spread > MAX_SPREAD)
        may_appear = _any_corner(in_front) & (ambiguous | (spread > STEEP_SPREAD))
        visible = _any_corner(~corners.invisible, margin=1) | may_appear
        return cls(lines, pixels, corners, visible, ambiguous)

    def locate(self, row: Float[Tensor, "ray"], column: Float[Tensor, "ray"]) -> Places:
        """Find the cells that rays lie in, and their places inside; ``row`` and ``column`` are in pixels.

        A ray beyond the image's outermost pixel centres belongs to the nearest cell, whose weights are extrapolated.
        """
        last = len(self.lines) - 2
        first_line, fractions = [], []
        for place in (row, column):
            line = torch.searchsorted(self.lines.to(place), place, right=True) - 1
            line = line.clamp(min=0, max=last)
            before, after = self.lines[line], self.lines[line + 1]
            first_line.append(line)
            fractions.append((place - before) / (after - before))
        (row, column), (down, right) = first_line, fractions
        corner = row * (last + 2) + column
        corners = torch.stack([corner, corner + 1, corner + last + 2, corner + last + 3], dim=1)
        weights = torch.stack(
            [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right], dim=1
        )
        return row * (last + 1) + column, corners, weights


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


class SampleCache:
    """Manifold scalar s and deformation offset at the samples of rays; a sample is evaluated when it is first needed.

    Sample i of ray r has the flat index ``r * count + i``.
    """

    def __init__(self, tracer: RayTracer, pixels: Int[Tensor, "ray"]) -> None:
        self.tracer, self.pixels, self.count = tracer, pixels, len(tracer.t)
        self.s = tracer.origins.new_full((len(pixels) * self.count,), torch.nan)
        """(ray * count,) manifold scalar; NaN where not evaluated yet."""
        self.delta = tracer.origins.new_empty(len(pixels) * self.count, 3)
        """(ray * count, 3) deformation offset, world units."""
        self.complete = torch.zeros_like(pixels, dtype=torch.bool)
        """(ray,) whether s has been evaluated at all samples of the ray."""
        self._index = torch.arange(self.count, device=pixels.device)

    def at(self, index: Int[Tensor, "ray k"]) -> Float[Tensor, "ray k"]:
        """Return the manifold scalar s at samples; ``index`` is ray * (samples of a ray) + sample."""
        new = index[self.s[index].isnan()]
        if len(new):
            t = self.tracer.t[new % self.count]
            self.s[new], self.delta[new] = self.tracer.sample(self.pixels[new // self.count], t)
        return self.s[index]

    def crossing_near(
        self, ray: Int[Tensor, "some"], expected: Float[Tensor, "some"], level: float
    ) -> tuple[Bool[Tensor, "some"], Int[Tensor, "some"]]:
        """Search for two neighbouring samples of each ray between which the manifold scalar falls through ``level``.

        ``ray`` are indices of the rays; the search begins around the distances ``expected`` from the camera, world
        units. Returns whether such samples were found, and the index along the ray of the nearer one.
        """
        first, last = self.tracer.t[0], self.tracer.t[-1]
        i = ((expected - first) / (last - first) * (self.count - 1)).long().clamp(0, self.count - 2)
        for _ in range(SEARCH_STEPS):
            above = self.at((ray * self.count + i)[:, None] + self._index[:2]) >= level
            found = above[:, 0] & ~above[:, 1]
            move = torch.where(found, 0, torch.where(above[:, 0], 1, -1))
            if not move.any():
                break
            i = (i + move).clamp(0, self.count - 2)
        return found, i

    def first_crossing(
        self, ray: Int[Tensor, "some"], level: float
    ) -> tuple[Bool[Tensor, "some"], Int[Tensor, "some"]]:
        """Find the first crossing of a level among all samples of each ray; it counts only if the manifold scalar falls
        there.

        Returns whether there is such a crossing, and the index of the sample before it.
        """
        changes, falls, i = first_change(self._all_of(ray), self.s.new_full((1, 1), level))
        return changes & falls, i

    def _all_of(self, ray: Int[Tensor, "some"]) -> Float[Tensor, "some count"]:
        """Return s at all samples of rays."""
        new = ray[~self.complete[ray]]
        self.at(new[:, None] * self.count + self._index)
        self.complete[new] = True
        return self.s.view(-1, self.count)[ray]
