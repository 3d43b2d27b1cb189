"""Does a slow change of expression look slow? Second differences of landmarks over a ramp, against the ramp's own.

The ramp runs from neutral to an expression and is eased at both ends: strength (1 - cos(pi k / (T - 1))) / 2 in frame
k. The face model's landmarks then speed up and slow down a little; what a judge finds in the frames should do no more.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.evaluation.bootstrap import BootstrapStatistics, weighted_ratio


@dataclass(frozen=True)
class Smoothness:
    """Mean length of l(k + 1) - 2 l(k) + l(k - 1) over landmarks, frames and people."""

    measured_mm: float
    """In the frames, by the judge."""
    target_mm: float
    """Of the ramp itself."""
    ratio: float
    """1 is as smooth as what was asked for."""
    ramps: int
    frames: int


def ramp(frames: int) -> Float[Tensor, "frame"]:
    """Strengths from 0 to 1."""
    return (1 - torch.cos(math.pi * torch.arange(frames) / (frames - 1))) / 2


@dataclass(frozen=True)
class SmoothnessItems:
    """Ramp by ramp, the mean length of the second difference; host memory."""

    measured_mm: Float[Tensor, "ramp"]
    target_mm: Float[Tensor, "ramp"]
    frames: int

    def report(self) -> Smoothness:
        rough, own = float(self.measured_mm.mean()), float(self.target_mm.mean())
        return Smoothness(
            rough, own, rough / own if own > 0 else math.nan, len(self.measured_mm), self.frames
        )

    def bootstrap_statistics(self) -> BootstrapStatistics:
        """How far the ratio is from 1: rougher, or not moving as asked."""
        found, requested = self.measured_mm.numpy(), self.target_mm.numpy()
        return BootstrapStatistics(
            {"ramps": len(found)},
            lambda weights: {"ratio_from_1": np.abs(weighted_ratio(weights[0], found, requested) - 1)},
        )


def smoothness(
    found: Float[Tensor, "ramp frame 68 3"], requested: Float[Tensor, "ramp frame 68 3"]
) -> Smoothness:
    """Landmarks of unposed faces in mm, of at least three frames."""
    return smoothness_items(found, requested).report()


def smoothness_items(
    found: Float[Tensor, "ramp frame 68 3"], requested: Float[Tensor, "ramp frame 68 3"]
) -> SmoothnessItems:
    """The same ramp by ramp."""

    def roughness(landmarks: Tensor) -> Tensor:
        second = landmarks[:, 2:] - 2 * landmarks[:, 1:-1] + landmarks[:, :-2]
        return second.norm(dim=-1).flatten(1).mean(dim=1).cpu()

    return SmoothnessItems(roughness(found), roughness(requested), found.shape[1])
