"""Temporal smoothness: do landmarks in a generated image sequence move as smoothly as they should?

In an expression ramp, a sequence of T images, one person's expression grows from neutral to full strength, slowly at
both ends: its strength in frame k is (1 - cos(pi k / (T - 1))) / 2. The measured landmarks are those that the judge
(the face regressor for evaluation) finds in the images; the target landmarks are those of the coefficients that the
images were generated from. The metric is the mean length of the second difference over time (the acceleration) of the
measured landmarks, divided by that of the target landmarks.
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
    """How smoothly a face moves while an expression grows: mean length of the second difference l(k + 1) - 2 l(k) + l(k
    - 1) of the landmarks l in frame k.
    """

    measured_mm: float
    """Mean length for the landmarks that a face regressor for evaluation measures in the images, millimetres."""
    target_mm: float
    """Mean length for the landmarks of the coefficients that the images were generated from, millimetres."""
    ratio: float
    """``measured_mm`` divided by ``target_mm``: 1 is as smooth as the target; nan if the target does not move."""
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
    """Mean length of the landmarks' second difference over time in each ramp, an image sequence in which a person's
    expression grows (CPU).
    """

    measured_mm: Float[Tensor, "ramp"]
    """Mean length for the landmarks that a face regressor for evaluation measures in the images, millimetres."""
    target_mm: Float[Tensor, "ramp"]
    """Mean length for the landmarks of the coefficients that the images were generated from, millimetres."""
    frames: int
    """Number of images in each expression ramp."""

    def report(self) -> Smoothness:
        """Return the lengths averaged over all image sequences, and their ratio."""
        measured, target = float(self.measured_mm.mean()), float(self.target_mm.mean())
        return Smoothness(
            measured_mm=measured,
            target_mm=target,
            ratio=measured / target if target > 0 else math.nan,
            ramps=len(self.measured_mm),
            frames=self.frames,
        )

    def bootstrap_statistics(self) -> BootstrapStatistics:
        """Return ``ratio_from_1``, |ratio - 1|, as a statistic over bootstrap samples of the image sequences.

        ``ratio`` is the acceleration of the measured landmarks divided by that of the target landmarks: below 1 the
        face moves less than it should, above 1 it jitters.
        """
        measured, target = self.measured_mm.numpy(), self.target_mm.numpy()

        def compute(weights: Sequence[Weights]) -> dict[str, Draws]:
            return {"ratio_from_1": np.abs(weighted_ratio(weights[0], measured, target) - 1)}

        return BootstrapStatistics({"ramps": len(measured)}, compute)


def smoothness_items(
    measured: Float[Tensor, "ramp frame 68 3"], target: Float[Tensor, "ramp frame 68 3"]
) -> SmoothnessItems:
    """Compute the second differences over time of landmarks in image sequences (ramps) of at least three images.

    Args:
        measured: landmarks that were measured in the images, without the head pose, millimetres.
        target: landmarks of the coefficients that the images were generated from, likewise.
    """
    return SmoothnessItems(_second_difference(measured), _second_difference(target), measured.shape[1])


def _second_difference(landmarks: Float[Tensor, "ramp frame 68 3"]) -> Float[Tensor, "ramp"]:
    difference = landmarks[:, 2:] - 2 * landmarks[:, 1:-1] + landmarks[:, :-2]
    return difference.norm(dim=-1).flatten(1).mean(dim=1).cpu()
