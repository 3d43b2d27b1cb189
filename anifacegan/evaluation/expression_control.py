"""Expression control: target coefficients and camera of each image against what the judge measures in it.

    AED   mean over images and coefficients of |measured exp - target exp|; also its root mean square
    APD   mean over images and angles of |measured angle - target angle|, pitch, yaw and roll, degrees; also its RMS
    correlation   Pearson's, of each expression coefficient over the images; the mean of the first ten
    landmarks     mean distance of the 68 landmarks of the measured coefficients from those of the target ones

Landmarks are compared in the image (coefficients and camera together, in pixels of a 128 px image) and in space
(coefficients only, unposed). The interocular distance is that between the centres of the two eyes' landmarks on the
person's neutral face in space; for the image it is projected at distance 1 from the camera, so that it does not
shorten when the head turns.
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
from anifacegan.geometry.cameras import FOV_DEG, orbit_camera
from anifacegan.geometry.conventions import WORLD_PER_MODEL_UNIT
from anifacegan.models.sampling import PosedLatents

SIZE = 128
"""Height and width of the image in whose pixels landmark errors are reported."""


@dataclass(frozen=True)
class ExpressionControl:
    """Agreement of measured and target expressions and cameras; lower is better except for the correlations."""

    correlation: float
    """Mean correlation of the first ten expression coefficients."""
    correlation_lowest: float
    """Lowest correlation of the first ten expression coefficients."""
    correlation_all: float
    """Mean correlation of all 64 expression coefficients."""
    aed: float
    """Mean absolute difference of the expression coefficients."""
    aed_rms: float
    """Root mean square difference of the expression coefficients."""
    apd_deg: float
    """Mean absolute difference of pitch, yaw and roll, degrees."""
    apd_rms_deg: float
    """Root mean square difference of pitch, yaw and roll, degrees."""
    yaw_deg: float
    """Mean absolute difference."""
    pitch_deg: float
    roll_deg: float
    yaw_correlation: float
    """Pearson's correlation of measured and target yaw."""
    landmarks_px: float
    """Mean landmark distance in the image, pixels."""
    landmarks_px_interocular: float
    """Mean landmark distance in the image, in interocular distances."""
    landmarks_mm: float
    """Mean landmark distance in space, millimetres."""
    landmarks_mm_interocular: float
    """Mean landmark distance in space, in interocular distances."""
    count: int
    """Number of images."""
    correlations: tuple[float, ...]
    """Correlation of each of the first ten expression coefficients."""


@dataclass(frozen=True)
class ExpressionItems:
    """Target and measured values of each image (CPU)."""

    exp_target: Float[Tensor, "item 64"]
    """Target expression coefficients."""
    exp_measured: Float[Tensor, "item 64"]
    """Measured expression coefficients."""
    angle_target: Float[Tensor, "item 3"]
    """Target pitch, yaw and roll, degrees."""
    angle_measured: Float[Tensor, "item 3"]
    """Measured pitch, yaw and roll, degrees."""
    landmarks_px: Float[Tensor, "item"]
    """Mean landmark distance in the image, pixels."""
    landmarks_mm: Float[Tensor, "item"]
    """Mean landmark distance of the unposed face, millimetres."""
    px_per_interocular: Float[Tensor, "item"]
    """Interocular distance in pixels at distance 1 from the camera."""
    mm_per_interocular: Float[Tensor, "item"]
    """Interocular distance in millimetres."""

    def report(self) -> ExpressionControl:
        """Average over the images."""
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
        """Return the correlation, AED, APD and landmark distance as statistics over resampled images."""
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
    """Compare target latents and poses with the coefficients that the judge measured in their images.

    Args:
        views: target latents and poses, on the judge's device.
        measured: coefficients of the rendered images, on the judge's device.
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
