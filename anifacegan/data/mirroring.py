"""Mirroring of face coefficients, for training on images and their mirror images."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial import cKDTree
from torch import Tensor

from anifacegan.face_model.coefficients import OPEN_FACE_MODEL, FaceCoefficients
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.regressed import FIELD_COLUMNS, Reconstruction

ODD_IN_X = (3, 4, 7)
"""Indices, among the nine spherical harmonics of the light, of those that change their sign with x: -x, xy and -xz."""

MIRRORED_LANDMARKS = tuple(
    [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, *range(35, 30, -1)]
    + [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    + [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
)
"""For each of the 68 landmarks of a mirrored face, the index of the same landmark in the original face."""


GEOMETRY_RIDGE, TEXTURE_RIDGE = 1e-4, 1e-3
"""Weights of the squared coefficients beside the squared error of the mirrored mesh, as shares of the mean squared
column of the basis. Without them, directions that hardly move the mesh get coefficients of up to 159 times their
deviation (texture); with them, at most 3.3. The error of mirrored textures grows from 5.8 to 7.0 %; that of shapes
stays at 1.3 % (expression) and 2.2 % (identity)."""


@dataclass(frozen=True)
class Mirroring:
    """How the coefficients of one face model change when a face is mirrored.

    The coefficients of the mirrored face are those of the face, as a row vector, multiplied by a matrix.
    """

    face_model: str
    """Name of the face model."""
    id: Float[np.ndarray, "80 80"]
    """Matrix for identity coefficients."""
    exp: Float[np.ndarray, "64 64"]
    """Matrix for expression coefficients."""
    tex: Float[np.ndarray, "80 80"]
    """Matrix for texture coefficients."""

    def mirrored(self, face: FaceCoefficients) -> FaceCoefficients:
        """Return the coefficients of the face in the mirror image, without ``noise``, which cannot be mirrored."""
        gamma = face.gamma.reshape(3, 9).copy()
        gamma[:, ODD_IN_X] *= -1
        landmarks = None if face.lm68 is None else face.lm68[list(MIRRORED_LANDMARKS)]
        if landmarks is not None:
            landmarks[:, 0] = 223 - landmarks[:, 0]
        return FaceCoefficients(
            id=(face.id @ self.id).astype(np.float32),
            exp=(face.exp @ self.exp).astype(np.float32),
            tex=(face.tex @ self.tex).astype(np.float32),
            angle=face.angle * np.array([1, -1, -1], np.float32),
            gamma=gamma.reshape(27),
            trans=face.trans * np.array([-1, 1, 1], np.float32),
            lm68=landmarks,
            pose=None if face.pose is None else face.pose * np.array([1, -1], np.float32),
            face_model=face.face_model,
        )

    def mirrored_rows(self, rows: Float[Tensor, "row 257"]) -> Float[Tensor, "row 257"]:
        """Return the coefficients of the faces in the mirror images; the columns are FIELD_COLUMNS."""
        mirrored = rows.clone()
        for name in ("id", "exp", "tex"):
            columns = FIELD_COLUMNS[name]
            mirrored[:, columns] = rows[:, columns] @ torch.from_numpy(getattr(self, name)).to(rows)
        mirrored[:, FIELD_COLUMNS["angle"]] *= rows.new_tensor([1, -1, -1])
        mirrored[:, FIELD_COLUMNS["trans"]] *= rows.new_tensor([-1, 1, 1])
        signs = rows.new_ones(3, 9)
        signs[:, ODD_IN_X] = -1
        mirrored[:, FIELD_COLUMNS["gamma"]] *= signs.flatten()
        return mirrored

    def estimates_of_both(
        self,
        network: Callable[[Float[Tensor, "batch 3 size size"]], Reconstruction],
        images: Float[Tensor, "batch 3 size size"],
    ) -> Float[Tensor, "2 batch 257"]:
        """Run a face regressor on images and on their mirror images.

        Returns two estimates of the images' coefficients: from the images, and from their mirror images, mirrored back.
        The mean of both has smaller errors than either.
        """
        return torch.stack([network(images).rows(), self.mirrored_rows(network(images.flip(3)).rows())])


def mirroring_of(model: MorphableModel) -> Mirroring:
    """Compute how coefficients change when a face of the open face model is mirrored; its mesh is symmetric."""
    flip = np.array([-1.0, 1.0, 1.0])
    mean = model.mean.double().numpy()
    partner = cKDTree(mean).query(mean * flip)[1]

    def matrix(basis: torch.Tensor, signs: np.ndarray, ridge: float) -> np.ndarray:
        flat = basis.double().numpy()
        mirrored = (flat[partner] * signs[:, None]).reshape(-1, flat.shape[-1])
        flat = flat.reshape(-1, flat.shape[-1])
        products = flat.T @ flat
        regularised = products + ridge * np.trace(products) / len(products) * np.eye(len(products))
        return np.linalg.solve(regularised, flat.T @ mirrored).T

    return Mirroring(
        OPEN_FACE_MODEL,
        matrix(model.id_basis, flip, GEOMETRY_RIDGE),
        matrix(model.exp_basis, flip, GEOMETRY_RIDGE),
        matrix(model.tex_basis, np.ones(3), TEXTURE_RIDGE),
    )
