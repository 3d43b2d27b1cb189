"""Expression control: how well generated faces show the expression and the camera pose that they were generated with.

The generator renders images from target face coefficients and target cameras. The judge, a face regressor that is only
used for evaluation, estimates coefficients and head angles in these images: the measured values. The report compares
them with the targets.

    AED           mean over images and expression coefficients of |measured - target|
    APD           mean over images and the angles pitch, yaw and roll of |measured - target|, degrees
    correlation   Pearson's correlation of measured and target values over the images, for each expression coefficient;
                  the report gives the mean over the first ten coefficients
    landmarks     mean distance between the face model's 68 landmarks for the measured and for the target values

For AED and APD the report also gives the root mean square. Landmarks are compared twice. In the image, coefficients and
camera both count; the unit is pixels of a 128 px image. In space only the coefficients count, without the head pose;
the unit is millimetres.

Landmark distances are also given divided by the interocular distance, the distance between the centres of the two eyes
on the person's neutral face. For distances in the image, the interocular distance is the one that a frontal face at
distance 1 from the camera has in the image. So the divisor does not shrink when the head turns.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.evaluation.bootstrap import (
    BootstrapStatistics,
    Draws,
    Weights,
    weighted_correlation,
    weighted_mean,
)
from anifacegan.evaluation.judge import Judge
from anifacegan.evaluation.targets import MM_PER_WORLD, interocular, target_angle, target_landmarks_px
from anifacegan.face_model.regressed import FIRST_EXPRESSIONS, Reconstruction, correlation
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.geometry.conventions import FOV_DEG, WORLD_PER_MODEL_UNIT
from anifacegan.models.latent_sampling import PosedLatents

SIZE = 128
"""Height and width of an image, pixels: landmark errors are reported in pixels of an image of this size."""


@dataclass(frozen=True)
class ExpressionControl:
    """How well generated images show the expression and the camera pose that they were generated from.

    Target values are those that an image was generated from. Measured values are those that the judge, a face regressor
    that is only used for evaluation, estimates in the image. All means and correlations are taken over the images.
    Lower is better except for the correlations.
    """

    correlation: float
    """Pearson's correlation of measured and target values of an expression coefficient, averaged over the first ten
    coefficients."""
    correlation_lowest: float
    """Lowest of the correlations of the first ten expression coefficients."""
    correlation_all: float
    """Pearson's correlation of measured and target values of an expression coefficient, averaged over all 64
    coefficients."""
    aed: float
    """Mean absolute difference between measured and target expression coefficients."""
    aed_rms: float
    """Root mean square difference between measured and target expression coefficients."""
    apd_deg: float
    """Mean absolute difference between measured and target pitch, yaw and roll, degrees."""
    apd_rms_deg: float
    """Root mean square difference between measured and target pitch, yaw and roll, degrees."""
    yaw_deg: float
    """Mean absolute difference between measured and target yaw, degrees."""
    pitch_deg: float
    """Mean absolute difference between measured and target pitch, degrees."""
    roll_deg: float
    """Mean absolute difference between measured and target roll, degrees."""
    yaw_correlation: float
    """Pearson's correlation of measured and target yaw."""
    landmarks_px: float
    """Mean distance between measured and target landmarks in the image, pixels of a 128 px image."""
    landmarks_px_interocular: float
    """Distance between measured and target landmarks in the image, divided by the interocular distance in the image of
    a frontal neutral face; mean over landmarks and images."""
    landmarks_mm: float
    """Mean distance between measured and target landmarks in space, without the head pose, millimetres."""
    landmarks_mm_interocular: float
    """Distance between measured and target landmarks in space, divided by the interocular distance of the neutral face;
    mean over landmarks and images."""
    count: int
    """Number of images."""
    correlations: tuple[float, ...]
    """Pearson's correlation of measured and target values of each of the first ten expression coefficients."""


@dataclass(frozen=True)
class ExpressionItems:
    """Target values and measured values of each image.

    Target values are those that the image was generated from. Measured values are those that the judge, a face
    regressor that is only used for evaluation, estimates in the image. All tensors are on the CPU.
    """

    exp_target: Float[Tensor, "item 64"]
    """Expression coefficients that each image was generated from."""
    exp_measured: Float[Tensor, "item 64"]
    """Expression coefficients that the judge measured in each image."""
    angle_target: Float[Tensor, "item 3"]
    """Pitch, yaw and roll that each image was generated from, degrees."""
    angle_measured: Float[Tensor, "item 3"]
    """Pitch, yaw and roll that the judge measured in each image, degrees."""
    landmarks_px: Float[Tensor, "item"]
    """Mean distance between measured and target landmarks in the image, pixels of a 128 px image."""
    landmarks_mm: Float[Tensor, "item"]
    """Mean distance between measured and target landmarks in space, without the head pose, millimetres."""
    px_per_interocular: Float[Tensor, "item"]
    """Interocular distance that the neutral face, frontal and at distance 1 from the camera, has in a 128 px image,
    pixels."""
    mm_per_interocular: Float[Tensor, "item"]
    """Interocular distance of the neutral face, millimetres."""

    def report(self) -> ExpressionControl:
        """Return differences and correlations of measured and target values over all images."""
        exp, angle = self.exp_measured - self.exp_target, self.angle_measured - self.angle_target
        correlations = correlation(self.exp_measured, self.exp_target)
        first = correlations[:FIRST_EXPRESSIONS]
        pitch, yaw, roll = angle.abs().mean(dim=0).tolist()
        return ExpressionControl(
            correlation=float(first.mean()),
            correlation_lowest=float(first.min()),
            correlation_all=float(correlations.mean()),
            aed=float(exp.abs().mean()),
            aed_rms=math.sqrt(exp.square().mean()),
            apd_deg=float(angle.abs().mean()),
            apd_rms_deg=math.sqrt(angle.square().mean()),
            yaw_deg=yaw,
            pitch_deg=pitch,
            roll_deg=roll,
            yaw_correlation=float(correlation(self.angle_measured[:, 1:2], self.angle_target[:, 1:2])),
            landmarks_px=float(self.landmarks_px.mean()),
            landmarks_px_interocular=float((self.landmarks_px / self.px_per_interocular).mean()),
            landmarks_mm=float(self.landmarks_mm.mean()),
            landmarks_mm_interocular=float((self.landmarks_mm / self.mm_per_interocular).mean()),
            count=len(exp),
            correlations=tuple(first.tolist()),
        )

    def bootstrap_statistics(self) -> BootstrapStatistics:
        """Return a function that recomputes four numbers of the report from bootstrap samples of the images.

        They are ``correlation``, ``aed``, ``apd_deg`` and ``landmarks_mm_interocular``.
        """
        measured = self.exp_measured[:, :FIRST_EXPRESSIONS].numpy()
        target = self.exp_target[:, :FIRST_EXPRESSIONS].numpy()
        means = {
            "aed": (self.exp_measured - self.exp_target).abs().mean(dim=1).numpy(),
            "apd_deg": (self.angle_measured - self.angle_target).abs().mean(dim=1).numpy(),
            "landmarks_mm_interocular": (self.landmarks_mm / self.mm_per_interocular).numpy(),
        }

        def compute(weights: Sequence[Weights]) -> dict[str, Draws]:
            correlations = weighted_correlation(weights[0], measured, target)
            return {
                "correlation": correlations.mean(axis=1),
                **{name: weighted_mean(weights[0], values) for name, values in means.items()},
            }

        return BootstrapStatistics({"images": len(measured)}, compute)


@torch.no_grad()
def expression_items(
    views: PosedLatents, measured: Reconstruction, judge: Judge, fov_deg: float = FOV_DEG
) -> ExpressionItems:
    """Compare the latents and poses that images were generated from with the values that the judge measured in them.

    The judge is a face regressor that is only used for evaluation.

    Args:
        views: latents and poses that the images were generated from, on the judge's device.
        measured: coefficients that the judge measured in the images, on the judge's device.
        judge: the face regressor, with the landmarks of its face model.
        fov_deg: field of view of the images, degrees.
    """
    z_id, z_exp = views.latents.z_id, views.latents.z_exp
    landmarks = judge.landmarks
    offset = landmarks.unposed(measured.id, measured.exp) - landmarks.unposed(z_id, z_exp)  # (B, 68, 3)
    distance = WORLD_PER_MODEL_UNIT * offset.norm(dim=-1)  # (B, 68) world units
    target_px = target_landmarks_px(landmarks, judge.world_offset, views, SIZE, fov_deg)
    distance_px = (target_px - landmarks.pixels(measured, SIZE)).norm(dim=-1)  # (B, 68)
    yaw, pitch = views.pose[:1, 1], views.pose[:1, 0]
    focal_px = orbit_camera(yaw=yaw, pitch=pitch, size=SIZE, fov_deg=fov_deg).focal_px
    neutral = landmarks.unposed(z_id, torch.zeros_like(z_exp))
    eyes = WORLD_PER_MODEL_UNIT * interocular(neutral)  # (B,) world units
    return ExpressionItems(
        exp_target=z_exp.cpu(),
        exp_measured=measured.exp.cpu(),
        angle_target=torch.rad2deg(target_angle(views.pose)).cpu(),
        angle_measured=torch.rad2deg(measured.angle).cpu(),
        landmarks_px=distance_px.mean(dim=1).cpu(),
        landmarks_mm=MM_PER_WORLD * distance.mean(dim=1).cpu(),
        px_per_interocular=(focal_px * eyes).cpu(),
        mm_per_interocular=(MM_PER_WORLD * eyes).cpu(),
    )
