"""People in closed form who can be baked: painted balls about the charts' centre, which expressions move."""

import functools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from anifacegan.layered import LayeredAvatar
from anifacegan.manifold_charts import ManifoldCharts, chart_manifolds
from anifacegan.march import MarchConfig
from anifacegan.models.generator import Avatar, render_rays
from anifacegan.models.manifolds import CENTRE, SLOPE
from anifacegan.playback import play
from anifacegan.rays import image_rays
from anifacegan.rendered import decibels
from anifacegan.shapes import BOX

MARCH = MarchConfig()
LEVELS = (22.0, 20.5, 18.0)
SIDE = 24
Move = Callable[[Tensor, np.ndarray], Tensor]
"""Target points and coefficients -> steps to the template."""


def ball_level(x: Tensor) -> Tensor:
    """s = 10 |x / BOX - centre|."""
    return SLOPE * (x / BOX - x.new_tensor(CENTRE)).norm(dim=-1)


def painted(x: Tensor) -> tuple[Tensor, Tensor]:
    """Smooth colours; opacity that differs from place to place and from ball to ball, and ends before the edge."""
    edge = torch.sigmoid((0.07 - x[..., :2].norm(dim=-1)) / 0.004)
    own = torch.where(ball_level(x) > 19, 0.5 + 0.4 * (50 * x[..., 0]).sin(), 0.995)
    return 0.5 + 0.4 * (40 * x + 1).sin(), own * edge


def opaque_everywhere(x: Tensor) -> tuple[Tensor, Tensor]:
    return 0.5 + 0.4 * (40 * x + 1).sin(), torch.ones_like(x[..., 0])


def still(x: Tensor, code: np.ndarray) -> Tensor:
    return torch.zeros_like(x)


def squeezed(which: int) -> Move:
    """A coefficient that stretches the skin about y = 0.01, where it is shown at up to ten times its height."""

    def move(x: Tensor, code: np.ndarray) -> Tensor:
        y = x[..., 1] - 0.01
        step = -0.9 * float(code[which]) * 0.03 * (y / 0.03).tanh() * torch.exp(-((y / 0.06) ** 2))
        return torch.stack([0 * step, step, 0 * step], dim=-1)

    return move


def person(move: Move = still, radiance: Callable = painted, **changes: object) -> Callable[[np.ndarray], Avatar]:
    """What :func:`anifacegan.baking.bake` takes."""

    def condition(code: np.ndarray) -> Avatar:
        return Avatar(lambda x: move(x, code), ball_level, radiance, torch.tensor(LEVELS), MARCH, **changes)

    return condition


@functools.cache
def charts() -> ManifoldCharts:
    return chart_manifolds(ball_level, torch.tensor(LEVELS), MARCH, SIDE)


def codes(*rows: tuple[float, ...]) -> np.ndarray:
    """(N, 64), zero beyond the given values."""
    found = np.zeros((len(rows), 64), np.float32)
    for k, row in enumerate(rows):
        found[k, : len(row)] = row
    return found


def exact_picture(avatar: Avatar, yaw: float, pitch: float, size: int) -> np.ndarray:
    """(3, size, size)"""
    angles = torch.tensor([[pitch, yaw]])
    colours = render_rays(avatar, image_rays(angles[:, 0], angles[:, 1], size))
    return colours.rgb[0].T.reshape(3, size, size).numpy()


def psnr_of(
    avatar: LayeredAvatar, condition: Callable, z_exp: np.ndarray, yaw: float = 0.0, pitch: float = 0.0, size: int = 40
) -> float:
    """Decibels between what is played and the exact renderer's picture."""
    played = play(avatar, avatar.posed(z_exp), yaw, pitch, size).rgb.numpy()
    return decibels(((played - exact_picture(condition(z_exp), yaw, pitch, size)) ** 2).mean())
