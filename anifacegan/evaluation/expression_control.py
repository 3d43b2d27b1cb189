"""Does an image show what it was asked for? Codes and camera asked for, against what a judge estimates from it.

    AED   mean over images and coefficients of |exp found - exp asked|; also its root mean square
    APD   mean over images and angles of |angle found - angle asked|, pitch, yaw and roll, degrees; also its RMS
    correlation   Pearson's of each expression coefficient over the images; the mean of the first ten
    landmarks     mean distance of the 68 landmarks of the codes found from those of the codes asked for

Landmarks are compared in the image (codes and camera together, pixels at 128 px) and in space (codes alone, the
unposed face). Interocular distance is that between the centres of the eyes' six landmarks of the asked person's
neutral face, in space; for the image it is taken at distance 1 from the camera, so that turning the head does not
shorten it.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.evaluation.bootstrap import BootstrapStatistics, weighted_correlation, weighted_mean
from anifacegan.evaluation.judge import Judge
from anifacegan.evaluation.targets import MM_PER_WORLD, interocular, target_angle, target_landmarks_px
from anifacegan.face_model.regressed import FIRST_EXPRESSIONS, Reconstruction, correlation
from anifacegan.geometry.cameras import FOV_DEG, orbit_camera
from anifacegan.geometry.conventions import WORLD_PER_MODEL_UNIT
from anifacegan.models.sampling import PosedLatents

SIZE = 128
"""Pixels of the image that landmark errors are stated for."""


@dataclass(frozen=True)
class ExpressionControl:
    """How well expressions and cameras are shown; lower is better but for the correlations."""

    correlation: float
    """Mean of the first ten expression coefficients'."""
    correlation_lowest: float
    """Of the first ten."""
    correlation_all: float
    """Mean of all 64."""
    aed: float
    aed_rms: float
    apd_deg: float
    apd_rms_deg: float
    yaw_deg: float
    """Mean absolute difference."""
    pitch_deg: float
    roll_deg: float
    yaw_correlation: float
    """Pearson's, asked against found."""
    landmarks_px: float
    landmarks_px_interocular: float
    """The same in interocular distances."""
    landmarks_mm: float
    landmarks_mm_interocular: float
    count: int
    correlations: tuple[float, ...]
    """Of the first ten coefficients, one by one."""


@dataclass(frozen=True)
class ExpressionItems:
    """Image by image, what was asked for and what the judge found."""

    exp_target: Float[Tensor, "item 64"]
    exp_measured: Float[Tensor, "item 64"]
    angle_target: Float[Tensor, "item 3"]
    """Pitch, yaw and roll, degrees."""
    angle_measured: Float[Tensor, "item 3"]
    landmarks_px: Float[Tensor, "item"]
    """Mean distance of a face's landmarks in its image."""
    landmarks_mm: Float[Tensor, "item"]
    """In space, unposed."""
    px_per_interocular: Float[Tensor, "item"]
    mm_per_interocular: Float[Tensor, "item"]

    def report(self) -> ExpressionControl:
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
        found, requested = (
            exp[:, :FIRST_EXPRESSIONS].numpy() for exp in (self.exp_measured, self.exp_target)
        )
        means = {
            "aed": (self.exp_measured - self.exp_target).abs().mean(dim=1).numpy(),
            "apd_deg": (self.angle_measured - self.angle_target).abs().mean(dim=1).numpy(),
            "landmarks_mm_interocular": (self.landmarks_mm / self.mm_per_interocular).numpy(),
        }
        return BootstrapStatistics(
            {"images": len(found)},
            lambda weights: {
                "correlation": weighted_correlation(weights[0], found, requested).mean(axis=1),
                **{name: weighted_mean(weights[0], values) for name, values in means.items()},
            },
        )


@torch.no_grad()
def expression_items(
    requested: PosedLatents, found: Reconstruction, judge: Judge, fov_deg: float = FOV_DEG
) -> ExpressionItems:
    """Compare views with what the judge found in their images, both on the judge's device.

    The result is image by image, in host memory.
    """
    model_unit = WORLD_PER_MODEL_UNIT
    target = judge.landmarks.unposed(requested.latents.z_id, requested.latents.z_exp)  # (B, 68, 3)
    in_space = model_unit * (judge.landmarks.unposed(found.id, found.exp) - target).norm(
        dim=-1
    )  # world units
    wanted_px = target_landmarks_px(judge.landmarks, judge.world_offset, requested, SIZE, fov_deg)
    in_image = wanted_px - judge.landmarks.pixels(found, SIZE)
    focal_px = orbit_camera(
        yaw=requested.pose[:1, 1], pitch=requested.pose[:1, 0], size=SIZE, fov_deg=fov_deg
    ).focal_px
    neutral = judge.landmarks.unposed(requested.latents.z_id, torch.zeros_like(requested.latents.z_exp))
    eyes = model_unit * interocular(neutral)  # (B,) world units
    return ExpressionItems(
        exp_target=requested.latents.z_exp.cpu(),
        exp_measured=found.exp.cpu(),
        angle_target=torch.rad2deg(target_angle(requested.pose)).cpu(),
        angle_measured=torch.rad2deg(found.angle).cpu(),
        landmarks_px=in_image.norm(dim=-1).mean(dim=1).cpu(),
        landmarks_mm=MM_PER_WORLD * in_space.mean(dim=1).cpu(),
        px_per_interocular=(focal_px * eyes).cpu(),
        mm_per_interocular=(MM_PER_WORLD * eyes).cpu(),
    )
