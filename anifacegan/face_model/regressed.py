"""TODO docstring of anifacegan.face_model.regressed."""

import math
from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anifacegan.face_model.morphable import MorphableModel
from anifacegan.geometry.cameras import FOV_DEG, Camera, euler_rotation, reconstruction_camera

CameraKind = Literal["generator", "deep3dfacerecon"]
SCALE_FLOOR = 1e-3
"""Smallest scale of an output: a coefficient that is the same in all images is predicted as its mean."""


@dataclass(frozen=True)
class Reconstruction:
    """Coefficients of the faces in a batch of images; see :class:`anifacegan.coefficients.FaceCoefficients`."""

    id: Float[Tensor, "batch 80"]
    exp: Float[Tensor, "batch 64"]
    tex: Float[Tensor, "batch 80"]
    angle: Float[Tensor, "batch 3"]
    """Pitch, yaw, roll in radians."""
    gamma: Float[Tensor, "batch 27"]
    trans: Float[Tensor, "batch 3"]
    """Model units."""

    @classmethod
    def from_rows(cls, rows: Float[Tensor, "batch 257"]) -> "Reconstruction":
        """The fields of rows that hold them in this order."""
        return cls(**{name: rows[:, columns] for name, columns in FIELD_COLUMNS.items()})

    def rows(self) -> Float[Tensor, "batch 257"]:
        """Inverse of :meth:`from_rows`."""
        return torch.cat([getattr(self, field.name) for field in fields(self)], dim=1)


def _columns() -> dict[str, slice]:
    columns, start = {}, 0
    for name, size in (("id", 80), ("exp", 64), ("tex", 80), ("angle", 3), ("gamma", 27), ("trans", 3)):
        columns[name] = slice(start, start + size)
        start += size
    return columns


FIELD_COLUMNS = _columns()
"""Where each field lies in a row of 257 numbers."""


class FaceLandmarks(nn.Module):
    """The 68 landmarks of coefficients: a morphable model cut down to 68 vertices, and a camera's convention."""

    mean: Tensor
    id_basis: Tensor
    exp_basis: Tensor

    def __init__(self, model: MorphableModel, camera: CameraKind) -> None:
        super().__init__()
        self.camera: CameraKind = camera
        for name in ("mean", "id_basis", "exp_basis"):
            self.register_buffer(name, getattr(model, name)[model.landmark_vertices])

    def unposed(
        self, z_id: Float[Tensor, "batch 80"], z_exp: Float[Tensor, "batch 64"]
    ) -> Float[Tensor, "batch 68 3"]:
        """Landmarks of the face that looks along +z, in model units: what the landmark term compares."""
        return (
            self.mean
            + torch.einsum("vck,bk->bvc", self.id_basis, z_id)
            + torch.einsum("vck,bk->bvc", self.exp_basis, z_exp)
        )

    def pixels(self, face: Reconstruction, size: int) -> Float[Tensor, "batch 68 2"]:
        """Index pixels (x right, y down) in an image of this size."""
        camera = coefficient_camera(face.angle, face.trans, size, self.camera)
        return camera.project(self.unposed(face.id, face.exp))


def coefficient_camera(
    angle: Float[Tensor, "batch 3"], trans: Float[Tensor, "batch 3"], size: int, kind: CameraKind
) -> Camera:
    """The camera of coefficients, for points of the unposed face in model units."""
    camera = reconstruction_camera(angle, trans, size)
    if kind == "generator":
        focal = (size - 1) / 2 / math.tan(math.radians(FOV_DEG / 2))
        return replace(camera, focal_px=focal)
    return camera


def pose_of(angle: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 2"]:
    """(pitch, yaw) of the generator's camera for Euler angles, relative to frontal: where the camera looks from."""
    x, y, z = euler_rotation(angle)[:, :, 2].unbind(-1)
    return torch.stack([torch.asin(y.clamp(-1, 1)), torch.atan2(-x, z)], dim=-1)


def from_lm68(lm68: Float[Tensor, "batch 68 2"], size: int) -> Float[Tensor, "batch 68 2"]:
    """Index pixels at ``size`` of landmarks in a 224 px frame with y up; see :mod:`anifacegan.resampling`."""
    scaled = lm68 * ((size - 1) / 223)
    return torch.stack([scaled[..., 0], size - 1 - scaled[..., 1]], dim=-1)


FIRST_EXPRESSIONS = 10
"""The expression coefficients whose correlation is reported."""


def correlation(
    found: Float[Tensor, "item entry"], truth: Float[Tensor, "item entry"]
) -> Float[Tensor, "entry"]:
    """Pearson's, entry by entry; 0 where one of the two is constant."""
    a, b = found - found.mean(dim=0), truth - truth.mean(dim=0)
    return (a * b).sum(dim=0) / (a.norm(dim=0) * b.norm(dim=0)).clamp(min=1e-12)
