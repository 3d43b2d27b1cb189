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

All rays take one step at a time together, so that the fields are evaluated at many points at once; each ray looks for
its own next level.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anifacegan.rendering.adaptive_tracing import MIN_ALPHA, Compositor, RayTracer, TracedRays, join_rays

FALL_SAFETY = 1.25
"""Factor on the measured falls, because the rays between the measured ones may fall faster. Measured on the demo, with
measured rays 12 pixels apart at 256 px: 6 of 100,000 falls are larger than their bound, and of two million crossings
none was missed."""
FALL_MARGIN = 0.002
"""Added to each bound, as a share of the fall from the first level to the last."""
MARCHED_RAYS = 2**14
"""Largest number of rays that a core marches along together."""


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
            count = len(pixels[part])
            of, t = pixels[part].repeat_interleave(len(tracer.t)), tracer.t.repeat(count)
            s[part] = tracer.sample(of, t)[0].reshape(count, -1)

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
) -> TracedRays:
    """Find the first place of each ray where s falls through each level that is wanted, and composite these crossings.

    Args:
        tracer: what the rays pass through.
        bounds: how much s may fall.
        pixels: indices of the tracer's rays.
        squares: the rays' squares of ``bounds``.
        wanted: which manifolds are looked for on each ray, until less than 1/4096 of its light is left; None: all of
            them, to the end of every ray.
    """
    parts: dict[int, TracedRays] = {}

    def march_slice(part: slice) -> None:
        some = None if wanted is None else wanted[part]
        parts[part.start] = _March(tracer, bounds, pixels[part], squares[part], some).run()

    tracer.in_slices(len(pixels), march_slice, MARCHED_RAYS)
    return join_rays(parts)


class _March:
    """State of some rays that march together."""

    def __init__(
        self,
        tracer: RayTracer,
        bounds: FallBounds,
        pixels: Int[Tensor, "ray"],
        squares: Int[Tensor, "ray"],
        wanted: Bool[Tensor, "ray level"] | None,
    ) -> None:
        self.tracer, self.pixels, self.falls, self.squares = tracer, pixels, bounds.falls.numpy(), squares
        self.to_the_end = wanted is None
        count, levels = len(pixels), len(tracer.levels)
        if wanted is None:
            wanted = torch.ones(count, levels, dtype=torch.bool)
        self.next_level = _next_wanted(wanted)
        self.levels = tracer.t.new_tensor([*tracer.levels, -torch.inf])
        self.compositor = Compositor(tracer.origins[pixels])
        self.distance = tracer.origins.new_zeros(count, levels)
        self.hit = torch.zeros(count, levels, dtype=torch.bool)
        self.invisible = torch.ones_like(self.hit)
        # Each ray is at a sample where s is at or above its level.
        self.level = self.next_level[:, 0].clone()
        self.sample = torch.zeros_like(pixels)
        self.s = self.levels[self.level]
        self.delta = tracer.origins.new_zeros(count, 3)
        self._begin((self.level < levels).nonzero()[:, 0])
        # Up to this sample a ray takes single steps, because s has fallen by more than the bounds.
        self.careful = torch.zeros_like(self.sample)

    def _begin(self, ray: Int[Tensor, "some"]) -> None:
        """Evaluate s at the first sample of rays; levels above it are never fallen through."""
        self.s[ray], self.delta[ray] = self._evaluate(ray, self.sample[ray])
        above = (self.s[ray, None] < self.levels[:-1]).sum(dim=1)
        self.level[ray] = self.next_level[ray].gather(1, above[:, None])[:, 0]

    def run(self) -> TracedRays:
        """March along all rays to their ends."""
        last = len(self.tracer.t) - 1
        ray = (self.level < len(self.tracer.levels)).nonzero()[:, 0]
        while len(ray):
            self._step(ray)
            going = (self.level[ray] < len(self.tracer.levels)) & (self.sample[ray] < last)
            if not self.to_the_end:
                going &= self.compositor.transmittance[ray] > 0
            ray = ray[going]
        values = self.tracer.finish(self.pixels, self.compositor)
        return TracedRays(values, self.distance, self.hit, self.invisible)

    def _step(self, ray: Int[Tensor, "active"]) -> None:
        """Take one step along each of some rays; composite every level that s falls through in it."""
        here, level = self.sample[ray], self.levels[self.level[ray]]
        there = self._farthest_above(ray, here, level)
        s, delta = self._evaluate(ray, there)
        below = s < level
        too_far = below & (there > here + 1)
        crossing = (below & ~too_far).nonzero()[:, 0]
        if len(crossing):
            self._cross(ray[crossing], s[crossing], delta[crossing])
        # A ray that went too far stays and takes single steps; after a crossing, s is above the ray's next level.
        self.careful[ray[too_far]] = there[too_far]
        moves = ~too_far
        moved = ray[moves]
        self.sample[moved], self.s[moved], self.delta[moved] = there[moves], s[moves], delta[moves]

    def _farthest_above(
        self, ray: Int[Tensor, "active"], here: Int[Tensor, "active"], level: Float[Tensor, "active"]
    ) -> Int[Tensor, "active"]:
        """Return the last sample of each ray at which s must still be at or above its level; at least the next one."""
        from anifacegan.rendering import numba_march_kernels

        room = (self.s[ray] - level).masked_fill(here < self.careful[ray], 0.0)
        out = np.empty(len(ray), np.int64)
        arguments = room.numpy(), here.numpy(), self.squares[ray].numpy()
        numba_march_kernels.farthest_above(*arguments, self.falls, out)
        return torch.from_numpy(out)

    def _evaluate(
        self, ray: Int[Tensor, "point"], sample: Int[Tensor, "point"]
    ) -> tuple[Float[Tensor, "point"], Float[Tensor, "point 3"]]:
        return self.tracer.sample(self.pixels[ray], self.tracer.t[sample])

    def _cross(
        self, ray: Int[Tensor, "some"], s: Float[Tensor, "some"], delta: Float[Tensor, "some 3"]
    ) -> None:
        """Composite, level by level, what the rays cross on the way to their next sample, where s and the offset are
        ``s`` and ``delta``."""
        while len(ray):
            self._composite(ray, s, delta)
            self.level[ray] = self.next_level[ray, self.level[ray] + 1]
            more = s < self.levels[self.level[ray]]
            if not self.to_the_end:
                more &= self.compositor.transmittance[ray] > 0
            ray, s, delta = ray[more], s[more], delta[more]

    def _composite(
        self, ray: Int[Tensor, "some"], s: Float[Tensor, "some"], delta: Float[Tensor, "some 3"]
    ) -> None:
        """Composite the crossing of each ray with its level, between its sample and the next."""
        tracer, pixels, k, sample = self.tracer, self.pixels[ray], self.level[ray], self.sample[ray]
        fraction = (self.s[ray] - self.levels[k]) / (self.s[ray] - s)
        t = torch.lerp(tracer.t[sample], tracer.t[sample + 1], fraction)
        self.distance[ray, k], self.hit[ray, k] = t, True
        in_front = t <= tracer.t_background[pixels]
        lit = (in_front & (self.compositor.transmittance[ray] > 0)).nonzero()[:, 0]
        offset = torch.lerp(self.delta[ray[lit]], delta[lit], fraction[lit, None])
        rgb, alpha = tracer.radiance(pixels[lit], t[lit], offset)
        self.compositor.add(ray[lit], rgb, alpha, t[lit])
        invisible = ~in_front
        invisible[lit] = alpha < MIN_ALPHA
        self.invisible[ray, k] = invisible


def _next_wanted(wanted: Bool[Tensor, "ray level"]) -> Int[Tensor, "ray levels_and_two"]:
    """Return the first wanted level from each level on; the number of levels if there is none."""
    count, levels = wanted.shape
    at = torch.full((count, levels + 2), levels)
    at[:, :levels] = torch.where(wanted, torch.arange(levels), levels)
    return at.flip(1).cummin(dim=1).values.flip(1)
