"""Temporal smoothness: second differences of the measured landmarks over an expression ramp, relative to the target.

The expression goes from neutral to full strength and is eased at both ends: its strength in frame k of T is
(1 - cos(pi k / (T - 1))) / 2. The landmarks that the judge measures should accelerate no more than the target ones.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.evaluation.bootstrap import BootstrapStatistics, Draws, Weights, weighted_ratio


@dataclass(frozen=True)
class Smoothness:
    """Mean length of the landmarks' second difference l(k + 1) - 2 l(k) + l(k - 1)."""

    measured_mm: float
    """Second difference of the measured landmarks, millimetres."""
    target_mm: float
    """Second difference of the target landmarks, millimetres."""
    ratio: float
    """``measured_mm`` over ``target_mm``; 1 is as smooth as the target, nan if the target does not move."""
    ramps: int
    """Number of expression ramps."""
    frames: int
    """Number of frames of each ramp."""


def eased_strengths(frames: int) -> Float[Tensor, "frame"]:
    """Compute the strength of the expression in each frame, from 0 to 1 with a cosine easing."""
    return (1 - torch.cos(math.pi * torch.arange(frames) / (frames - 1))) / 2


@dataclass(frozen=True)
class SmoothnessItems:
    """Mean length of the landmarks' second difference in each ramp (CPU)."""

    measured_mm: Float[Tensor, "ramp"]
    """Second difference of the measured landmarks, millimetres."""
    target_mm: Float[Tensor, "ramp"]
    """Second difference of the target landmarks, millimetres."""
    frames: int
    """Number of frames of each ramp."""

    def report(self) -> Smoothness:
        """Average over the ramps."""
        measured, target = float(self.measured_mm.mean()), float(self.target_mm.mean())
        return Smoothness(
            measured_mm=measured,
            target_mm=target,
            ratio=measured / target if target > 0 else math.nan,
            ramps=len(self.measured_mm),
            frames=self.frames,
        )

    def bootstrap_statistics(self) -> BootstrapStatistics:
        """Return ``ratio_from_1``, the distance of the ratio from 1, as a statistic over resampled ramps.

        Below 1 the face moves less than it should, above 1 it jitters.
        """
        measured, target = self.measured_mm.numpy(), self.target_mm.numpy()

        def compute(weights: Sequence[Weights]) -> dict[str, Draws]:
            return {"ratio_from_1": np.abs(weighted_ratio(weights[0], measured, target) - 1)}

        return BootstrapStatistics({"ramps": len(measured)}, compute)


def smoothness_items(
    measured: Float[Tensor, "ramp frame 68 3"], target: Float[Tensor, "ramp frame 68 3"]
) -> SmoothnessItems:
    """Compute the second differences of landmarks over ramps of at least three frames.

    Both arguments are landmarks of unposed faces, millimetres.
    """
    return SmoothnessItems(_second_difference(measured), _second_difference(target), measured.shape[1])


def _second_difference(landmarks: Float[Tensor, "ramp frame 68 3"]) -> Float[Tensor, "ramp"]:
    difference = landmarks[:, 2:] - 2 * landmarks[:, 1:-1] + landmarks[:, :-2]
    return difference.norm(dim=-1).flatten(1).mean(dim=1).cpu()
