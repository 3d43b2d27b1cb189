"""Temporal smoothness: do landmarks in a generated image sequence move as smoothly as they should?

In an expression ramp, a sequence of T images, one person's expression grows from neutral to full strength, slowly at
both ends: its strength in frame k is (1 - cos(pi k / (T - 1))) / 2. The measured landmarks are those that the judge
(the face regressor for evaluation) finds in the images. The target landmarks are those of the coefficients that the
images were generated from. The acceleration of a landmark is the length of the second difference of its position over
time. The metric is the mean acceleration of the measured landmarks divided by that of the target landmarks.
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
    """How smoothly a face moves while an expression grows.

    The acceleration of a landmark is the length of l(k + 1) - 2 l(k) + l(k - 1), where l(k) is its position in frame
    k. It is averaged over all landmarks, frames and ramps.
    """

    measured_mm: float
    """Acceleration of the landmarks that the judge (the face regressor for evaluation) finds in the images, mm."""
    target_mm: float
    """Acceleration of the landmarks of the coefficients that the images were generated from, mm."""
    ratio: float
    """``measured_mm`` divided by ``target_mm``; 1 is as smooth as the target, nan means that the target is still."""
    ramps: int
    """Number of expression ramps (image sequences in which an expression grows)."""
    frames: int
    """Number of images in each expression ramp."""


def eased_strengths(frames: int) -> Float[Tensor, "frame"]:
    """Compute the strength of a growing expression in each frame: from 0 to 1 along half a cosine, slowly at both
    ends."""
    return (1 - torch.cos(math.pi * torch.arange(frames) / (frames - 1))) / 2


@dataclass(frozen=True)
class SmoothnessItems:
    """Acceleration of landmarks in each ramp, an image sequence in which a person's expression grows.

    The acceleration is the length of the landmarks' second difference over time (see :class:`Smoothness`), averaged
    over the landmarks and the frames of a ramp. All tensors are on the CPU.
    """

    measured_mm: Float[Tensor, "ramp"]
    """Acceleration of the landmarks that the judge (the face regressor for evaluation) finds in the images, mm."""
    target_mm: Float[Tensor, "ramp"]
    """Acceleration of the landmarks of the coefficients that the images were generated from, mm."""
    frames: int
    """Number of images in each expression ramp."""

    def report(self) -> Smoothness:
        """Return the measured acceleration and the target acceleration, each averaged over all ramps, and the former
        average divided by the latter.
        """
        measured, target = float(self.measured_mm.mean()), float(self.target_mm.mean())
        return Smoothness(
            measured_mm=measured,
            target_mm=target,
            ratio=measured / target if target > 0 else math.nan,
            ramps=len(self.measured_mm),
            frames=self.frames,
        )

    def bootstrap_statistics(self) -> BootstrapStatistics:
        """Return a function that recomputes ``ratio_from_1``, |ratio - 1|, from bootstrap samples of the ramps.

        ``ratio`` is the mean acceleration of the measured landmarks divided by the mean acceleration of the target
        landmarks. Below 1 the face moves less than it should; above 1 it jitters.
        """
        measured, target = self.measured_mm.numpy(), self.target_mm.numpy()

        def compute(weights: Sequence[Weights]) -> dict[str, Draws]:
            return {"ratio_from_1": np.abs(weighted_ratio(weights[0], measured, target) - 1)}

        return BootstrapStatistics({"ramps": len(measured)}, compute)


def smoothness_items(
    measured: Float[Tensor, "ramp frame 68 3"], target: Float[Tensor, "ramp frame 68 3"]
) -> SmoothnessItems:
    """Compute the accelerations of landmarks in ramps (image sequences) of at least three images.

    Args:
        measured: landmarks that were measured in the images, without the head pose, millimetres.
        target: landmarks of the coefficients that the images were generated from, without the head pose, millimetres.
    """
    return SmoothnessItems(_second_difference(measured), _second_difference(target), measured.shape[1])


def _second_difference(landmarks: Float[Tensor, "ramp frame 68 3"]) -> Float[Tensor, "ramp"]:
    difference = landmarks[:, 2:] - 2 * landmarks[:, 1:-1] + landmarks[:, :-2]
    return difference.norm(dim=-1).flatten(1).mean(dim=1).cpu()
