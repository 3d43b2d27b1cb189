"""Images of a face's colours, depth and deformation length, for training previews and figures."""

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
"""Number of rays that are rendered together."""

WHITE_HOT = 0.03
"""Length of a deformation offset that is drawn white, world units (30 mm)."""


@dataclass(frozen=True)
class DeformationImage:
    """Colours, depth and length of the deformation at each pixel of a face seen from one camera."""

    rgb: Float[Tensor, "height width 3"]
    """Colours of the face, in [0, 1]."""
    depth: Float[Tensor, "height width"]
    """Nearness of the visible surface: 1 at the near end of the rays' sampled range, 0 at its far end and beyond."""
    step: Float[Tensor, "height width"]
    """Length of the deformation offset at each pixel, averaged over the points of its ray with their
    compositing weights; world units, 0 on the background."""


def render_deformation(fields: ConditionedFields, yaw: float, size: int) -> DeformationImage:
    """Render the colours, the depth and the length of the deformation of one face as square images.

    Args:
        fields: the face's deformation, manifolds and radiance, as a batch of one.
        yaw: radians from frontal; positive yaw turns the face to the image's right.
        size: height and width of the images, pixels.
    """
    angles = torch.tensor([[0.0, yaw]]).to(fields.levels)
    rays = image_rays(yaw=angles[:, 1], pitch=angles[:, 0], size=size, fov_deg=fields.ray_sampling.fov_deg)
    parts = []
    for part in in_slices(rays, SLICE_RAYS):
        seen = render_culled(fields, part)
        offsets = fields.deformation(seen.x_target.flatten(1, 2)).reshape(seen.x_target.shape)
        length = offsets.norm(dim=-1)
        length[..., -1] = 0.0  # of the background, which is not deformed
        step = (seen.weights * length).sum(dim=-1)  # (1, R)
        parts.append(torch.cat([seen.rgb, seen.depth[..., None], step[..., None]], dim=-1))
    image = torch.cat(parts, dim=1).reshape(size, size, 5).cpu()
    near, far = fields.ray_sampling.near, fields.ray_sampling.far
    depth = ((far - image[..., 3]) / (far - near)).clamp(0, 1)
    return DeformationImage(rgb=image[..., :3].clamp(0, 1), depth=depth, step=image[..., 4])


def heat_colours(value: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape 3"]:
    """Map values to rgb from black at 0 over red (1/3) and yellow (2/3) to white at 1 and above."""
    return torch.stack([3 * value, 3 * value - 1, 3 * value - 2], dim=-1).clamp(0, 1)


def image_bytes(image: Float[Tensor, "height width 3"]) -> UInt8[np.ndarray, "height width 3"]:
    """Convert colours in [0, 1] to bytes, channels last."""
    return to_bytes(image.permute(2, 0, 1))
