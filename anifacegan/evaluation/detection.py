"""Face detection: the share of generated images in which a face detector finds a face.

The yaw of the detected face's landmarks is compared with the yaw of the camera that rendered the image.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor
from tqdm import tqdm

from anifacegan.evaluation.bootstrap import BootstrapStatistics, Draws, Weights, weighted_mean
from anifacegan.evaluation.face_detector import DetectedFace, head_yaw


@dataclass(frozen=True)
class Detection:
    """Results of a face detector on generated images.

    The images show the named expressions of the model, at yaws from -0.35 to 0.35 radians.
    """

    detection_rate: float
    """Share of the images in which a face is found."""
    yaw_r: float
    """Pearson's correlation, over the images in which a face is found, of the camera's yaw with the yaw of the detected
    landmarks; nan if undefined."""
    yaw_error_deg: float
    """Mean absolute difference, over the images in which a face is found, between the camera's yaw and the yaw of the
    detected landmarks, degrees; nan if no face is found."""
    images: int
    """Number of images."""
    people: int
    """Number of people."""
    expressions: int
    """Number of images of each person."""


@dataclass(frozen=True)
class DetectionItems:
    """Two yaw angles of each image, radians: that of the camera, and that of the detected face."""

    target_yaw: Float[np.ndarray, "person image"]
    """Yaw of the camera that rendered the image."""
    measured_yaw: Float[np.ndarray, "person image"]
    """Yaw of the detected landmarks; nan if no face is found."""

    def report(self) -> Detection:
        """Return the detection rate over all images, and how well the two yaws agree over the images with a face."""
        detected = np.isfinite(self.measured_yaw)
        target, measured = self.target_yaw[detected], self.measured_yaw[detected]
        error = float(np.rad2deg(np.abs(target - measured)).mean()) if len(measured) else math.nan
        return Detection(
            detection_rate=float(detected.mean()),
            yaw_r=pearson_correlation(target.tolist(), measured.tolist()),
            yaw_error_deg=error,
            images=detected.size,
            people=detected.shape[0],
            expressions=detected.shape[1],
        )

    def bootstrap_statistics(self) -> BootstrapStatistics:
        """Return a function that recomputes ``detection_rate``, the share of images in which a face is found, from
        bootstrap samples of the people.
        """
        rate = np.isfinite(self.measured_yaw).mean(axis=1)  # (person,)

        def compute(weights: Sequence[Weights]) -> dict[str, Draws]:
            return {"detection_rate": weighted_mean(weights[0], rate)}

        return BootstrapStatistics({"people": len(rate)}, compute)


def detection_items(
    find: Callable[[UInt8[np.ndarray, "height width 3"]], DetectedFace | None],
    images: UInt8[Tensor, "item 3 size size"],
    yaw: Float[Tensor, "item"],
    people: int,
    mean_face: Float[np.ndarray, "68 3"],
) -> DetectionItems:
    """Run a detector on images that are ordered by person, with the same number of images for each person.

    Args:
        find: function that returns the face it finds in an image, or None, such as
            :meth:`anifacegan.evaluation.face_detector.FaceDetector.find`.
        yaw: yaw of each image's camera, radians.
        people: number of people.
        mean_face: the face model's mean landmarks, y up, in any unit.
    """
    measured = np.full(len(images), np.nan)
    for k, image in enumerate(tqdm(images, desc="detector", unit="image", disable=None, leave=False)):
        face = find(image.permute(1, 2, 0).contiguous().numpy())
        if face is not None:
            measured[k] = head_yaw(face.landmarks, mean_face)
    target = yaw.cpu().double().numpy()
    return DetectionItems(target.reshape(people, -1), measured.reshape(people, -1))


def pearson_correlation(x: Sequence[float], y: Sequence[float]) -> float:
    """Compute Pearson's correlation of x and y.

    It is nan if a value is nan, if there are fewer than two values, or if x or y is constant.
    """
    from scipy.stats import pearsonr  # takes a second to import, needed here only

    if len(x) < 2 or not np.ptp(x) or not np.ptp(y):
        return math.nan
    return float(pearsonr(x, y)[0])
