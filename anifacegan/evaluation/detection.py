"""Does an off-the-shelf detector find a face in every image, and does it see the head turn as the camera does?"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from tqdm import tqdm

from anifacegan.evaluation.bootstrap import BootstrapStatistics, Draws, Weights
from anifacegan.evaluation.face_detector import DetectedFace, head_yaw


@dataclass(frozen=True)
class Detection:
    """Of images with a shipped expression each, yaw within 0.35 radians."""

    found: float
    """Share in which a face is found."""
    yaw_r: float
    """Pearson's correlation of the camera's yaw and the one that the found landmarks show."""
    yaw_error_deg: float
    """Mean absolute difference of these."""
    images: int
    people: int
    expressions: int
    """Of each person."""


@dataclass(frozen=True)
class DetectionItems:
    """Person by person."""

    target_yaw: Float[np.ndarray, "person image"]
    """Radians."""
    measured_yaw: Float[np.ndarray, "person image"]
    """NaN where no face is found."""

    def report(self) -> Detection:
        seen = np.isfinite(self.measured_yaw)
        requested, found = self.target_yaw[seen], self.measured_yaw[seen]
        r = (
            float(np.corrcoef(requested, found)[0, 1])
            if len(found) > 1 and found.std() and requested.std()
            else math.nan
        )
        error = float(np.rad2deg(np.abs(requested - found)).mean()) if len(found) else math.nan
        return Detection(float(seen.mean()), r, error, seen.size, *seen.shape)

    def bootstrap_statistics(self) -> BootstrapStatistics:
        share = np.isfinite(self.measured_yaw).mean(axis=1)  # of each person's images

        def numbers(weights: Sequence[Weights]) -> dict[str, Draws]:
            return {"found": weights[0] @ share / weights[0].sum(axis=1)}

        return BootstrapStatistics({"people": len(share)}, numbers)


def detection_items(
    find: Callable[[UInt8[np.ndarray, "height width 3"]], DetectedFace | None],
    images: UInt8[Tensor, "item 3 size size"],
    yaw: Float[Tensor, "item"],
    people: int,
    mean_face: Float[np.ndarray, "68 3"],
) -> DetectionItems:
    """Look at images, as many of each person, person by person.

    Args:
        find: a detector, such as :meth:`anifacegan.metrics.face_detector.FaceDetector.find`.
        mean_face: landmarks, y up, in any unit.
    """
    found = np.full(len(images), np.nan)
    for k, image in enumerate(tqdm(images, desc="detector", unit="image", disable=None, leave=False)):
        face = find(image.permute(1, 2, 0).contiguous().numpy())
        if face is not None:
            found[k] = head_yaw(face.landmarks, mean_face)
    shape = (people, -1)
    return DetectionItems(
        yaw.cpu().double().numpy().reshape(shape), torch.from_numpy(found).reshape(shape).numpy()
    )
