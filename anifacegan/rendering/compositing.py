"""Front-to-back alpha compositing of the points at which a ray meets the radiance manifolds.

    pixel = sum_i w_i rgb_i,    w_i = alpha_i prod_{j<i} (1 - alpha_j),    alpha_i = 1 - exp(-0.04 softplus(sigma_i))

Points are sorted by distance; the background plane is the last one and opaque (Wu et al. 2022; GRAM, Deng et al. 2022).
The template field already returns alpha, see :func:`anifacegan.models.template.alpha_from_sigma`.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

MIN_FOREGROUND = 1e-6
"""Smaller foreground weights of rays are raised to this value before a division by them."""


@dataclass(frozen=True)
class RayPoints:
    """Points from which the colour of a ray is composited: its crossings with the manifolds, in the order of the
    manifolds' levels, then the point on the background plane.
    """

    hit: Bool[Tensor, "batch ray point"]
    """Whether the ray meets the point's manifold; always true for the background."""
    t: Float[Tensor, "batch ray point"]
    """Distance from the camera along the ray, world units."""
    x_target: Float[Tensor, "batch ray point 3"]
    """Points on the rendered, expressive face, where a manifold is met; world units."""
    x_template: Float[Tensor, "batch ray point 3"]
    """The same points moved back to the neutral template by the deformation, world units."""

    def order(self) -> Int[Tensor, "batch ray point"]:
        """Return the indices that sort the points of each ray from near to far; points of missed manifolds come
        last."""
        return torch.where(self.hit, self.t, torch.inf).argsort(dim=-1, stable=True)

    def of_background(self) -> Bool[Tensor, "batch ray point"]:
        """Return a mask that is true for the background point, the last point of every ray."""
        last = torch.zeros_like(self.hit)
        last[..., -1] = True
        return last


@dataclass(frozen=True)
class RayColours:
    """Composited colours of rays, with the points and weights from which they were composited.

    Points are in the order of the manifolds' levels with the background last, as in :class:`RayPoints`.
    """

    rgb: Float[Tensor, "batch ray 3"]
    """Colours of the rays, in [-0.001, 1.001], the range of the template's colours."""
    depth: Float[Tensor, "batch ray"]
    """Expected distance from the camera with the background plane included, world units."""
    foreground: Float[Tensor, "batch ray"]
    """Summed weight of all points before the background, in [0, 1]."""
    foreground_rgb: Float[Tensor, "batch ray 3"]
    """Colour without the background, premultiplied by the foreground weight."""
    alpha: Float[Tensor, "batch ray point"]
    """Opacity of each point; 1 for the background. Meaningless where ``hit`` is false. The culled renderer sets it to 0
    at points that no light reaches."""
    weights: Float[Tensor, "batch ray point"]
    """Compositing weight w_i of each point."""
    hit: Bool[Tensor, "batch ray point"]
    """Whether the ray meets the point's manifold; always true for the background."""
    t: Float[Tensor, "batch ray point"]
    """Distance from the camera along the ray, world units; 0 where the ray misses the manifold."""
    x_target: Float[Tensor, "batch ray point 3"]
    """Points on the rendered, expressive face, world units."""
    x_template: Float[Tensor, "batch ray point 3"]
    """The same points on the neutral template, before any alignment step, world units."""

    def surface_point(self) -> Float[Tensor, "batch ray 3"]:
        """Average the points before the background of each ray, sum_i w_i x_i / sum_i w_i; return one point for each
        ray, world units.

        Differentiable in points and weights. The result is meaningless for rays whose foreground weight is below 1e-6.
        """
        weights = self.weights[..., :-1, None]  # (B, R, L, 1)
        total = self.foreground.clamp(min=MIN_FOREGROUND)[..., None]
        return (weights * self.x_target[..., :-1, :]).sum(dim=2) / total


def composite(
    points: RayPoints, rgb: Float[Tensor, "batch ray point 3"], alpha: Float[Tensor, "batch ray point"]
) -> RayColours:
    """Composite each ray's points, with colours ``rgb`` and opacities ``alpha``, from near to far."""
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


def blending_weights(
    alpha: Float[Tensor, "batch ray level"], hit: Bool[Tensor, "batch ray level"]
) -> Float[Tensor, "batch ray level"]:
    """Compute the compositing weights alpha_i prod_{j<i} (1 - alpha_j + 1e-10) of points of rays sorted from near to
    far.

    Points whose ``hit`` is false do not exist and count as transparent. The 1e-10 keeps gradients finite behind an
    opaque point.
    """
    alpha = alpha * hit
    transmittance = torch.cumprod(1 - alpha + 1e-10, dim=-1)  # behind point i
    before = torch.cat([torch.ones_like(transmittance[..., :1]), transmittance[..., :-1]], dim=-1)
    return alpha * before
