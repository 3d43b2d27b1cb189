"""Volume rendering on radiance manifolds: sample rays, intersect the manifolds, evaluate radiance, composite.

:func:`render_rays` follows the equations step by step, for every manifold on every ray, and is differentiable in
everything. :mod:`anifacegan.rendering.culled` (training) and :mod:`anifacegan.rendering.adaptive` (inference) render
the same image from fewer points.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from anifacegan.geometry.intersection import Crossings, first_crossings
from anifacegan.geometry.rays import Rays
from anifacegan.models.generator import ConditionedFields
from anifacegan.rendering.compositing import RayColours, RayPoints, composite

ManifoldSelection = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Function that selects the manifolds to render: it maps distances and hits (B, R, L) of all manifolds to the indices
(B, R, K) of the selected manifolds and their hits."""


@dataclass(frozen=True)
class RaySamples:
    """The deformation and the manifold scalar at evenly spaced points (samples) of rays."""

    t: Float[Tensor, "batch ray sample"]
    """Distance of each sample from the camera, world units."""
    x: Float[Tensor, "batch ray sample 3"]
    """Samples as points on the rays, in the space of the deformed face, world units."""
    delta: Float[Tensor, "batch ray sample 3"]
    """Deformation offsets from the samples to the template (the face without deformation), world units."""
    s: Float[Tensor, "batch ray sample"]
    """Manifold scalar at the samples after their deformation offsets have moved them to the template."""

    def at(self, crossings: Crossings) -> Float[Tensor, "batch ray level 7"]:
        """Interpolate from the samples to crossings with manifolds: distance from the camera (1), point of the deformed
        face (3) and its offset to the template (3), world units, as the 7 numbers of a row.
        """
        return crossings.interpolate(torch.cat([self.t[..., None], self.x, self.delta], dim=-1))


def render_rays(fields: ConditionedFields, rays: Rays, choose: ManifoldSelection | None = None) -> RayColours:
    """Render rays of a batch of faces, differentiably; each face has its own rays.

    ``choose`` is a function that selects manifolds for each ray: only these are rendered, and the points are in the
    order of the selection. None: all manifolds.
    """
    # 1 Sample: deformation offset and manifold scalar at even distances.
    samples = sample_rays(fields, rays)

    # 2 Intersect: point and offset are interpolated between samples, not evaluated again.
    crossings = first_crossings(samples.s, fields.levels)
    crossed, hit = samples.at(crossings), crossings.hit
    if choose is not None:
        index, hit = choose(crossed[..., 0].detach(), hit)  # (B, R, K)
        crossed = crossed.gather(2, index[..., None].expand(*index.shape, crossed.shape[-1]))

    # 3 Add the background plane as one more point, opaque and never deformed.
    points = add_background(fields, rays, crossed, hit)

    # 4 Evaluate the template radiance at every point.
    directions = rays.directions[:, :, None].expand_as(points.x_template)
    rgb, alpha = radiance_at(
        fields,
        points.x_template.flatten(1, 2),
        points.of_background().flatten(1, 2),
        directions.flatten(1, 2),
    )

    # 5 Composite in order of distance.
    return composite(points, rgb.reshape(points.x_template.shape), alpha.reshape(hit.shape[:2] + (-1,)))


def sample_rays(fields: ConditionedFields, rays: Rays) -> RaySamples:
    """Evaluate the deformation and the manifold scalar at evenly spaced points of rays, whose distances from the camera
    are those of ``fields.ray_sampling``.
    """
    config = fields.ray_sampling
    t = torch.linspace(
        config.near, config.far, config.samples, dtype=rays.origins.dtype, device=rays.origins.device
    )
    t = t.expand(len(rays.origins), len(rays), -1)  # (B, R, S)
    x = rays.at(t)  # (B, R, S, 3)
    delta = _per_point(fields.offset, x)
    return RaySamples(t, x, delta, _per_point(fields.scalar, x + delta))


def add_background(
    fields: ConditionedFields,
    rays: Rays,
    crossed: Float[Tensor, "batch ray level 7"],
    hit: Bool[Tensor, "batch ray level"],
) -> RayPoints:
    """Append to the crossings of each ray with the manifolds the point where the ray meets the background plane.

    Args:
        fields: say where the background plane is.
        rays: the rays.
        crossed: distance from the camera (1), point of the deformed face (3) and its offset to the template (3) of each
            crossing, world units.
        hit: whether the ray meets each manifold.
    """
    t_level, x_target, delta = crossed.split([1, 3, 3], dim=-1)  # (B, R, L, .)
    t_plane = (fields.ray_sampling.background_z - rays.origins[..., 2:]) / rays.directions[..., 2:]
    x_plane = rays.at(t_plane)  # (B, R, 1, 3)
    return RayPoints(
        hit=torch.cat([hit, torch.ones_like(hit[..., :1])], dim=-1),
        t=torch.cat([t_level[..., 0], t_plane], dim=-1),  # (B, R, L + 1)
        x_target=torch.cat([x_target, x_plane], dim=2),
        x_template=torch.cat([x_target + fields.radiance_offset_gain * delta, x_plane], dim=2),
    )


def radiance_at(
    fields: ConditionedFields,
    x: Float[Tensor, "batch point 3"],
    background: Bool[Tensor, "batch point"],
    direction: Float[Tensor, "batch point 3"],
) -> tuple[Float[Tensor, "batch point 3"], Float[Tensor, "batch point"]]:
    """Evaluate colour and opacity at points of the template (the face without deformation), world units, which the
    alignment field first moves to the mean head.

    Points of the ``background`` mask are not moved and are opaque. The unit ``direction`` in which the camera sees each
    point matters to view-dependent fields only.
    """
    if fields.align is not None:
        x = x + fields.align(x).masked_fill(background[..., None], 0.0)
    rgb, alpha = fields.radiance(x, direction) if fields.view_dependent else fields.radiance(x)
    return rgb, alpha.masked_fill(background, 1.0)


def _per_point(function: Callable[[Tensor], Tensor], x: Float[Tensor, "batch ray sample 3"]) -> Tensor:
    """Apply a function of (B, N, 3) points to (B, R, S, 3) points."""
    return function(x.flatten(1, 2)).unflatten(1, x.shape[1:3])


def in_slices(rays: Rays, size: int) -> Iterator[Rays]:
    """Yield the rays in parts of at most ``size`` rays of each face, to render them in less memory."""
    for start in range(0, len(rays), size):
        yield rays[start : start + size]
