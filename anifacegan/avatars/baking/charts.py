"""Charts of the manifolds: every radiance manifold laid out flat, so that what lies on it can be a texture.

A manifold ``{x : M(x) = level}`` is star-shaped about the manifold field's centre behind the head. A direction from
there is a chart point (u, v) in [-1, 1]^2 by stereographic projection,

    (p, q) = REACH sinh(K (u, v)) / sinh(K),    d = (2 p, 2 q, 1 - p^2 - q^2) / (1 + p^2 + q^2),    x = centre + r d,

where (0, 0) looks along +z, out of the face, and the radius r(u, v) is one root search a chart point. The sinh gives
eyes and mouth, in the middle, more of the chart than ears and shoulders. The manifolds are shared by all people, so
this is done once for a model. All points are in template space and world units.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from anifacegan.geometry.conventions import SPHERE_CENTRE, WORLD_PER_NETWORK_UNIT
from anifacegan.geometry.rays import RaySamplingConfig

REACH = 1.2
"""Of the stereographic projection: directions 100 degrees from +z are on the chart's edge."""
CROWDING = 2.5
"""K: the middle of the chart is 2.4 times as fine as it would be without."""
SEARCH_GRID = 96
"""Directions along a side of the search; the charts' own grids start from what it finds."""
LARGEST_RADIUS = 0.4
"""Manifolds are looked for so far from the centre, world units: beyond everything that a camera sees."""
RADIUS_SAMPLES = 128
"""Of the search along a direction: one every 3 mm, as the march of the adaptive renderer has."""
POLISHING_STEPS = 4
LONGEST_MOVE, SLOPE_STEP, LARGEST_MISS = 4e-3, 1e-4, 1e-4
"""World units: of a polishing step, of the difference that its slope is taken from, and of what may be left."""
MARGIN = 0.01
"""World units that an expression may carry a point into the image."""
SLICE_POINTS = 2**17
"""Points that a field is asked at once."""

Field = Callable[[Tensor], Tensor]
"""(1, N, 3) points -> (1, N, ...) values."""


@dataclass(frozen=True)
class ManifoldCharts:
    """The part of each manifold that a camera can see, on a regular grid of its chart."""

    low: Float[Tensor, "level 2"]
    """Chart coordinates (u, v) of the grid's first corner."""
    high: Float[Tensor, "level 2"]
    """And of its last."""
    radius: Float[Tensor, "level side side"]
    """Distance from the centre; rows go along v, columns along u. NaN where the direction misses the manifold."""
    twice: float
    """Share of the directions and manifolds, of all that meet in view, that meet more than once. The outermost point
    counts, as it does for a ray that comes from outside."""

    @property
    def side(self) -> int:
        return self.radius.shape[-1]

    def points(self, level: int, at: Float[Tensor, "point 2"]) -> Float[Tensor, "point 3"]:
        """Points of one manifold at (column, row) of its grid, of which fractions are interpolated linearly in the
        radius; NaN where there are none."""
        uv = torch.lerp(self.low[level], self.high[level], at / (self.side - 1))
        return from_chart(uv, _bilinear(self.radius[level], at))

    def vertices(self) -> Float[Tensor, "level side side 3"]:
        """The points of the grids themselves."""
        return from_chart(_grids(self.low, self.high, self.side), self.radius)


def chart_manifolds(
    level_field: Field, levels: Float[Tensor, "level"], ray_sampling: RaySamplingConfig, side: int
) -> ManifoldCharts:
    """Find the manifolds on grids of ``side`` x ``side``."""
    corner = torch.ones(1, 2, device=levels.device)
    uv = _grids(-corner, corner, SEARCH_GRID)[0]  # (S, S, 2): the whole chart
    radius, count = _outermost_crossings(level_field, levels, uv)  # (L, S, S) both
    seen = radius.isfinite() & _can_be_seen(from_chart(uv, radius), ray_sampling)
    low, high = _bounds_in_use(uv, seen)
    grid = _grids(low, high, side)
    at = (grid + 1) / 2 * (SEARCH_GRID - 1)
    start = torch.stack(
        [_bilinear(found, place.flatten(0, 1)) for found, place in zip(radius, at, strict=True)]
    )
    polished = _polished(level_field, levels, grid.flatten(1, 2), start)
    twice = (count[seen] > 1).float().mean().nan_to_num().item()
    return ManifoldCharts(low, high, polished.reshape(len(levels), side, side), twice)


def chart_direction(uv: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 3"]:
    """Unit vectors of chart points."""
    plane = REACH / math.sinh(CROWDING) * torch.sinh(CROWDING * uv)
    square = plane.square().sum(-1, keepdim=True)
    return torch.cat([2 * plane, 1 - square], dim=-1) / (1 + square)


def to_chart(x: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 2"]:
    """Chart coordinates of points in world units, whatever their distance from the centre."""
    d = torch.nn.functional.normalize(x - WORLD_PER_NETWORK_UNIT * x.new_tensor(SPHERE_CENTRE), dim=-1)
    plane = d[..., :2] / (1 + d[..., 2:])
    return torch.asinh(plane * (math.sinh(CROWDING) / REACH)) / CROWDING


def from_chart(uv: Float[Tensor, "*grid 2"], radius: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch 3"]:
    """Points, world units, from chart coordinates and distances from the centre."""
    centre = WORLD_PER_NETWORK_UNIT * uv.new_tensor(SPHERE_CENTRE)
    return centre + radius[..., None] * chart_direction(uv)


def ask(field: Field, x: Float[Tensor, "*batch 3"]) -> Tensor:
    """A field of batched points at points of any shape, some at a time."""
    flat = x.reshape(1, -1, 3)
    answers = torch.cat([field(part) for part in flat.split(SLICE_POINTS, dim=1)], dim=1)
    return answers.reshape(*x.shape[:-1], *answers.shape[2:])


def _grids(low: Float[Tensor, "level 2"], high: Float[Tensor, "level 2"], side: int) -> Tensor:
    """(L, side, side, 2) evenly spaced chart coordinates, both ends included."""
    share = torch.linspace(0, 1, side, device=low.device)
    v, u = torch.meshgrid(share, share, indexing="ij")
    return torch.lerp(low[:, None, None], high[:, None, None], torch.stack([u, v], dim=-1))


def _outermost_crossings(
    level_field: Field, levels: Float[Tensor, "level"], uv: Float[Tensor, "side side 2"]
) -> tuple[Float[Tensor, "level side side"], Float[Tensor, "level side side"]]:
    """Radius where s, which grows outwards, last passes each level, NaN where it never does; and how often it does."""
    r = torch.linspace(0.0, LARGEST_RADIUS, RADIUS_SAMPLES, device=uv.device)
    radii, counts = [], []
    for row in uv:  # a row at a time: memory
        s = ask(level_field, from_chart(row[:, None].expand(-1, len(r), 2), r.expand(len(row), -1)))  # (S, K)
        above = s[None] >= levels[:, None, None]  # (L, S, K)
        rises = above[..., 1:] & ~above[..., :-1]
        last = (rises.shape[-1] - 1) - rises.flip(-1).to(torch.uint8).argmax(-1)  # (L, S) interval
        inner, outer = (
            s.expand(len(levels), -1, -1).gather(-1, (last + k)[..., None])[..., 0] for k in (0, 1)
        )
        fraction = (levels[:, None] - inner) / (outer - inner)
        radii.append(torch.where(rises.any(-1), (last + fraction) * (r[1] - r[0]), torch.nan))
        counts.append(rises.sum(-1))
    return torch.stack(radii, dim=1), torch.stack(counts, dim=1).float()


def _can_be_seen(x: Float[Tensor, "*batch 3"], ray_sampling: RaySamplingConfig) -> Bool[Tensor, "*batch"]:
    """Before the background plane and near enough to the origin, which all cameras look at from distance 1."""
    beside = math.sqrt(2) * math.tan(math.radians(ray_sampling.fov_deg / 2)) * ray_sampling.far
    before = max(1 - ray_sampling.near, ray_sampling.far - 1)
    return (x[..., 2] > ray_sampling.background_z - MARGIN) & (
        x.norm(dim=-1) < math.hypot(beside, before) + MARGIN
    )


def _bounds_in_use(
    uv: Float[Tensor, "side side 2"], seen: Bool[Tensor, "level side side"]
) -> tuple[Tensor, Tensor]:
    """(L, 2) smallest and largest chart coordinates in use, a step of the search's grid wider; the whole chart of a
    manifold that is nowhere in view.
    """
    step = 2 / (SEARCH_GRID - 1)
    used = [uv[mask] if mask.any() else uv.reshape(-1, 2) for mask in seen]
    return torch.stack([part.amin(0) - step for part in used]), torch.stack(
        [part.amax(0) + step for part in used]
    )


def _polished(
    level_field: Field,
    levels: Float[Tensor, "level"],
    uv: Float[Tensor, "level point 2"],
    start: Float[Tensor, "level point"],
) -> Float[Tensor, "level point"]:
    """Newton's steps along the directions; NaN where they do not arrive."""
    r = start.nan_to_num(nan=LARGEST_RADIUS / 2)
    target = levels[:, None]
    miss = torch.full_like(r, torch.inf)
    for _ in range(POLISHING_STEPS):
        s = ask(level_field, from_chart(uv, r))
        slope = (ask(level_field, from_chart(uv, r + SLOPE_STEP)) - s) / SLOPE_STEP
        miss = (target - s) / slope
        r = r + miss.nan_to_num(0.0, 0.0, 0.0).clamp(-LONGEST_MOVE, LONGEST_MOVE)
    arrived = start.isfinite() & (miss.abs() < LARGEST_MISS * POLISHING_STEPS)
    return torch.where(arrived, r, torch.nan)


def _bilinear(values: Float[Tensor, "row column"], at: Float[Tensor, "point 2"]) -> Float[Tensor, "point"]:
    """Values at (column, row) places of a grid; NaN where a corner that counts is."""
    rows, columns = values.shape
    column, row = at[:, 0].clamp(0, columns - 1), at[:, 1].clamp(0, rows - 1)
    left, top = column.floor().long().clamp(max=columns - 2), row.floor().long().clamp(max=rows - 2)
    right, down = column - left, row - top
    corners = [values[top + j, left + i] for j in (0, 1) for i in (0, 1)]
    shares = [(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down]
    return torch.stack([torch.where(w > 0, w * c, 0.0) for w, c in zip(shares, corners, strict=True)]).sum(0)
