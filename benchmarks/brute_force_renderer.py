"""Brute-force renderer that faster ones are compared with: it evaluates all samples and points of every ray in float32.

It shares no code with the renderers of :mod:`anifacegan.rendering` and evaluates the conditioned fields themselves, in
PyTorch. Nothing is skipped or approximated. With the paper's sizes, a ray costs 64 samples of deformation and
manifolds, and 23 + 1 points of the template.

All points are in world units.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.geometry.rays import Rays, image_rays
from anifacegan.models.generator import ConditionedFields
from anifacegan.rendering.frame import RenderedImage
from anifacegan.rendering.model import Face

SLICE_SAMPLES = 2**17
"""Number of samples along rays that are in memory at once."""


@torch.inference_mode()
def brute_force_image(face: Face, *, yaw: float = 0.0, pitch: float = 0.0, size: int = 256) -> RenderedImage:
    """Render :meth:`anifacegan.rendering.model.Face.image` by brute force. Angles are radians from frontal."""
    ray_sampling = face.fields.ray_sampling
    angles = torch.tensor([[pitch, yaw]], dtype=torch.float32, device=face.latents.z_id.device)
    rays = image_rays(yaw=angles[:, 1], pitch=angles[:, 0], size=size, fov_deg=ray_sampling.fov_deg)
    step = max(1, SLICE_SAMPLES // ray_sampling.samples)
    slices = [
        brute_force_colours(face.fields, rays[start : start + step]) for start in range(0, len(rays), step)
    ]
    image = torch.cat(slices).T.reshape(8, size, size)
    head = image[:7].clamp(0, 1)
    return RenderedImage(rgb=head[:3], foreground=head[3:4], foreground_rgb=head[4:7], depth=image[7:])


def brute_force_colours(fields: ConditionedFields, rays: Rays) -> Float[Tensor, "ray 8"]:
    """Compute each ray's rgb, opacity of the head, its premultiplied rgb, and expected distance, for one face."""
    origin, direction = rays.origins[0], rays.directions[0]  # (R, 3)
    points, t, hit = _manifold_points(fields, origin, direction)

    # The background is opaque, in its plane, and not moved by any field.
    t_plane = (fields.ray_sampling.background_z - origin[:, 2]) / direction[:, 2]
    plane = origin + t_plane[:, None] * direction
    aligned = (
        points if fields.align is None else points + fields.align(points.reshape(1, -1, 3)).reshape_as(points)
    )
    rgb, alpha = fields.radiance(torch.cat([aligned, plane[:, None]], dim=1).reshape(1, -1, 3))
    rgb, alpha = rgb.reshape(len(origin), -1, 3), alpha.reshape(len(origin), -1)
    alpha = torch.cat([alpha[:, :-1] * hit, torch.ones_like(alpha[:, -1:])], dim=1)
    t = torch.cat([t, t_plane[:, None]], dim=1)  # (R, L + 1)

    # Composite from front to back.
    present = torch.cat([hit, torch.ones_like(hit[:, :1])], dim=1)
    order = torch.where(present, t, torch.inf).sort(dim=1, stable=True).indices
    ray = torch.arange(len(origin), device=order.device)
    light = torch.ones_like(t_plane)
    total, depth = torch.zeros_like(light), torch.zeros_like(light)
    colour, head_rgb, head = torch.zeros_like(origin), torch.zeros_like(origin), torch.zeros_like(light)
    for point in order.unbind(dim=1):  # (R,) index of one point of each ray
        weight = light * alpha[ray, point]
        light = light * (1 - alpha[ray, point] + 1e-10)
        is_head = point < hit.shape[1]
        total = total + weight
        depth = depth + weight * torch.where(present[ray, point], t[ray, point], 0.0)
        head = head + weight * is_head
        colour = colour + weight[:, None] * rgb[ray, point]
        head_rgb = head_rgb + (weight * is_head)[:, None] * rgb[ray, point]
    return torch.cat([colour, head[:, None], head_rgb, (depth / total)[:, None]], dim=1)


def _manifold_points(
    fields: ConditionedFields, origin: Float[Tensor, "ray 3"], direction: Float[Tensor, "ray 3"]
) -> tuple[Float[Tensor, "ray level 3"], Float[Tensor, "ray level"], Tensor]:
    """Find the template points where the radiance is evaluated, their distances, and (R, L) whether a ray crosses."""
    ray_sampling, levels = fields.ray_sampling, fields.levels
    t = torch.linspace(
        ray_sampling.near, ray_sampling.far, ray_sampling.samples, dtype=origin.dtype, device=origin.device
    )
    x = origin[:, None] + t[:, None] * direction[:, None]  # (R, S, 3)
    delta = fields.offset(x.reshape(1, -1, 3)).reshape_as(x)
    s = fields.scalar((x + delta).reshape(1, -1, 3)).reshape(x.shape[:2])

    # Step from sample to sample. Where s first crosses a level, the level is decided; it is hit if s falls there.
    known = torch.cat([x, delta, t.expand_as(s)[..., None]], dim=-1)  # (R, S, 7)
    found = known.new_zeros(len(x), len(levels), 7)
    hit = torch.zeros(len(x), len(levels), dtype=torch.bool, device=x.device)
    decided = torch.zeros_like(hit)
    for k in range(ray_sampling.samples - 1):
        before, after = s[:, k, None], s[:, k + 1, None]  # (R, 1)
        changes = ((before >= levels) != (after >= levels)) & ~decided
        met = changes & (before >= levels)
        share = torch.where(met, (before - levels) / (before - after), 0.0)[..., None]
        between = known[:, k, None] + share * (known[:, k + 1, None] - known[:, k, None])
        found = torch.where(met[..., None], between, found)
        decided, hit = decided | changes, hit | met
    x_target, delta, t_level = found.split([3, 3, 1], dim=-1)  # (R, L, .)
    return x_target + fields.radiance_offset_gain * delta, t_level[..., 0], hit
