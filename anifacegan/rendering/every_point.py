"""Renderer for inference on GPUs: every manifold on every ray, in slices of one shape.

The adaptive renderer evaluates a twentieth of the points, but a GPU would wait for the CPU hundreds of times a frame,
for how many points are left. Here no shape depends on a number.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.geometry.rays import Rays
from anifacegan.models.generator import ConditionedFields
from anifacegan.rendering.volume import in_slices, render_rays

SLICE = 16_384
"""Number of rays that are rendered at a time; with the paper's sizes they need 3 GiB."""


def render_every_point(fields: ConditionedFields, rays: Rays) -> Float[Tensor, "ray 8"]:
    """Render rays of one face without gradients.

    Returns rgb, opacity of the head, rgb of the head premultiplied by the opacity, and expected distance from the
    camera (world units), as :func:`anifacegan.rendering.adaptive.render_adaptive` does.
    """
    values = []
    with torch.no_grad():
        for part in in_slices(rays, SLICE):
            seen = render_rays(fields, part)
            columns = (seen.rgb, seen.foreground[..., None], seen.foreground_rgb, seen.depth[..., None])
            values.append(torch.cat(columns, dim=-1)[0])
    return torch.cat(values)
