"""Intersections of rays with manifolds, which are level sets of a scalar field s.

The field is sampled along a ray, and the first crossing of each level is interpolated between two samples (GRAM, Deng
et al. 2022).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Crossings:
    """First crossings of rays with level sets of a sampled field; for a level that a ray misses, hit is False, interval
    0 and fraction 0."""

    hit: Bool[Tensor, "batch ray level"]
    """Whether the ray meets the level."""
    interval: Int[Tensor, "batch ray level"]
    """Index of the last sample of the ray before the crossing."""
    fraction: Float[Tensor, "batch ray level"]
    """Position of the crossing between the sample with the index ``interval`` (0) and the next sample (1)."""

    def interpolate(
        self, samples: Float[Tensor, "batch ray sample dim"]
    ) -> Float[Tensor, "batch ray level dim"]:
        """Interpolate a quantity, given at the samples of each ray, linearly at the ray's crossings.

        For a level that a ray misses, the value is that of the ray's first sample.
        """
        index = self.interval[..., None].expand(*self.interval.shape, samples.shape[-1])
        near, far = samples.gather(2, index), samples.gather(2, index + 1)
        return torch.lerp(near, far, self.fraction[..., None])


def first_crossings(s: Float[Tensor, "batch ray sample"], levels: Float[Tensor, "level"]) -> Crossings:
    """Find the first crossing of every level along every ray, from values ``s`` of the field at the ray's samples.

    The crossing is a hit only if s falls below the level there. A level that s first rises through is missed, even if s
    falls through it later (as in GRAM, Deng et al. 2022). Differentiable in s through the fraction.
    """
    above = s[..., None, :] >= levels[:, None]  # (B, R, L, S)
    changes = above[..., 1:] != above[..., :-1]  # (B, R, L, S-1)
    interval = changes.to(torch.uint8).argmax(dim=-1)  # first True; 0 where there is none
    falls = above[..., :-1] & changes
    hit = falls.gather(-1, interval[..., None])[..., 0]  # (B, R, L)
    interval = torch.where(hit, interval, 0)
    s_near, s_far = s.gather(-1, interval), s.gather(-1, interval + 1)
    fraction = torch.where(hit, fraction_between(s_near, s_far, levels), 0.0)
    return Crossings(hit, interval, fraction)


def fraction_between(
    s_near: Float[Tensor, "*batch"], s_far: Float[Tensor, "*batch"], level: Float[Tensor, "*#batch"]
) -> Float[Tensor, "*batch"]:
    """Locate a level between two neighbouring samples of a field on a ray, by linear interpolation.

    Returned is a position from 0 (at ``s_near``) to 1 (at ``s_far``); 0 where ``s_far`` is not below ``s_near``.
    """
    span = s_near - s_far
    falls = span > 0
    span = torch.where(falls, span, 1.0)  # no 0 / 0, in the gradient neither
    return torch.where(falls, (s_near - level) / span, 0.0).clamp(0, 1)
