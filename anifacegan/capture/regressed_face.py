"""The face regressor R as a second witness of a face: its estimate in the fitted crop, with its errors' covariance."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, UInt8

from anifacegan.capture.crop import Crop, Photograph
from anifacegan.capture.face_points import SIDES_PER_MODEL_UNIT, camera_axes
from anifacegan.capture.fit import LandmarkFit, LandmarkFitter
from anifacegan.capture.priors import Estimate
from anifacegan.data.mirroring import Mirroring
from anifacegan.face_model.regressed import FIELD_COLUMNS, pose_of
from anifacegan.geometry.cameras import RECONSTRUCTION_DISTANCE, euler_from_rotation
from anifacegan.models.face_regressor import FaceRegressor

CROP_PX = 256
"""Size of the crops that R sees, pixels."""
USUAL_RATIO, DOUBT = 2.8, 6.5
"""The chi-squared statistic of R's difference from the landmarks, over its mean, above which R is doubted, and the
power of the quotient by which its covariance grows. Half of 300 synthetic faces have a smaller statistic; those of the
two photographs of scripts/check_own_face.py are 4.2 and 4.7."""
ROUNDS = 2
"""How often R looks at the face to find its crop, each time in the crop that its last estimate corrected."""
ZOOMS = (0.94, 1.0, 1.06)
"""Sides of the crops whose estimates are averaged, as shares of that of the found crop. Their errors differ: on 150
synthetic portraits the mean of three is wrong by 1.18 degrees of pitch, one alone by 1.23."""


@dataclass(frozen=True)
class RegressedFace:
    """R's estimate of one face: the mean over some crops and their mirror images."""

    crop: Crop
    """What the generator's camera sees of the photograph, in R's view."""
    numbers: Float[np.ndarray, "150"]
    """Numbers of an :class:`anifacegan.capture.priors.Estimate`: the crop's own are 0."""
    tex: Float[np.ndarray, "80"]
    """Texture coefficients."""
    gamma: Float[np.ndarray, "27"]
    """Spherical-harmonics light."""


def regressed_face(
    network: FaceRegressor, mirroring: Mirroring, photograph: Photograph, crop: Crop
) -> RegressedFace:
    """Estimate a face of a photograph with R, beginning in the crop ``crop``.

    R also estimates where the face is. In the generator's crop of the open face model that is the middle, without roll;
    so another place corrects the crop.
    """
    for _ in range(ROUNDS):
        fields, pose = _mean_estimate(network, mirroring, [crop.cut(photograph, CROP_PX)])
        crop = _corrected(crop, fields["angle"], fields["trans"], pose)
    zoomed = [replace(crop, side=zoom * crop.side).cut(photograph, CROP_PX) for zoom in ZOOMS]
    fields, pose = _mean_estimate(network, mirroring, zoomed)
    numbers = np.concatenate([pose, fields["id"], fields["exp"], np.zeros(4)])
    return RegressedFace(crop, numbers, fields["tex"], fields["gamma"])


@torch.no_grad()
def _mean_estimate(
    network: FaceRegressor, mirroring: Mirroring, images: list[UInt8[np.ndarray, "size size 3"]]
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Run R on images of one face and their mirror images; return the means of the coefficients and of (pitch, yaw)."""
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    rows = mirroring.estimates_of_both(network, pixels).double().flatten(0, 1)
    pose = pose_of(rows[:, FIELD_COLUMNS["angle"]]).mean(dim=0).numpy()
    return {name: rows[:, columns].mean(dim=0).numpy() for name, columns in FIELD_COLUMNS.items()}, pose


def _corrected(crop: Crop, angle: np.ndarray, trans: np.ndarray, pose: np.ndarray) -> Crop:
    """Return the crop in which a face of this pose is in the middle, at the generator's distance, without roll."""
    upright = euler_from_rotation(torch.from_numpy(camera_axes(*pose.tolist()))[None])[0, 2].item()
    x, y = crop.to_photograph(SIDES_PER_MODEL_UNIT * trans[:2] * np.array([1.0, -1.0])).tolist()
    side = crop.side * RECONSTRUCTION_DISTANCE / (RECONSTRUCTION_DISTANCE - float(trans[2]))
    return Crop(x, y, side, crop.roll - (float(angle[2]) - upright))


def weighted_estimate(
    face: RegressedFace, fit: LandmarkFit, fitter: LandmarkFitter, landmarks: Float[np.ndarray, "478 2"]
) -> Estimate:
    """Turn R's estimate into one with a covariance, which grows where R contradicts the landmarks.

    R has seen synthetic images only, and errs more in photographs. If its difference from the fit to the landmarks is
    larger, by both covariances (a chi-squared statistic over its mean), than is usual for synthetic faces, its
    covariance is multiplied by a power of the excess; but that of pitch and yaw, which landmarks say worse. The
    population joins with the weight that the estimate loses.
    """
    correspondence = fitter.correspondence
    mean, covariance = face.numbers + correspondence.regressor_mean, correspondence.regressor_covariance
    columns, offset = fitter.estimated_columns(face.crop, landmarks)
    spread = columns @ np.linalg.solve(fit.normal, columns.T) + covariance
    apart = mean - columns @ fitter.unknowns(fit, landmarks) - offset
    ratio = float(apart @ np.linalg.solve(spread, apart)) / len(apart)
    growth = max(1.0, ratio / USUAL_RATIO) ** DOUBT
    wider = np.full(len(mean), np.sqrt(growth))
    wider[:2] = 1.0
    return Estimate(face.crop, mean, covariance * np.outer(wider, wider), belief=1 / growth)
