"""Radiance manifolds: the level sets of one scalar field, shared by all people (GRAM; method, section 1, step 3).

    s = M(x_template),   manifold l = {x : M(x) = level_l}

Before training the manifolds are spheres about a point behind the head, ``s ~ 10 |x / BOX - centre|``, seen from
inside the head outwards: s falls along a ray that enters the face.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from anifacegan.errors import ConfigError, require_at_least
from anifacegan.models.film import full_precision
from anifacegan.shapes import BOX

CENTRE = (0.0, 0.0, -1.5)
"""Centre of the initial spheres, in network units."""
SLOPE = 10.0
"""How fast s grows away from the centre, per network unit, before training."""


@dataclass(frozen=True)
class ManifoldConfig:
    hidden_dim: int = 128
    """Width of the hidden layers."""
    layers: int = 3
    """Number of hidden layers."""
    count: int = 23
    """Number of manifolds."""
    first_level: float = 23.0
    """Value of s on the manifold nearest to a frontal camera."""
    last_level: float = 8.0
    """Value of s on the manifold farthest from it."""
    levels: tuple[float, ...] = ()
    """All values of s, falling, where they are not evenly spaced; count and the two above then say nothing."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "hidden_dim", "layers", "count")
        values = self.values()
        if len(values) < 2 or any(a <= b for a, b in pairwise(values)):
            raise ConfigError("levels", values, "at least 2, each lower than the one before")

    def values(self) -> tuple[float, ...]:
        """s on every manifold, falling."""
        if self.levels:
            return self.levels
        return tuple(torch.linspace(self.first_level, self.last_level, self.count, device="cpu").tolist())


class ManifoldField(nn.Module):
    """The scalar field whose level sets are the manifolds."""

    centre: Tensor
    levels: Tensor

    def __init__(self, config: ManifoldConfig) -> None:
        super().__init__()
        self.config = config
        dims = [3] + [config.hidden_dim] * config.layers
        self.hidden = nn.ModuleList(nn.Linear(i, o) for i, o in pairwise(dims))
        self.output = nn.Linear(dims[-1], 1)
        self.register_buffer("centre", torch.tensor(CENTRE), persistent=False)
        self.register_buffer("levels", torch.tensor(config.values()), persistent=False)

    def initialise(self, rng: torch.Generator) -> None:
        """Geometric: concentric spheres (Atzmon and Lipman 2020)."""
        for layer in self.hidden:
            nn.init.normal_(layer.weight, 0.0, math.sqrt(2 / layer.out_features), generator=rng)
            nn.init.zeros_(layer.bias)
        nn.init.constant_(self.output.weight, 10 * math.sqrt(math.pi / self.output.in_features))
        nn.init.zeros_(self.output.bias)

    def forward(self, x_template: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
        """Scalar s of template points in world units."""
        h = x_template / BOX - self.centre
        with full_precision(h):
            for layer in self.hidden:
                h = nn.functional.relu(layer(h))
            return self.output(h)[..., 0]


@dataclass(frozen=True)
class Crossings:
    """Where rays meet manifolds. A missed level has hit False, interval 0 and fraction 0."""

    hit: Bool[Tensor, "batch ray level"]
    interval: Tensor
    """(B, R, L) index of the sample before the crossing."""
    fraction: Float[Tensor, "batch ray level"]
    """How far the crossing lies between that sample and the next, in [0, 1]."""

    def interpolate(self, samples: Float[Tensor, "batch ray sample dim"]) -> Float[Tensor, "batch ray level dim"]:
        """A quantity known at the samples of a ray, at its crossings."""
        index = self.interval[..., None].expand(*self.interval.shape, samples.shape[-1])
        near, far = samples.gather(2, index), samples.gather(2, index + 1)
        return torch.lerp(near, far, self.fraction[..., None])


def first_crossings(s: Float[Tensor, "batch ray sample"], levels: Float[Tensor, "level"]) -> Crossings:
    """The first crossing of every level along every ray, which counts only where s falls there.

    A level whose first crossing rises is missed, even if s falls through it later (method, section 1, step 3).
    Differentiable in s through the fraction.
    """
    above = s[..., None, :] >= levels[:, None]                         # (B, R, L, S)
    changes = above[..., 1:] != above[..., :-1]                        # (B, R, L, S-1)
    interval = changes.to(torch.uint8).argmax(dim=-1)                  # first True; 0 where there is none
    falls = above[..., :-1] & changes
    hit = falls.gather(-1, interval[..., None])[..., 0]                # (B, R, L)
    interval = torch.where(hit, interval, 0)
    s_near, s_far = s.gather(-1, interval), s.gather(-1, interval + 1)
    fraction = torch.where(hit, fraction_between(s_near, s_far, levels), 0.0)
    return Crossings(hit, interval, fraction)


def fraction_between(
    s_near: Float[Tensor, "*batch"], s_far: Float[Tensor, "*batch"], level: Float[Tensor, "*#batch"]
) -> Float[Tensor, "*batch"]:
    """How far the level lies between two samples between which s falls, in [0, 1]; 0 where it does not fall."""
    span = s_near - s_far
    falls = span > 0
    span = torch.where(falls, span, 1.0)                               # no 0 / 0, in the gradient neither
    return torch.where(falls, (s_near - level) / span, 0.0).clamp(0, 1)
