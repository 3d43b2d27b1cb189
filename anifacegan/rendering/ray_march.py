"""Marching along rays of the adaptive renderer: long steps over samples at which a crossing cannot lie.

See :mod:`anifacegan.rendering.adaptive` for the algorithm. From one sample of a ray to the next, the manifold scalar s
falls by a bounded amount only. The bounds are measured: some rays of the image are evaluated at all their samples, and
:class:`FallBounds` keeps the largest falls around them. From a sample where s lies well above a level, a ray steps to
the last sample at which s must still be above the level::

    s
    |  x                             x  evaluated
    |     .                          .  left out: even at the largest falls, s would be above the level
    |        .  x
    |              .
    |-----------------x----- level   the crossing lies between the last two samples
    |                    x
    +----------------------- sample

A ray between others that have met a manifold already first steps to the last sample before the nearest of these
crossings, whatever the bounds allow. Where s is below the level there, it has gone too far, and goes by the bounds.

All rays take one step at a time together, so that the fields are evaluated at many points at once; each ray looks for
its own next level. All else is done by compiled loops (:mod:`anifacegan.rendering.numba_march_kernels`). A ray that has
crossed a level waits until the radiance is evaluated, for many crossings at once.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anifacegan.rendering.adaptive_tracing import RayTracer, TracedRays, join_rays

FALL_SAFETY = 1.25
"""Factor on the measured falls, because the rays between the measured ones may fall faster. Measured on the demo, with
measured rays 12 pixels apart at 256 px: 6 of 100,000 falls are larger than their bound, and of two million crossings
none was missed."""
FALL_MARGIN = 0.002
"""Added to each bound, as a share of the fall from the first level to the last."""
MARCHED_RAYS = 2**14
"""Largest number of rays that a core marches along together."""
CROSSINGS = 1024
"""Number of crossings that wait before their radiance is evaluated, unless no ray can go on without."""


@dataclass(frozen=True)
class FallBounds:
    """How much s may fall from each sample of a ray to the next, in the squares between measured rays of an image."""

    lines: Int[Tensor, "line"]
    """Indices of the image rows, and of the columns, at whose crossings the measured rays are."""
    falls: Float[Tensor, "square interval"]
    """Largest fall of s from each sample to the next, in each square between measured rays, row by row."""

    @classmethod
    def measure(cls, tracer: RayTracer, lines: Int[Tensor, "line"], size: int) -> "FallBounds":
        """Evaluate s at all samples of the rays at the crossings of some rows and columns of a square image.

        A square's bounds come from its corners and the rays next to them, and from the neighbouring samples.
        """
        pixels = (lines[:, None] * size + lines).flatten()
        s = tracer.t.new_empty(len(pixels), len(tracer.t))

        def sample_slice(part: slice) -> None:
            rays = pixels[part, None]
            x = tracer.origins[rays] + tracer.t[:, None] * tracer.directions[rays]
            s[part] = tracer.sample(x.flatten(0, 1))[0].reshape(x.shape[:2])

        tracer.in_slices(len(pixels), sample_slice)
        falls = (s[:, :-1] - s[:, 1:]).clamp(min=0).T.reshape(1, -1, len(lines), len(lines))
        around = torch.nn.functional.pad(falls, (1, 1, 1, 1), mode="replicate")
        largest = torch.nn.functional.max_pool2d(around, 4, 1)[0].flatten(1).T  # (square, interval)
        largest = torch.nn.functional.max_pool1d(largest[:, None], 3, 1, padding=1)[:, 0]
        margin = FALL_MARGIN * (tracer.levels[0] - tracer.levels[-1])
        return cls(lines, (FALL_SAFETY * largest + margin).contiguous())

    def squares(self, row: Float[Tensor, "ray"], column: Float[Tensor, "ray"]) -> Int[Tensor, "ray"]:
        """Return the index of the square in which, or nearest to which, each ray passes; places are in pixels."""
        return squares_between(self.lines, row, column)


def squares_between(
    lines: Int[Tensor, "line"], row: Float[Tensor, "ray"], column: Float[Tensor, "ray"]
) -> Int[Tensor, "ray"]:
    """Return which of the squares between some rows and columns of an image each ray passes through, row by row.

    ``lines`` are the indices of the rows, and of the columns; places are in pixels. A ray beyond the outermost lines
    belongs to the nearest square.
    """
    last = len(lines) - 2
    lines = lines.to(row)
    row, column = (
        (torch.searchsorted(lines, place.contiguous(), right=True) - 1).clamp(0, last)
        for place in (row, column)
    )
    return row * (last + 1) + column


def march(
    tracer: RayTracer,
    bounds: FallBounds,
    pixels: Int[Tensor, "ray"],
    squares: Int[Tensor, "ray"],
    wanted: Bool[Tensor, "ray level"] | None = None,
    earliest: Int[Tensor, "ray level"] | None = None,
) -> TracedRays:
    """Find the first place of each ray where s falls through each level that is wanted, and composite these crossings,
    until less than 1/4096 of the ray's light is left.

    Args:
        tracer: what the rays pass through.
        bounds: how much s may fall.
        pixels: indices of the tracer's rays.
        squares: the rays' squares of ``bounds``.
        wanted: which manifolds are looked for on each ray; None: all of them.
        earliest: a sample of each ray before which the crossing with each manifold is not expected; None: unknown.
    """
    parts: list[tuple[slice, TracedRays]] = []

    def march_slice(part: slice) -> None:
        some = [None if values is None else values[part] for values in (wanted, earliest)]
        parts.append((part, _March(tracer, bounds, pixels[part], squares[part], *some).run()))

    tracer.in_slices(len(pixels), march_slice, MARCHED_RAYS)
    return join_rays(parts)


def trace(tracer: RayTracer, pixels: Int[Tensor, "ray"]) -> TracedRays:
    """Evaluate each sample of rays, from near to far, and composite their first crossings with all manifolds, until
    less than 1/4096 of the light is left. ``pixels`` are the indices of the rays."""
    falls = tracer.t.new_full((1, len(tracer.t) - 1), torch.inf)
    bounds = FallBounds(pixels.new_zeros(2), falls)
    parts: list[tuple[slice, TracedRays]] = []

    def trace_slice(part: slice) -> None:
        some = pixels[part]
        parts.append((part, _March(tracer, bounds, some, torch.zeros_like(some), None, None).run()))

    tracer.in_slices(len(pixels), trace_slice)
    return join_rays(parts)


class Lines(NamedTuple):
    """What some rays pass through, for the compiled loops."""

    origins: np.ndarray
    """(ray, 3) start of each ray, world units."""
    directions: np.ndarray
    """(ray, 3) unit vectors."""
    t: np.ndarray
    """(sample,) distances from the camera to the samples, world units."""
    t_background: np.ndarray
    """(ray,) distance from the camera to the background plane."""
    levels: np.ndarray
    """(level,) values of s on the manifolds, in falling order."""
    falls: np.ndarray
    """(square, interval) largest fall of s from each sample to the next."""
    square: np.ndarray
    """(ray,) the row of ``falls`` that bounds each ray."""
    wanted: np.ndarray
    """(ray, level) which manifolds are looked for."""
    offset_gain: np.ndarray
    """(1,) factor on the offset delta where colours are looked up."""


class MarchingRays(NamedTuple):
    """State of some rays that march together, for the compiled loops, which change it."""

    level: np.ndarray
    """(ray,) index of the level that each ray looks for; the number of levels if there is none left."""
    sample: np.ndarray
    """(ray,) sample at which each ray is, where s is at or above its level; -1 before the first."""
    chosen: np.ndarray
    """(ray,) sample to which each ray goes next."""
    careful: np.ndarray
    """(ray,) sample up to which each ray takes single steps, because s has fallen by more than the bounds."""
    earliest: np.ndarray
    """(ray, level) sample before which a crossing is not expected; 0 where it is unknown, or was wrong."""
    s: np.ndarray
    """(ray,) scalar at the ray's sample."""
    s_next: np.ndarray
    """(ray,) scalar at the next sample, while the ray crosses levels between the two."""
    delta: np.ndarray
    """(ray, 3) offset at the ray's sample, world units."""
    delta_next: np.ndarray
    """(ray, 3) offset at the next sample, while the ray crosses levels between the two."""
    transmittance: np.ndarray
    """(ray,) share of the light that passes all crossings so far; 0 where the ray has ended."""
    accumulated: np.ndarray
    """(ray, 4) sums of rgb and distance over the crossings so far, multiplied by their compositing weights."""
    distance: np.ndarray
    """(ray, level) as in TracedRays, and so are the next three."""
    hit: np.ndarray
    interval: np.ndarray
    invisible: np.ndarray

    @classmethod
    def at_start(cls, rays: int, levels: int, earliest: np.ndarray | None, dtype: np.dtype) -> "MarchingRays":
        """Make the state of rays before their first sample."""
        place, number = np.zeros((4, rays), np.int64), np.zeros((2, rays), dtype)
        vector, at_level = np.zeros((2, rays, 3), dtype), (rays, levels)
        place[1] = -1
        return cls(
            *place,
            np.zeros(at_level, np.int64) if earliest is None else np.array(earliest, order="C"),
            *number,
            *vector,
            np.ones(rays, dtype),
            np.zeros((rays, 4), dtype),
            np.zeros(at_level, dtype),
            np.zeros(at_level, bool),
            np.zeros(at_level, np.int64),
            np.ones(at_level, bool),
        )


class _March:
    """Some rays that march together."""

    def __init__(
        self,
        tracer: RayTracer,
        bounds: FallBounds,
        pixels: Int[Tensor, "ray"],
        squares: Int[Tensor, "ray"],
        wanted: Bool[Tensor, "ray level"] | None,
        earliest: Int[Tensor, "ray level"] | None,
    ) -> None:
        self.tracer, self.pixels = tracer, pixels
        count, levels = len(pixels), len(tracer.levels)
        if wanted is None:
            wanted = torch.ones(count, levels, dtype=torch.bool)
        self.lines = Lines(
            *(
                values.contiguous().numpy()
                for values in (
                    tracer.origins[pixels],
                    tracer.directions[pixels],
                    tracer.t,
                    tracer.t_background[pixels],
                    tracer.t.new_tensor(tracer.levels),
                    bounds.falls,
                    squares,
                    wanted,
                    tracer.t.new_tensor([tracer.fields.radiance_offset_gain]),
                )
            )
        )
        hint = None if earliest is None else earliest.numpy()
        self.rays = MarchingRays.at_start(count, levels, hint, self.lines.t.dtype)

    def run(self) -> TracedRays:
        """March along all rays to their ends."""
        from anifacegan.rendering import numba_march_kernels as kernels

        both = self.lines, self.rays
        waiting, crossing = np.empty((2, len(self.pixels)), np.int64)
        place, lit = torch.empty(2, len(self.pixels), 3, dtype=self.tracer.t.dtype)
        count, crossings = kernels.begin(*both, waiting), 0
        while count or crossings:
            if count:
                kernels.write_samples(*both, waiting, count, place.numpy())
                s, delta = _arrays(self.tracer.sample(place[:count]))
                count, crossings = kernels.take_samples(
                    *both, waiting, count, s, delta, crossing, crossings, lit.numpy()
                )
            if crossings >= CROSSINGS or not count:
                rgb, alpha = _arrays(self.tracer.radiance(lit[:crossings]))
                more, crossings = kernels.composite(
                    *both, crossing, crossings, lit.numpy(), rgb, alpha, waiting[count:]
                )
                count += more
        return self._finished()

    def _finished(self) -> TracedRays:
        """Composite the background behind the crossings."""
        rays = self.rays
        light, accumulated = torch.from_numpy(rays.transmittance), torch.from_numpy(rays.accumulated)
        values = torch.cat([accumulated[:, :3], 1 - light[:, None], accumulated], dim=1)
        behind = light.nonzero()[:, 0]
        weight, pixels = light[behind, None], self.pixels[behind]
        values[behind, :3] += weight * self.tracer.background(pixels)
        values[behind, 7:] += weight * self.tracer.t_background[pixels, None]
        found = (
            torch.from_numpy(array) for array in (rays.distance, rays.hit, rays.interval, rays.invisible)
        )
        return TracedRays(values, *found)


def _arrays(values: tuple[Tensor, ...]) -> tuple[np.ndarray, ...]:
    """Return tensors as arrays without gaps: a loop would be compiled again for arrays that have some."""
    return tuple(value.contiguous().numpy() for value in values)
