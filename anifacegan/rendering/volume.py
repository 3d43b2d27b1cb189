"""TODO docstring of anifacegan.rendering.volume."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anifacegan.geometry.intersection import Crossings, first_crossings
from anifacegan.geometry.rays import Rays
from anifacegan.models.generator import LEAST_FOREGROUND, ConditionedFields
from anifacegan.models.template import blending_weights


@dataclass(frozen=True)
class RayColours:
    """What the rays saw. Points are in order of the levels, the background last; weights belong to them."""

    rgb: Float[Tensor, "batch ray 3"]
    """In [0, 1] up to the widening of 1e-3."""
    depth: Float[Tensor, "batch ray"]
    """Expected distance, the background plane included, world units."""
    foreground: Float[Tensor, "batch ray"]
    """Summed weight of everything before the background, in [0, 1]."""
    foreground_rgb: Float[Tensor, "batch ray 3"]
    """The foreground's part of rgb: premultiplied by its weight."""
    alpha: Float[Tensor, "batch ray point"]
    """Opacity of the points, 1 for the background; where not hit, of a point that is not there. 0 where a renderer has
    left a point out because no light reaches it."""
    weights: Float[Tensor, "batch ray point"]
    hit: Bool[Tensor, "batch ray point"]
    t: Float[Tensor, "batch ray point"]
    """Distance of the points, world units; 0 where not hit."""
    x_target: Float[Tensor, "batch ray point 3"]
    x_template: Float[Tensor, "batch ray point 3"]
    """The same points on the neutral face; with an alignment, the radiance is read a step further."""

    def surface_point(self) -> Float[Tensor, "batch ray 3"]:
        """Average the points that a ray sees of the head: sum_i w_i x_i / sum_i w_i, without the background.

        World units. Rays whose foreground weighs less than 1e-6 have no surface; their value is near zero and means
        nothing. Differentiable in the points and their weights.
        """
        weights = self.weights[..., :-1, None]  # (B, R, L, 1)
        total = self.foreground.clamp(min=LEAST_FOREGROUND)[..., None]
        return (weights * self.x_target[..., :-1, :]).sum(dim=2) / total


LevelChoice = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(B, R, L) distances of the manifolds and hits -> (B, R, K) indices of those to shade, and which of these exist."""


@dataclass(frozen=True)
class Samples:
    """What rays meet on their way, at even distances."""

    t: Float[Tensor, "batch ray sample"]
    """Distance, world units."""
    x: Float[Tensor, "batch ray sample 3"]
    """Target points."""
    delta: Float[Tensor, "batch ray sample 3"]
    """Their steps to the template."""
    s: Float[Tensor, "batch ray sample"]
    """Manifold scalar there."""

    def at(self, crossings: Crossings) -> Float[Tensor, "batch ray level 7"]:
        """Distance, target point and step to the template, interpolated between the samples."""
        return crossings.interpolate(torch.cat([self.t[..., None], self.x, self.delta], dim=-1))


@dataclass(frozen=True)
class RayPoints:
    """Points that a ray's colour is blended from: its crossings in the order of the levels, the background last."""

    hit: Bool[Tensor, "batch ray point"]
    t: Float[Tensor, "batch ray point"]
    x_target: Float[Tensor, "batch ray point 3"]
    x_template: Float[Tensor, "batch ray point 3"]

    def order(self) -> Int[Tensor, "batch ray point"]:
        """Their indices from near to far, those that are not there last."""
        return torch.where(self.hit, self.t, torch.inf).argsort(dim=-1, stable=True)

    def of_background(self) -> Bool[Tensor, "batch ray point"]:
        """Which of them are the background's."""
        last = torch.zeros_like(self.hit)
        last[..., -1] = True
        return last


def render_rays(fields: ConditionedFields, rays: Rays, choose: LevelChoice | None = None) -> RayColours:
    """The exact renderer: every manifold on every ray. Differentiable in everything.

    Takes B avatars and B sets of rays. Training may ``choose`` a few manifolds a ray, where it knows the surface; the
    points are then those, in the order of the choice.
    """
    # 1 March: samples, their steps to the template, and the manifold scalar there.
    samples = sample_rays(fields, rays)

    # 2 Intersect: point and step are interpolated between the samples, not evaluated again.
    crossings = first_crossings(samples.s, fields.levels)
    crossed, hit = samples.at(crossings), crossings.hit
    if choose is not None:
        index, hit = choose(crossed[..., 0].detach(), hit)  # (B, R, K)
        crossed = crossed.gather(2, index[..., None].expand(*index.shape, crossed.shape[-1]))

    # 3 The background plane is one more point, opaque and never deformed.
    points = with_background(fields, rays, crossed, hit)

    # 4 Radiance of every point.
    rgb, alpha = radiance_at(fields, points.x_template.flatten(1, 2), points.of_background().flatten(1, 2))

    # 5 Blend in order of distance, misses last.
    return blended(points, rgb.reshape(points.x_template.shape), alpha.reshape(hit.shape[:2] + (-1,)))


def sample_rays(fields: ConditionedFields, rays: Rays) -> Samples:
    """Evaluate step and manifold scalar at even distances along the rays, as the avatar's march says."""
    how = fields.ray_sampling
    t = torch.linspace(how.near, how.far, how.samples, dtype=rays.origins.dtype, device=rays.origins.device)
    t = t.expand(len(rays.origins), len(rays), -1)  # (B, R, S)
    x = rays.at(t)  # (B, R, S, 3)
    delta = _per_point(fields.offset, x)
    return Samples(t, x, delta, _per_point(fields.level, x + delta))


def with_background(
    fields: ConditionedFields,
    rays: Rays,
    crossed: Float[Tensor, "batch ray level 7"],
    hit: Bool[Tensor, "batch ray level"],
) -> RayPoints:
    """Crossings (distance, target point, step to the template) and the background plane behind them."""
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
    fields: ConditionedFields, x: Float[Tensor, "batch point 3"], background: Bool[Tensor, "batch point"]
) -> tuple[Float[Tensor, "batch point 3"], Float[Tensor, "batch point"]]:
    """Colour and opacity of template points, read in the aligned place; the background is opaque and never moved."""
    if fields.align is not None:
        x = x + fields.align(x).masked_fill(background[..., None], 0.0)
    rgb, alpha = fields.radiance(x)
    return rgb, alpha.masked_fill(background, 1.0)


def blended(
    points: RayPoints, rgb: Float[Tensor, "batch ray point 3"], alpha: Float[Tensor, "batch ray point"]
) -> RayColours:
    """What is seen of points with these colours and opacities."""
    order = points.order()
    sorted_weights = blending_weights(alpha.gather(-1, order), points.hit.gather(-1, order))
    weights = torch.zeros_like(sorted_weights).scatter(-1, order, sorted_weights)
    foreground_rgb = (weights[..., :-1, None] * rgb[..., :-1, :]).sum(dim=2)
    t = torch.where(points.hit, points.t, 0.0)
    return RayColours(
        rgb=foreground_rgb + weights[..., -1:] * rgb[..., -1, :],
        depth=(weights * t).sum(-1) / weights.sum(-1),
        foreground=weights[..., :-1].sum(-1),
        foreground_rgb=foreground_rgb,
        alpha=alpha,
        weights=weights,
        hit=points.hit,
        t=t,
        x_target=points.x_target,
        x_template=points.x_template,
    )


def _per_point(function: Callable[[Tensor], Tensor], x: Float[Tensor, "batch ray sample 3"]) -> Tensor:
    """A function of (B, N, 3) points on (B, R, S, 3) points."""
    flat = function(x.flatten(1, 2))
    return flat.unflatten(1, x.shape[1:3])


def in_slices(rays: Rays, size: int) -> Iterator[Rays]:
    """The same rays a part at a time: the same image in less memory."""
    for start in range(0, len(rays), size):
        yield rays[start : start + size]
