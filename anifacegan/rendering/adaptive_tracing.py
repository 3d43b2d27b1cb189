"""Rays of the adaptive renderer, the fields along them, and what was found on them.

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
from anifacegan.runtime.cpu import cores, on_all_cores

MIN_TRANSMITTANCE = 1 / 4096
"""A ray ends where less than this share of its light is left."""
MIN_ALPHA = 1e-7
"""Opacity below which a ray's crossing with a manifold counts as invisible. Measured on the demo: with 1/8192, the grid
rays overlook a visible detail in one of twenty images; with 1e-7 in none, as densities are smooth and details have
faint surroundings."""
SLICE_SAMPLES = 2**18
"""Largest number of samples that a core evaluates at once."""
MIN_SLICE_RAYS = 64
"""Smallest number of rays that a core is given at a time."""


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
    interval: Int[Tensor, "ray level"]
    """A sample of the ray before which there is no crossing with the manifold: where it was found, the last sample
    before it; where the ray ended earlier, the last one before its end; 0 where the manifold was not met."""
    invisible: Bool[Tensor, "ray level"]
    """Whether the manifold is known to be invisible on the ray: not met, transparent, or behind the background plane.
    What lies behind the ray's opaque end is not known."""


def join_rays(parts: list[tuple[slice, TracedRays]]) -> TracedRays:
    """Join parts of rays, each with the places of its rays among all."""
    count = sum(len(part.values) for _, part in parts)

    def joined(name: str) -> Tensor:
        whole = getattr(parts[0][1], name)
        whole = whole.new_empty(count, *whole.shape[1:])
        for places, part in parts:
            whole[places] = getattr(part, name)
        return whole

    return TracedRays(**{field.name: joined(field.name) for field in dataclass_fields(TracedRays)})


class RayTracer:
    """Evaluates the fields of one face along the rays of one image, which are named by pixel index; all on the CPU."""

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
        """Call ``work`` on parts (Python slices) of 0 to ``count`` - 1; the cores share the parts.

        A part has at most ``size`` rays; None: so many that all their samples can be evaluated at once. Every k-th ray
        belongs to the same part, so that all parts cost about the same.
        """
        if size is None:
            size = max(1, SLICE_SAMPLES // len(self.t))
        size = min(size, max(MIN_SLICE_RAYS, -(-count // cores())))
        parts = max(1, -(-count // size))
        on_all_cores([slice(start, count, parts) for start in range(parts)], work)

    def sample(self, x: Float[Tensor, "point 3"]) -> tuple[Float[Tensor, "point"], Float[Tensor, "point 3"]]:
        """Evaluate the manifold scalar s, and the offset (world units) from the deformed face to the template, at
        points of rays.
        """
        delta = self.fields.offset(x[None])
        return self.fields.scalar(x[None] + delta)[0], delta[0]

    def radiance(
        self, x: Float[Tensor, "point 3"]
    ) -> tuple[Float[Tensor, "point 3"], Float[Tensor, "point"]]:
        """Evaluate the colour and opacity at points of the template (the face without deformation), world units."""
        points = x[None] if self.fields.align is None else x[None] + self.fields.align(x[None])
        rgb, alpha = self.fields.radiance(points)
        return rgb[0], alpha[0]

    def background(self, ray: Int[Tensor, "some"]) -> Float[Tensor, "some 3"]:
        """Evaluate the colours of the background plane where rays meet it; it is neither deformed nor aligned to the
        mean head."""
        x = self.origins[ray] + self.t_background[ray, None] * self.directions[ray]
        return self.fields.radiance(x[None])[0][0]
