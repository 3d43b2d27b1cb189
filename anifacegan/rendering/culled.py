"""Culled renderer for training: ``volume.render_rays`` without the points that no light reaches.

Manifold crossings and their visibility are found without gradients: on a CPU by the numba fields in full precision, on
other devices by the PyTorch fields. A crossing depends only on the two samples that enclose it. For visible crossings
these two samples are evaluated again, with gradients. The gradient equals that of ``render_rays`` up to the
contribution of invisible points, at a fraction of the time and memory.
"""

from contextlib import nullcontext

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anifacegan.geometry.intersection import Crossings, first_crossings, fraction_between
from anifacegan.geometry.rays import Rays
from anifacegan.models.generator import ConditionedFields
from anifacegan.models.numba_fields import with_numba_fields
from anifacegan.models.siren import full_precision
from anifacegan.rendering.compositing import RayColours, RayPoints, composite
from anifacegan.rendering.volume import RaySamples, add_background, radiance_at, sample_rays

INVISIBLE = 1 / 16384
"""Points that less than this share of the light reaches are left out (culled); it is a sixtieth of a step of an 8-bit
image."""
GROUP = 3
"""Number of points of a ray whose radiance is evaluated together, front to back."""


def render_culled(fields: ConditionedFields, rays: Rays) -> RayColours:
    """Render rays of one face, leaving out (culling) points that less than 1/16384 of the light reaches.

    Pixel colours equal those of :func:`~anifacegan.rendering.volume.render_rays` within 1/16384. Points that are left
    out have colour and alpha 0. Differentiable in the fields' parameters, not in the rays.
    """
    on_cpu = rays.origins.device.type == "cpu"
    with torch.no_grad(), full_precision(rays.origins) if on_cpu else nullcontext():
        fast_fields = with_numba_fields(fields)
        samples = sample_rays(fast_fields, rays)
        crossings = first_crossings(samples.s, fields.levels)
        points = add_background(fields, rays, samples.at(crossings), crossings.hit)
        visible, rgb, alpha = _evaluate_visible(fast_fields, points, rays.directions)
    if not torch.is_grad_enabled():
        return composite(points, rgb, alpha)

    # Evaluate the visible points again with gradients. Autocast caches weights that were cast without gradients; older
    # versions of PyTorch would use them here.
    torch.clear_autocast_cache()
    ray, point = visible.nonzero(as_tuple=True)  # (P,) each
    background = points.of_background()[0, ray, point]
    on_level = ray[~background], point[~background]
    t, x_target, delta = _recompute_crossings(fields, samples, crossings, *on_level)
    points = RayPoints(
        hit=points.hit,
        t=_put(points.t, on_level, t),
        x_target=_put(points.x_target, on_level, x_target),
        x_template=_put(points.x_template, on_level, x_target + fields.radiance_offset_gain * delta),
    )
    colour, opacity = radiance_at(
        fields, points.x_template[:, ray, point], background[None], rays.directions[:, ray]
    )
    rgb = _put(torch.zeros_like(rgb), (ray, point), colour[0])
    alpha = _put(torch.zeros_like(alpha), (ray, point), opacity[0])
    return composite(points, rgb, alpha)


def _evaluate_visible(
    fields: ConditionedFields, points: RayPoints, directions: Float[Tensor, "1 ray 3"]
) -> tuple[Bool[Tensor, "ray point"], Float[Tensor, "1 ray point 3"], Float[Tensor, "1 ray point"]]:
    """Find the points that light reaches; return their mask, and colours and opacities of all points (0 at points
    without light). ``directions`` are those of the rays."""
    x, hit, order = points.x_template[0], points.hit[0], points.order()[0]
    last = points.of_background()[0]
    rgb, alpha = torch.zeros_like(x), torch.zeros_like(x[..., 0])
    visible = torch.zeros_like(hit)
    light = torch.ones_like(alpha[:, 0])  # (R,) transmittance behind the groups so far
    for group in order.split(GROUP, dim=-1):  # (R, G) indices of points
        target = hit.gather(1, group) & (light > INVISIBLE)[:, None]
        ray, column = target.nonzero(as_tuple=True)
        if not len(ray):
            continue
        point = group[ray, column]
        colour, opacity = radiance_at(fields, x[None, ray, point], last[None, ray, point], directions[:, ray])
        rgb[ray, point], alpha[ray, point], visible[ray, point] = colour[0], opacity[0], True
        light = light * (1 - alpha.gather(1, group)).prod(dim=-1)
    return visible, rgb[None], alpha[None]


def _recompute_crossings(
    fields: ConditionedFields,
    samples: RaySamples,
    crossings: Crossings,
    ray: Int[Tensor, "point"],
    level: Int[Tensor, "point"],
) -> tuple[Float[Tensor, "point"], Float[Tensor, "point 3"], Float[Tensor, "point 3"]]:
    """Evaluate distance, target point and deformation offset of crossings as differentiable functions of the fields."""
    first = crossings.interval[0, ray, level]
    ends = torch.stack([first, first + 1])  # (2, P) the samples about each
    t, x = samples.t[0, ray, ends], samples.x[0, ray, ends]
    delta = fields.offset(x.reshape(1, -1, 3)).reshape(x.shape)
    s_near, s_far = fields.scalar((x + delta).reshape(1, -1, 3)).reshape(ends.shape)
    fraction = fraction_between(
        s_near, s_far, fields.levels[level]
    )  # s of the numba fields may differ in its last digits
    near, far = torch.cat([t[..., None], x, delta], dim=-1)  # (P, 7) each
    crossed = torch.lerp(near, far, fraction[:, None])
    return crossed[:, 0], crossed[:, 1:4], crossed[:, 4:]


def _put(values: Tensor, where: tuple[Tensor, Tensor], new: Tensor) -> Tensor:
    """Return a copy of ``values`` (1, R, P, ...) in which the entries of the given rays and points are replaced by
    ``new``."""
    return values[0].index_put(where, new.to(values))[None]
