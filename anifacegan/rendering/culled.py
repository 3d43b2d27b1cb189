"""One avatar's rays with gradients: :func:`render_rays` without the points that no light reaches.

Where a ray meets a manifold, and which of these points are seen, is found out without gradients: on a CPU by the fast
fields and in full precision, elsewhere by the fields as they are. A crossing lies between two samples of the march,
and the others have no part in it: of the crossings that are seen, these two are evaluated again, with gradients. That
is the gradient of :func:`render_rays`, but for what invisible points would add, in a fraction of the time and memory.

:mod:`anifacegan.exact_renderer` is for inference: whole images, no gradients, and it also asks its rays' neighbours.
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
"""Light that may be lost: a sixtieth of a step of an 8-bit image."""
GROUP = 3
"""Points of a ray that are looked at together, front to back."""


def render_culled(fields: ConditionedFields, rays: Rays) -> RayColours:
    """What :func:`render_rays` sees, for a single avatar, without the points that do not exist or that less than
    1/16384 of the light reaches: the same image within that. Points that are hit but not seen have colour and alpha
    0. Differentiable in the fields, not in the rays.
    """
    on_cpu = rays.origins.device.type == "cpu"
    with torch.no_grad(), full_precision(rays.origins) if on_cpu else nullcontext():
        scout = with_numba_fields(fields)
        samples = sample_rays(scout, rays)
        crossings = first_crossings(samples.s, fields.levels)
        points = add_background(fields, rays, samples.at(crossings), crossings.hit)
        seen, rgb, alpha = _from_front_to_back(scout, points)
    if not torch.is_grad_enabled():
        return composite(points, rgb, alpha)

    # Again, with gradients, and the seen points alone. What older PyTorch keeps of weights that were cast without
    # gradients has none either.
    torch.clear_autocast_cache()
    ray, point = seen.nonzero(as_tuple=True)  # (P,) each
    background = points.of_background()[0, ray, point]
    on_level = ray[~background], point[~background]
    t, x_target, delta = _crossed_again(fields, samples, crossings, *on_level)
    points = RayPoints(
        hit=points.hit,
        t=_put(points.t, on_level, t),
        x_target=_put(points.x_target, on_level, x_target),
        x_template=_put(points.x_template, on_level, x_target + fields.radiance_offset_gain * delta),
    )
    colour, opacity = radiance_at(fields, points.x_template[:, ray, point], background[None])
    rgb = _put(torch.zeros_like(rgb), (ray, point), colour[0])
    alpha = _put(torch.zeros_like(alpha), (ray, point), opacity[0])
    return composite(points, rgb, alpha)


def _from_front_to_back(
    fields: ConditionedFields, points: RayPoints
) -> tuple[Bool[Tensor, "ray point"], Float[Tensor, "1 ray point 3"], Float[Tensor, "1 ray point"]]:
    """Which points light reaches, and their colours and opacities; 0 elsewhere."""
    x, hit, order = points.x_template[0], points.hit[0], points.order()[0]
    last = points.of_background()[0]
    rgb, alpha = torch.zeros_like(x), torch.zeros_like(x[..., 0])
    seen = torch.zeros_like(hit)
    light = torch.ones_like(alpha[:, 0])  # (R,) what is left behind the groups so far
    for group in order.split(GROUP, dim=-1):  # (R, G) indices of points
        target = hit.gather(1, group) & (light > INVISIBLE)[:, None]
        ray, column = target.nonzero(as_tuple=True)
        if not len(ray):
            continue
        point = group[ray, column]
        colour, opacity = radiance_at(fields, x[None, ray, point], last[None, ray, point])
        rgb[ray, point], alpha[ray, point], seen[ray, point] = colour[0], opacity[0], True
        light = light * (1 - alpha.gather(1, group)).prod(dim=-1)
    return seen, rgb[None], alpha[None]


def _crossed_again(
    fields: ConditionedFields,
    samples: RaySamples,
    crossings: Crossings,
    ray: Int[Tensor, "point"],
    level: Int[Tensor, "point"],
) -> tuple[Float[Tensor, "point"], Float[Tensor, "point 3"], Float[Tensor, "point 3"]]:
    """Distance, target point and step to the template of some crossings, as functions of the fields."""
    first = crossings.interval[0, ray, level]
    ends = torch.stack([first, first + 1])  # (2, P) the samples about each
    t, x = samples.t[0, ray, ends], samples.x[0, ray, ends]
    delta = fields.offset(x.reshape(1, -1, 3)).reshape(x.shape)
    s_near, s_far = fields.level((x + delta).reshape(1, -1, 3)).reshape(ends.shape)
    fraction = fraction_between(
        s_near, s_far, fields.levels[level]
    )  # the scout's s may differ in its last digits
    near, far = torch.cat([t[..., None], x, delta], dim=-1)  # (P, 7) each
    crossed = torch.lerp(near, far, fraction[:, None])
    return crossed[:, 0], crossed[:, 1:4], crossed[:, 4:]


def _put(values: Tensor, where: tuple[Tensor, Tensor], new: Tensor) -> Tensor:
    """Values (1, R, P, ...) with new ones at these rays and points."""
    return values[0].index_put(where, new.to(values))[None]
