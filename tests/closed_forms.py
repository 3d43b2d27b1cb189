"""Avatars in closed form, for tests of the renderer: spheres, a bumpy field, and rays to see them with.

Everything is float64.
"""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from anifacegan.march import MarchConfig
from anifacegan.models.generator import Avatar, RayColours
from anifacegan.rays import Rays, image_rays

TINY = 1e-8
"""The 1e-10 that every transmittance carries, and float64 rounding."""


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def stay(x: Tensor) -> Tensor:
    return torch.zeros_like(x)


def constant_step(*step: float) -> Callable[[Tensor], Tensor]:
    return lambda x: numbers(*step).expand_as(x)


def distance_to(*centre: float) -> Callable[[Tensor], Tensor]:
    return lambda x: (x - numbers(*centre)).norm(dim=-1)


def half_opaque(x: Tensor) -> tuple[Tensor, Tensor]:
    """A colour that says where the point is, and opacity 1/2."""
    return 0.5 + 4 * x, torch.full_like(x[..., 0], 0.5)


def spheres(*radii: float, **changes: object) -> Avatar:
    """Concentric spheres about the origin, half opaque, not deformed."""
    avatar = Avatar(stay, distance_to(0, 0, 0), half_opaque, numbers(*radii), MarchConfig())
    return dataclasses.replace(avatar, **changes)


def parallel_rays(*xy: tuple[float, float]) -> Rays:
    """Rays along -z from the plane z = 1, where t = 1 - z."""
    origins = torch.tensor([[[x, y, 1.0] for x, y in xy]], dtype=torch.float64)
    return Rays(origins, numbers(0, 0, -1).expand_as(origins))


def camera_rays(pitch: float = 0.0, yaw: float = 0.0, size: int = 7) -> Rays:
    return image_rays(numbers(pitch), numbers(yaw), size)


def assert_same_colours(a: RayColours, b: RayColours, atol: float) -> None:
    for name in (field.name for field in dataclasses.fields(RayColours)):
        one, other = getattr(a, name), getattr(b, name)
        torch.testing.assert_close(one, other, atol=atol, rtol=0, msg=lambda text, name=name: f"{name}: {text}")


def bumpy(x: Tensor) -> Tensor:
    """A field with several ups and downs along a ray."""
    return x[..., 2] + 0.05 * (40 * x[..., 0] + 90 * x[..., 2]).sin()


def bumpy_step(x: Tensor) -> Tensor:
    return 0.01 * torch.stack([(50 * x[..., 1]).sin(), (50 * x[..., 2]).cos(), (50 * x[..., 0]).sin()], dim=-1)


def bumpy_radiance(x: Tensor) -> tuple[Tensor, Tensor]:
    return 0.5 + 0.5 * (60 * x).sin(), 0.5 + 0.4 * (70 * x.sum(-1)).sin()


def bumpy_avatar(*levels: float, **changes: object) -> Avatar:
    avatar = Avatar(bumpy_step, bumpy, bumpy_radiance, numbers(*levels), MarchConfig(samples=24))
    return dataclasses.replace(avatar, **changes)
