"""The face regressor R as a second witness of a face: its estimate in the fitted crop, with its errors' covariance."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8

from anifacegan.capture.correspondence import Correspondence
from anifacegan.capture.fit import LandmarkFit, LandmarkFitter
from anifacegan.capture.priors import Estimate
from anifacegan.data.mirroring import ODD_IN_X, Mirroring
from anifacegan.face_model.coefficients import OPEN_FACE_MODEL
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.regressed import FIELD_COLUMNS, pose_of
from anifacegan.models.face_regressor import FaceRegressor


@dataclass(frozen=True)
class RegressedFace:
    """R's estimate of one face, the mean of an image's and its mirror image's."""

    numbers: Float[np.ndarray, "146"]
    """Pitch and yaw (radians), identity and expression coefficients."""
    tex: Float[np.ndarray, "80"]
    """Texture coefficients."""
    gamma: Float[np.ndarray, "27"]
    """Spherical-harmonics light."""


@torch.no_grad()
def regressed_face(
    network: FaceRegressor, mirroring: Mirroring, image: UInt8[np.ndarray, "size size 3"]
) -> RegressedFace:
    """Estimate the face in a crop with R, in the image and in its mirror image."""
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float() / 255
    rows = network(torch.cat([pixels, pixels.flip(3)])).rows()
    pose = pose_of(rows[:, FIELD_COLUMNS["angle"]]).double().numpy()
    fields = {name: rows[:, columns].double().numpy() for name, columns in FIELD_COLUMNS.items()}
    pose[1, 1] *= -1
    for name in ("id", "exp", "tex"):
        fields[name][1] = fields[name][1] @ getattr(mirroring, name)
    light = fields["gamma"].reshape(2, 3, 9)
    light[1][:, ODD_IN_X] *= -1
    numbers = np.concatenate([pose, fields["id"], fields["exp"]], axis=1)
    return RegressedFace(numbers.mean(axis=0), fields["tex"].mean(axis=0), light.mean(axis=0).reshape(27))


def weighed_estimate(
    face: RegressedFace, fit: LandmarkFit, fitter: LandmarkFitter, correspondence: Correspondence
) -> Estimate:
    """Turn R's estimate into one with a covariance, which grows where R contradicts the landmarks.

    R has seen synthetic images only, and errs more in photographs. If its difference from the fit to the landmarks is
    larger than both covariances allow (a chi-squared statistic above its mean), its covariance is multiplied by the
    ratio.
    """
    mean = face.numbers + correspondence.regressor_mean
    columns, covariance = fitter.regressed_columns(), correspondence.regressor_covariance
    fitted = np.concatenate([[fit.pitch, fit.yaw], fit.z_id, fit.z_exp])
    spread = columns @ np.linalg.solve(fit.normal, columns.T) + covariance
    apart = mean - fitted
    ratio = float(apart @ np.linalg.solve(spread, apart)) / len(apart)
    return Estimate(mean, covariance * max(1.0, ratio))


def mirroring_of(model: MorphableModel) -> Mirroring:
    """Compute how coefficients change when a face of the open face model is mirrored; its mesh is symmetric."""
    from scipy.spatial import cKDTree

    flip = np.array([-1.0, 1.0, 1.0])
    mean = model.mean.double().numpy()
    partner = cKDTree(mean).query(mean * flip)[1]

    def matrix(basis: torch.Tensor, signs: np.ndarray) -> np.ndarray:
        flat = basis.double().numpy()
        mirrored = (flat[partner] * signs[:, None]).reshape(-1, flat.shape[-1])
        flat = flat.reshape(-1, flat.shape[-1])
        return np.linalg.lstsq(flat.T @ flat, flat.T @ mirrored, rcond=None)[0].T

    return Mirroring(
        OPEN_FACE_MODEL,
        matrix(model.id_basis, flip),
        matrix(model.exp_basis, flip),
        matrix(model.tex_basis, np.ones(3)),
    )
