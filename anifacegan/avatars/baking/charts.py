"""Charts of the radiance manifolds: each manifold is flattened, so that colours on it can be stored in a texture.

A chart is a map from a manifold to the square [-1, 1]^2. A radiance manifold ``{x : M(x) = level}`` is star-shaped:
seen from the centre of the manifold field M, which lies behind the head, it is met once in every direction. The chart
gives each direction d from this centre coordinates (u, v), by stereographic projection:

    (p, q) = REACH sinh(K (u, v)) / sinh(K),    d = (2 p, 2 q, 1 - p^2 - q^2) / (1 + p^2 + q^2),    x = centre + r d

(u, v) = (0, 0) is the direction +z, out of the face. The radius r(u, v) at which the manifold is met is found by one
root search along d. The sinh gives eyes and mouth, in the middle of the chart, more space than ears and shoulders. All
people of a model share its manifolds, so the charts are made once for a model. All points are in template space (the
face without deformation) and in world units.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from anifacegan.geometry.config import RaySamplingConfig
from anifacegan.geometry.conventions import SPHERE_CENTRE, WORLD_PER_NETWORK_UNIT

REACH = 1.2
"""Largest value of p and q in the stereographic projection: directions 100 degrees from +z are on the chart's edge."""
CROWDING = 2.5
"""The number K of the projection: the middle of the chart is 2.4 times as fine as it would be without the sinh."""
SEARCH_GRID = 96
"""Number of directions along each side of a chart in a coarse search for the manifold. The radii found by the coarse
search are the start of a secant search on the final grid."""
LARGEST_RADIUS = 0.4
"""Largest radius of the search, world units: farther from the centre than anything that a camera sees."""
RADIUS_SAMPLES = 128
"""Number of samples along each direction in the coarse search: one every 3 mm, as along the renderer's rays."""
SECANT_STEPS = 6
LONGEST_STEP, LAST_STEP, LARGEST_MISS = 4e-3, 1e-5, 4e-4
"""Longest step of the secant search, length of a step after which it ends, and largest last step of a radius that is
used; world units."""
MARGIN = 0.01
"""Points this far out of view are counted as visible, because an expression may move them into view; world units."""
SLICE_POINTS = 2**17
"""Number of points at which a field is evaluated at once."""

Field = Callable[[Tensor], Tensor]
"""A function of points in space: (1, N, 3) points -> (1, N, ...) values."""


@dataclass(frozen=True)
class ManifoldCharts:
    """The part of each radiance manifold that a camera can see, sampled on a regular grid of the manifold's chart.

    A chart flattens a manifold: it maps directions from a centre behind the head to coordinates (u, v) in a square. The
    dimension ``level`` counts the manifolds.
    """

    low: Float[Tensor, "level 2"]
    """Coordinates (u, v) of the first point of each manifold's grid."""
    high: Float[Tensor, "level 2"]
    """Coordinates (u, v) of the last point of each manifold's grid, at the opposite corner."""
    radius: Float[Tensor, "level side side"]
    """Distance of the manifold from the centre of the manifold field at each grid point, world units; rows go along v,
    columns along u. NaN where there is no manifold."""
    folded_share: float
    """Share of the visible grid points along whose direction from the centre a ray crosses the manifold more than once.
    The outermost crossing is stored, because a ray from outside meets it first."""

    @property
    def side(self) -> int:
        """Number of points along each side of the square grid on which each manifold is sampled."""
        return self.radius.shape[-1]

    def points(self, level: int, at: Float[Tensor, "point 2"]) -> Float[Tensor, "point 3"]:
        """Return points of the manifold with index ``level``, world units; NaN where there is no manifold.

        ``at`` are positions (column, row) on the square grid on which the manifold is sampled; whole numbers are grid
        points. Between grid points, the manifold's distance from the centre behind the head is interpolated bilinearly.
        """
        uv = torch.lerp(self.low[level], self.high[level], at / (self.side - 1))
        return from_chart(uv, _bilinear(self.radius[level], at))

    def vertices(self) -> Float[Tensor, "level side side 3"]:
        """Return the points of each manifold, world units, at all points of the square grid on which it is sampled; NaN
        where there is no manifold.
        """
        return from_chart(_grids(self.low, self.high, self.side), self.radius)


def chart_manifolds(
    scalar_field: Field, levels: Float[Tensor, "level"], ray_sampling: RaySamplingConfig, side: int
) -> ManifoldCharts:
    """Find the manifolds on which a scalar field has the values ``levels``, and sample each on a square grid.

    Args:
        scalar_field: function from points in world units to the scalar.
        levels: value of the scalar on each manifold.
        ray_sampling: says which part of space cameras see.
        side: number of grid points along each side of the square to which a manifold is flattened.
    """
    corner = torch.ones(1, 2, device=levels.device)
    uv = _grids(-corner, corner, SEARCH_GRID)[0]  # (S, S, 2): the whole chart
    radius, slope, count = _outermost_crossings(scalar_field, levels, uv)  # (L, S, S) each
    visible = radius.isfinite() & _in_view(from_chart(uv, radius), ray_sampling)
    low, high = _visible_bounds(uv, visible)
    grid = _grids(low, high, side)
    at = (grid + 1) / 2 * (SEARCH_GRID - 1)
    start, start_slope = (
        torch.stack(
            [_bilinear(found, position.flatten(0, 1)) for found, position in zip(part, at, strict=True)]
        )
        for part in (radius, slope)
    )
    refined = _secant_radius(scalar_field, levels, grid.flatten(1, 2), start, start_slope)
    folded_share = (count[visible] > 1).float().mean().nan_to_num().item()
    return ManifoldCharts(low, high, refined.reshape(len(levels), side, side), folded_share)


def chart_direction(uv: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 3"]:
    """Compute the unit direction d, from the centre behind the head, that has the coordinates (u, v) in [-1, 1]."""
    plane = REACH / math.sinh(CROWDING) * torch.sinh(CROWDING * uv)
    square = plane.square().sum(-1, keepdim=True)
    return torch.cat([2 * plane, 1 - square], dim=-1) / (1 + square)


def to_chart(x: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 2"]:
    """Compute the coordinates (u, v) of points in world units on the square to which manifolds are flattened.

    The coordinates depend only on the direction of a point from a fixed centre behind the head.
    """
    d = torch.nn.functional.normalize(x - WORLD_PER_NETWORK_UNIT * x.new_tensor(SPHERE_CENTRE), dim=-1)
    plane = d[..., :2] / (1 + d[..., 2:])
    return torch.asinh(plane * (math.sinh(CROWDING) / REACH)) / CROWDING


def from_chart(uv: Float[Tensor, "*grid 2"], radius: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 3"]:
    """Compute points, world units, that lie at the distance ``radius`` from the centre behind the head.

    ``uv`` are coordinates on the square to which manifolds are flattened. They give the direction of a point from the
    centre, in the same way for all manifolds.
    """
    centre = WORLD_PER_NETWORK_UNIT * uv.new_tensor(SPHERE_CENTRE)
    return centre + radius[..., None] * chart_direction(uv)


def evaluate_in_slices(field: Field, x: Float[Tensor, "*batch 3"]) -> Tensor:
    """Evaluate a field (a function of points) at points ``x``, SLICE_POINTS points at a time to limit the memory.

    Returns the values; their first axes are the batch axes of ``x``.
    """
    flat = x.reshape(1, -1, 3)
    values = torch.cat([field(part) for part in flat.split(SLICE_POINTS, dim=1)], dim=1)
    return values.reshape(*x.shape[:-1], *values.shape[2:])


def _grids(low: Float[Tensor, "level 2"], high: Float[Tensor, "level 2"], side: int) -> Tensor:
    """Return (L, side, side, 2) evenly spaced chart coordinates (u, v) from ``low`` to ``high``, both included."""
    share = torch.linspace(0, 1, side, device=low.device)
    v, u = torch.meshgrid(share, share, indexing="ij")
    return torch.lerp(low[:, None, None], high[:, None, None], torch.stack([u, v], dim=-1))


def _outermost_crossings(
    scalar_field: Field, levels: Float[Tensor, "level"], uv: Float[Tensor, "side side 2"]
) -> tuple[
    Float[Tensor, "level side side"], Float[Tensor, "level side side"], Float[Tensor, "level side side"]
]:
    """Search for each level of the manifold scalar s along the directions of chart coordinates, from the centre out.

    Returns the radius at which s rises through the level for the last time, NaN where it never does, the slope of s
    there, per world unit, and how often it rises through the level.
    """
    r = torch.linspace(0.0, LARGEST_RADIUS, RADIUS_SAMPLES, device=uv.device)
    radii, slopes, counts = [], [], []
    for row in uv:  # row by row, to save memory
        x = from_chart(row[:, None], r.expand(len(row), -1))
        s = evaluate_in_slices(scalar_field, x)  # (S, K)
        above = s[None] >= levels[:, None, None]  # (L, S, K)
        rises = above[..., 1:] & ~above[..., :-1]
        last = (rises.shape[-1] - 1) - rises.flip(-1).to(torch.uint8).argmax(-1)  # (L, S) interval
        samples = s.expand(len(levels), -1, -1)
        inner = samples.gather(-1, last[..., None])[..., 0]
        outer = samples.gather(-1, last[..., None] + 1)[..., 0]
        fraction = (levels[:, None] - inner) / (outer - inner)
        radii.append(torch.where(rises.any(-1), (last + fraction) * (r[1] - r[0]), torch.nan))
        slopes.append((outer - inner) / (r[1] - r[0]))
        counts.append(rises.sum(-1))
    return torch.stack(radii, dim=1), torch.stack(slopes, dim=1), torch.stack(counts, dim=1).float()


def _in_view(x: Float[Tensor, "*batch 3"], ray_sampling: RaySamplingConfig) -> Bool[Tensor, "*batch"]:
    """Return whether some camera can see points: those before the background plane and near enough to the origin.

    All cameras look at the origin from distance 1.
    """
    sideways = math.sqrt(2) * math.tan(math.radians(ray_sampling.fov_deg / 2)) * ray_sampling.far
    lengthways = max(1 - ray_sampling.near, ray_sampling.far - 1)
    near_origin = x.norm(dim=-1) < math.hypot(sideways, lengthways) + MARGIN
    return (x[..., 2] > ray_sampling.background_z - MARGIN) & near_origin


def _visible_bounds(
    uv: Float[Tensor, "side side 2"], visible: Bool[Tensor, "level side side"]
) -> tuple[Tensor, Tensor]:
    """Return the smallest and the largest visible chart coordinates (u, v) of each manifold, both (L, 2).

    They are widened by one step of the search grid. A manifold that is not visible gets those of the whole chart.
    """
    step = 2 / (SEARCH_GRID - 1)
    used = [uv[mask] if mask.any() else uv.reshape(-1, 2) for mask in visible]
    low = torch.stack([part.amin(0) - step for part in used])
    high = torch.stack([part.amax(0) + step for part in used])
    return low, high


def _secant_radius(
    scalar_field: Field,
    levels: Float[Tensor, "level"],
    uv: Float[Tensor, "level point 2"],
    start: Float[Tensor, "level point"],
    slope: Float[Tensor, "level point"],
) -> Float[Tensor, "level point"]:
    """Refine the radii of manifolds by the secant method along directions ``uv``, from radii and slopes of the scalar
    there; NaN where it does not converge."""
    radius = torch.full_like(start, torch.nan)
    active = start.isfinite().nonzero()
    level, point = active.T
    r, slope, before, step = start[level, point], slope[level, point], None, None
    for k in range(SECANT_STEPS):
        s = evaluate_in_slices(scalar_field, from_chart(uv[level, point], r))
        if before is not None and step is not None:
            secant = (s - before) / step
            slope = torch.where((step.abs() > LAST_STEP) & (secant > 0), secant, slope)
        miss = (levels[level] - s) / slope
        step = miss.nan_to_num(0.0, 0.0, 0.0).clamp(-LONGEST_STEP, LONGEST_STEP)
        r, before = r + step, s
        ends = miss.abs() < (LAST_STEP if k < SECANT_STEPS - 1 else LARGEST_MISS)
        radius[level[ends], point[ends]] = r[ends]
        going = ~ends
        level, point, r, slope, before, step = (
            part[going] for part in (level, point, r, slope, before, step)
        )
    return radius


def _bilinear(values: Float[Tensor, "row column"], at: Float[Tensor, "point 2"]) -> Float[Tensor, "point"]:
    """Interpolate a grid of values at (column, row) positions; NaN where a value with non-zero weight is NaN."""
    rows, columns = values.shape
    column, row = at[:, 0].clamp(0, columns - 1), at[:, 1].clamp(0, rows - 1)
    left, top = column.floor().long().clamp(max=columns - 2), row.floor().long().clamp(max=rows - 2)
    right, down = column - left, row - top
    corners = [values[top + j, left + i] for j in (0, 1) for i in (0, 1)]
    weights = [(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down]
    terms = [torch.where(w > 0, w * c, 0.0) for w, c in zip(weights, corners, strict=True)]
    return torch.stack(terms).sum(0)
