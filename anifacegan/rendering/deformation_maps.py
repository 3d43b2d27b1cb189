"""TODO docstring of anifacegan.rendering.deformation_maps."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from anifacegan.geometry.rays import image_rays
from anifacegan.models.generator import ConditionedFields
from anifacegan.rendering.culled import render_culled
from anifacegan.rendering.images import to_bytes
from anifacegan.rendering.volume import in_slices

SLICE_RAYS = 4096

WHITE_HOT = 0.03
"""Length of a deformation step that is drawn white, world units (30 mm)."""


@dataclass(frozen=True)
class DeformationImage:
    """A rendered face."""

    rgb: Float[Tensor, "height width 3"]
    """In [0, 1]."""
    depth: Float[Tensor, "height width"]
    """0 at the far end of the march and beyond, 1 at its near end."""
    step: Float[Tensor, "height width"]
    """How far the deformation carries what is seen, world units; the background stays."""


def render_deformation(fields: ConditionedFields, yaw: float, size: int) -> DeformationImage:
    """What the renderer knows of one face (a batch of one) from one side; angles are radians from frontal."""
    angles = torch.tensor([[0.0, yaw]]).to(fields.levels)
    rays = image_rays(yaw=angles[:, 1], pitch=angles[:, 0], size=size, fov_deg=fields.ray_sampling.fov_deg)
    parts = []
    for part in in_slices(rays, SLICE_RAYS):
        seen = render_culled(fields, part)
        length = (seen.x_template - seen.x_target).norm(dim=-1) / fields.radiance_offset_gain
        step = (seen.weights * length).sum(dim=-1)  # (1, R)
        parts.append(torch.cat([seen.rgb, seen.depth[..., None], step[..., None]], dim=-1))
    image = torch.cat(parts, dim=1).reshape(size, size, 5).cpu()
    near, far = fields.ray_sampling.near, fields.ray_sampling.far
    depth = ((far - image[..., 3]) / (far - near)).clamp(0, 1)
    return DeformationImage(rgb=image[..., :3].clamp(0, 1), depth=depth, step=image[..., 4])


def heat_colours(value: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape 3"]:
    """Colours from black at 0 over red and yellow to white at 1 and beyond."""
    return torch.stack([3 * value, 3 * value - 1, 3 * value - 2], dim=-1).clamp(0, 1)


def image_bytes(image: Float[Tensor, "height width 3"]) -> UInt8[np.ndarray, "height width 3"]:
    return to_bytes(image.permute(2, 0, 1))
