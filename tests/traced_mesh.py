"""A slow reference for what a camera sees of a mesh: every ray against every triangle, in float64."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from anifacegan.models.generator import RayColours
from anifacegan.rays import Rays


def trace(
    rays: Rays, vertices: Float[Tensor, "batch vertex 3"], triangles: Int[Tensor, "triangle 3"]
) -> tuple[Float[np.ndarray, "batch ray"], Int[np.ndarray, "batch ray"]]:
    """Distance along each ray to the nearest triangle, infinite where there is none, and which one it is."""
    found = [
        _trace(origins, directions, corners)
        for origins, directions, corners in zip(
            rays.origins.double().numpy(), rays.directions.double().numpy(), vertices.double().numpy(), strict=True
        )
        for corners in [corners[triangles.numpy()]]
    ]
    return np.stack([t for t, _ in found]), np.stack([nearest for _, nearest in found])


def _trace(origins: np.ndarray, directions: np.ndarray, corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """o + t d = a + u (b - a) + v (c - a), by Cramer's rule."""
    a, b, c = corners.transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)                                    # (F, 3)
    start = origins[:, None] - a                                       # (R, F, 3)
    with np.errstate(divide="ignore", invalid="ignore"):
        volume = -(directions @ normal.T)
        across = np.cross(start, directions[:, None])
        t = (start * normal).sum(-1) / volume
        u = ((c - a) * across).sum(-1) / volume
        v = -((b - a) * across).sum(-1) / volume
    t = np.where((u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0), t, np.inf)
    return t.min(axis=1), t.argmin(axis=1)


def solid(rays: Rays, t: Float[Tensor, "batch ray"]) -> RayColours:
    """What a renderer says of an opaque surface at these distances, and the background where they are infinite."""
    hit = t.isfinite()
    front = hit.to(t)
    return seen_points(
        rays,
        torch.stack([torch.where(hit, t, 0.0), torch.full_like(t, 1.2)], dim=-1),
        torch.stack([front, 1 - front], dim=-1),
    )


def seen_points(
    rays: Rays, t: Float[Tensor, "batch ray point"], weights: Float[Tensor, "batch ray point"]
) -> RayColours:
    """What a renderer says of points with these weights, the background last; all black."""
    x = rays.at(t)
    return RayColours(
        rgb=torch.zeros_like(x[:, :, 0]),
        depth=(weights * t).sum(-1),
        foreground=weights[..., :-1].sum(-1),
        foreground_rgb=torch.zeros_like(x[:, :, 0]),
        alpha=weights,
        weights=weights,
        hit=weights > 0,
        t=t,
        x_target=x,
        x_template=x,
    )
