"""Rays of the adaptive renderer: samples, radiance, front-to-back compositing, and tracing a ray on its own.

See :mod:`anifacegan.rendering.adaptive` for the algorithm. Rays are named by their index in the tracer; in an image
with one ray a pixel, that is the index of the pixel, row by row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anifacegan.geometry.rays import Rays
from anifacegan.models.generator import ConditionedFields
from anifacegan.runtime.cpu import on_all_cores

MIN_TRANSMITTANCE = 1 / 4096
"""A ray ends where less than this share of its light is left."""
MIN_ALPHA = 1e-7
"""Opacity below which a ray's crossing with a manifold counts as invisible. Measured on the demo: with 1/8192, the grid
rays overlook a visible detail in one of twenty images; with 1e-7 in none, as densities are smooth and details have
faint surroundings."""
RAY_PARTS = 8
"""Number of parts in which the samples of a ray are evaluated, so that the ray can end between them."""
SLICE_SAMPLES = {"cpu": 2**18, "cuda": 2**22}
"""Device type -> largest number of samples that are evaluated at once; on a CPU, by each core."""
MIN_SLICE_RAYS = 64
"""Smallest number of rays that a CPU core is given at a time."""


@dataclass(frozen=True)
class TracedRays:
    """Rendered values and manifold crossings of rays."""

    values: Float[Tensor, "ray 8"]
    """Rendered values of each ray, in the channels of :func:`anifacegan.rendering.adaptive.render_adaptive`."""
    distance: Float[Tensor, "ray level"]
    """Distance from the camera to the ray's crossing with each manifold, world units; 0 where there is no crossing, or
    where the ray ended before it."""
    hit: Bool[Tensor, "ray level"]
    """Whether the ray's crossing with the manifold was found."""
    invisible: Bool[Tensor, "ray level"]
    """Whether the manifold is known to be invisible on the ray: not met, transparent, or behind the background
    plane."""


def join_rays(parts: dict[int, TracedRays]) -> TracedRays:
    """Join slices of rays, which are named by the index of their first ray."""
    in_order = [part for _, part in sorted(parts.items())]
    names = [field.name for field in dataclass_fields(TracedRays)]
    return TracedRays(**{name: torch.cat([getattr(part, name) for part in in_order]) for name in names})


class Compositor:
    """Composites rays front to back, one crossing with a manifold at a time."""

    def __init__(self, like: Float[Tensor, "ray 3"]) -> None:
        self.transmittance = like.new_ones(len(like))
        """(ray,) share of the light that passes all crossings so far; 0 where the ray has ended."""
        self.accumulated = like.new_zeros(len(like), 4)
        """(ray, 4) sums of rgb and distance over the crossings so far, multiplied by their compositing weights."""

    def add(
        self,
        ray: Int[Tensor, "point"],
        rgb: Float[Tensor, "point 3"],
        alpha: Float[Tensor, "point"],
        t: Float[Tensor, "point"],
    ) -> None:
        """Composite crossings of rays with manifolds, at most one for each ray.

        A crossing counts as opaque where less than 1/4096 of the light would be left behind it.

        Args:
            ray: index of each crossing's ray.
            rgb: colour of each crossing, not premultiplied.
            alpha: opacity of each crossing, in [0, 1].
            t: distance of each crossing from the camera, world units.
        """
        before = self.transmittance[ray]
        after = before * (1 - alpha)
        ends = after < MIN_TRANSMITTANCE
        self.transmittance[ray] = after.masked_fill(ends, 0.0)
        weight = torch.where(ends, before, before * alpha)
        self.accumulated[ray] += weight[:, None] * torch.cat([rgb, t[:, None]], dim=1)


class RayTracer:
    """Evaluates and composites the fields of one face along the rays of one image, which are named by pixel index."""

    def __init__(self, fields: ConditionedFields, rays: Rays) -> None:
        self.fields, ray_sampling = fields, fields.ray_sampling
        self.origins, self.directions = rays.origins[0], rays.directions[0]
        self.t = torch.linspace(
            ray_sampling.near, ray_sampling.far, ray_sampling.samples, dtype=self.origins.dtype
        ).to(self.origins)
        """(sample,) distances from the camera to the samples, the same for every ray."""
        self.t_background = (ray_sampling.background_z - self.origins[:, 2]) / self.directions[:, 2]
        """(ray,) distance from the camera to the background plane."""
        self.levels = fields.levels.tolist()

    def in_slices(self, count: int, work: Callable[[slice], None], size: int | None = None) -> None:
        """Call ``work`` on consecutive parts (Python slices) of 0 to ``count`` - 1; on a CPU its cores share the
        parts.

        A part has at most ``size`` rays; None: so many that all their samples can be evaluated at once.
        """
        device = self.origins.device.type
        if size is None:
            size = max(1, SLICE_SAMPLES[device] // len(self.t))
        if device == "cpu":
            size = min(size, max(MIN_SLICE_RAYS, -(-count // torch.get_num_threads())))
        slices = [slice(start, start + size) for start in range(0, count, size)]
        if device == "cpu":
            on_all_cores(slices, work)
        else:
            for part in slices:
                work(part)

    def sample(
        self, pixel: Int[Tensor, "point"], t: Float[Tensor, "point"]
    ) -> tuple[Float[Tensor, "point"], Float[Tensor, "point 3"]]:
        """Evaluate the manifold scalar s, and the offset (world units) from the deformed face to the template, at
        points of rays.

        ``pixel`` are the indices of the rays' pixels, row by row; ``t`` the points' distances from the camera, world
        units.
        """
        x = self.origins[pixel] + t[:, None] * self.directions[pixel]
        delta = self.fields.offset(x[None])
        return self.fields.scalar(x[None] + delta)[0], delta[0]

    def radiance(
        self, pixel: Int[Tensor, "point"], t: Float[Tensor, "point"], delta: Float[Tensor, "point 3"]
    ) -> tuple[Float[Tensor, "point 3"], Float[Tensor, "point"]]:
        """Evaluate the colour and opacity of points of rays.

        Args:
            pixel: index of each ray's pixel, row by row.
            t: distance of each point from the camera, world units.
            delta: offset of each point from the deformed face to the template, world units.
        """
        x = (
            self.origins[pixel]
            + t[:, None] * self.directions[pixel]
            + self.fields.radiance_offset_gain * delta
        )
        x = x[None] if self.fields.align is None else x[None] + self.fields.align(x[None])
        rgb, alpha = self.fields.radiance(x)
        return rgb[0], alpha[0]

    def finish(self, pixels: Int[Tensor, "ray"], compositor: Compositor) -> Float[Tensor, "ray 8"]:
        """Composite the background behind the traced crossings of the rays whose pixel indices are ``pixels``.

        Returns the planes of the image at these pixels, in the order of :func:`render_adaptive`.

        The background is neither deformed nor aligned to the mean head.
        """
        foreground_rgb, foreground = compositor.accumulated[:, :3].clone(), 1 - compositor.transmittance
        ray = compositor.transmittance.nonzero()[:, 0]
        t = self.t_background[pixels[ray]]
        x = self.origins[pixels[ray]] + t[:, None] * self.directions[pixels[ray]]
        rgb, _ = self.fields.radiance(x[None])
        compositor.add(ray, rgb[0], torch.ones_like(t), t)
        rgb, distance = compositor.accumulated[:, :3], compositor.accumulated[:, 3:]
        return torch.cat([rgb, foreground[:, None], foreground_rgb, distance], dim=1)

    def trace(self, pixels: Int[Tensor, "ray"]) -> TracedRays:
        """Evaluate the samples of each ray, from near to far, until less than 1/4096 of the light is left; composite
        its first crossing with every manifold.

        ``pixels`` are the indices of the rays' pixels.
        """
        parts: dict[int, TracedRays] = {}

        def trace_slice(part: slice) -> None:
            parts[part.start] = _SliceTrace(self, pixels[part]).run()

        self.in_slices(len(pixels), trace_slice)
        return join_rays(parts)


class _SliceTrace:
    """State of a slice of rays while they are traced on their own."""

    def __init__(self, tracer: RayTracer, pixels: Int[Tensor, "ray"]) -> None:
        self.tracer, self.pixels = tracer, pixels
        self.compositor = Compositor(tracer.origins[pixels])
        count, levels = len(pixels), len(tracer.levels)
        self.distance = tracer.origins.new_zeros(count, levels)
        self.hit = torch.zeros_like(self.distance, dtype=torch.bool)
        self.invisible = self.hit.clone()
        self.decided = self.hit.clone()  # the first change of sides is behind, rising or falling
        self.s_last = self.distance.new_empty(count, 1)  # at the last sample of the part before
        self.delta_last = self.distance.new_empty(count, 1, 3)

    def run(self) -> TracedRays:
        """Trace all parts of the rays, from near to far."""
        samples = len(self.tracer.t)
        size = -(-samples // RAY_PARTS)
        for first in range(0, samples, size):
            self._trace_part(self.compositor.transmittance.nonzero()[:, 0], first, first + size)
        values = self.tracer.finish(self.pixels, self.compositor)
        return TracedRays(values, self.distance, self.hit, self.invisible | ~self.hit)

    def _trace_part(self, ray: Int[Tensor, "active"], first: int, end: int) -> None:
        """Evaluate the samples ``first`` to ``end - 1`` of some rays, and composite the crossings between these
        samples."""
        tracer = self.tracer
        t = tracer.t[first:end]
        s, delta = tracer.sample(self.pixels[ray].repeat_interleave(len(t)), t.repeat(len(ray)))
        s, delta = s.reshape(-1, len(t)), delta.reshape(-1, len(t), 3)
        if first:  # a crossing may lie between the last sample of the part before and the first of this one
            s, delta = torch.cat([self.s_last[ray], s], 1), torch.cat([self.delta_last[ray], delta], 1)
            t = tracer.t[first - 1 : end]
        self.s_last[ray], self.delta_last[ray] = s[:, -1:], delta[:, -1:]

        changes, falls, interval = first_change(s[:, None], tracer.fields.levels[:, None])  # (active, L)
        new = changes & ~self.decided[ray]
        self.decided[ray] |= new
        met = new & falls
        for k in range(len(tracer.levels)):
            row = met[:, k].nonzero()[:, 0]
            if len(row):
                self._composite_level(k, ray[row], (row, interval[row, k]), t, s, delta)

    def _composite_level(
        self,
        k: int,
        ray: Int[Tensor, "point"],
        crossing: tuple[Int[Tensor, "point"], Int[Tensor, "point"]],
        t: Float[Tensor, "sample"],
        s: Float[Tensor, "active sample"],
        delta: Float[Tensor, "active sample 3"],
    ) -> None:
        """Composite crossings of level ``k`` on some rays; ``crossing`` gives each crossing's row in ``s`` and the
        index of the sample before it."""
        level, (row, interval) = self.tracer.levels[k], crossing
        s_near, s_far = s[row, interval], s[row, interval + 1]
        fraction = (s_near - level) / (s_near - s_far)
        distance = torch.lerp(t[interval], t[interval + 1], fraction)
        self.distance[ray, k], self.hit[ray, k] = distance, True
        in_front = distance <= self.tracer.t_background[self.pixels[ray]]
        self.invisible[ray[~in_front], k] = True
        lit = in_front & (self.compositor.transmittance[ray] > 0)
        row, interval, ray, distance = row[lit], interval[lit], ray[lit], distance[lit]
        offset = torch.lerp(delta[row, interval], delta[row, interval + 1], fraction[lit, None])
        rgb, alpha = self.tracer.radiance(self.pixels[ray], distance, offset)
        self.compositor.add(ray, rgb, alpha, distance)
        self.invisible[ray, k] = alpha < MIN_ALPHA


def first_change(
    s: Float[Tensor, "... sample"], level: Float[Tensor, "... 1"]
) -> tuple[Bool[Tensor, "..."], Bool[Tensor, "..."], Int[Tensor, "..."]]:
    """Find where s crosses a level for the first time along the samples.

    Returns whether s crosses the level, whether s starts above the level (so that this first crossing falls), and the
    index of the last sample before the crossing.
    """
    above = s >= level
    changes = above[..., 1:] != above[..., :-1]
    return changes.any(dim=-1), above[..., 0], changes.to(torch.uint8).argmax(dim=-1)
