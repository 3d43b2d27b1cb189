"""Does a slow change of expression look slow? Second differences of landmarks over a ramp, against the ramp's own.

The ramp runs from neutral to an expression and is eased at both ends: strength (1 - cos(pi k / (T - 1))) / 2 in frame
k. The face model's landmarks then speed up and slow down a little; what a judge finds in the frames should do no more.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Smoothness:
    """Mean length of l(k + 1) - 2 l(k) + l(k - 1) over landmarks, frames and people."""

    found_mm: float
    """In the frames, by the judge."""
    asked_mm: float
    """Of the ramp itself."""
    ratio: float
    """1 is as smooth as what was asked for."""
    ramps: int
    frames: int


def ramp(frames: int) -> Float[Tensor, "frame"]:
    """Strengths from 0 to 1."""
    return (1 - torch.cos(math.pi * torch.arange(frames) / (frames - 1))) / 2


def smoothness(found: Float[Tensor, "ramp frame 68 3"], asked: Float[Tensor, "ramp frame 68 3"]) -> Smoothness:
    """Landmarks of unposed faces in mm, of at least three frames."""

    def roughness(landmarks: Tensor) -> float:
        second = landmarks[:, 2:] - 2 * landmarks[:, 1:-1] + landmarks[:, :-2]
        return float(second.norm(dim=-1).mean())

    own = roughness(asked)
    rough = roughness(found)
    return Smoothness(rough, own, rough / own if own > 0 else math.nan, *asked.shape[:2])
