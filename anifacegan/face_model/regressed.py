"""Face coefficients that a network regresses: rows of 257 numbers, the camera they belong to, and their 68
landmarks."""

from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anifacegan.face_model.config import CameraKind
from anifacegan.face_model.lids import place_lids, subset_with_lids
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.geometry.cameras import Camera, euler_rotation, focal_length_px, reconstruction_camera
from anifacegan.geometry.conventions import FOV_DEG

SCALE_FLOOR = 1e-3
"""Lower limit of the standard deviations of coefficients by which a regressor's normalised outputs are multiplied."""


@dataclass(frozen=True)
class Reconstruction:
    """Coefficients of the faces in a batch of images.

    The fields are those of :class:`anifacegan.face_model.coefficients.FaceCoefficients`.
    """

    id: Float[Tensor, "batch 80"]
    exp: Float[Tensor, "batch 64"]
    tex: Float[Tensor, "batch 80"]
    angle: Float[Tensor, "batch 3"]
    """Columns pitch, yaw and roll, radians."""
    gamma: Float[Tensor, "batch 27"]
    """Spherical-harmonics light: nine numbers for each of red, green and blue."""
    trans: Float[Tensor, "batch 3"]
    """Translation, model units."""

    @classmethod
    def from_rows(cls, rows: Float[Tensor, "batch 257"]) -> "Reconstruction":
        """Split rows of 257 numbers into the fields; see :data:`FIELD_COLUMNS`."""
        return cls(**{name: rows[:, columns] for name, columns in FIELD_COLUMNS.items()})

    def rows(self) -> Float[Tensor, "batch 257"]:
        """Join the fields to rows of 257 numbers, the inverse of :meth:`from_rows`."""
        return torch.cat([getattr(self, field.name) for field in fields(self)], dim=1)


def _columns() -> dict[str, slice]:
    columns, start = {}, 0
    for name, size in (("id", 80), ("exp", 64), ("tex", 80), ("angle", 3), ("gamma", 27), ("trans", 3)):
        columns[name] = slice(start, start + size)
        start += size
    return columns


FIELD_COLUMNS = _columns()
"""Columns of each field in a row of 257 numbers, by the field's name."""


class FaceLandmarks(nn.Module):
    """Computes and projects the 68 landmarks of faces of given coefficients, without the rest of the mesh."""

    mean: Tensor
    id_basis: Tensor
    exp_basis: Tensor
    effects: Tensor
    """(257,) how much each coefficient changes the whole mesh, see :func:`coefficient_effects`."""

    def __init__(self, model: MorphableModel, camera: CameraKind) -> None:
        super().__init__()
        self.camera: CameraKind = camera
        landmarks = model.landmark_vertices.cpu().numpy()
        vertices, self.eyes = subset_with_lids(landmarks, model.eyes)
        for name in ("mean", "id_basis", "exp_basis"):
            self.register_buffer(name, getattr(model, name)[vertices])
        self.register_buffer("effects", coefficient_effects(model))

    def unposed(
        self, z_id: Float[Tensor, "batch 80"], z_exp: Float[Tensor, "batch 64"]
    ) -> Float[Tensor, "batch 68 3"]:
        """Compute the landmarks of faces before posing, in iBUG order, model units."""
        shape = (
            self.mean
            + torch.einsum("vck,bk->bvc", self.id_basis, z_id)
            + torch.einsum("vck,bk->bvc", self.exp_basis, z_exp)
        )
        return place_lids(shape, z_exp, self.eyes)[:, :68]

    def pixels(self, face: Reconstruction, size: int) -> Float[Tensor, "batch 68 2"]:
        """Project the landmarks of posed faces to pixel coordinates of an image of ``size`` x ``size`` pixels.

        x runs right and y down; integers are pixel centres.
        """
        camera = coefficient_camera(face.angle, face.trans, size, self.camera)
        return camera.project(self.unposed(face.id, face.exp))


def coefficient_effects(model: MorphableModel) -> Float[Tensor, "257"]:
    """Compute how much each coefficient changes a face model's mesh: the root mean square movement of its vertices
    (for tex: change of their colours), divided by the mean over the field's coefficients; 1 for angle, gamma and trans.
    """
    effects = torch.ones(FIELD_COLUMNS["trans"].stop, device=model.mean.device)
    for name in ("id", "exp", "tex"):
        norms = getattr(model, f"{name}_basis").norm(dim=(0, 1)).to(effects)
        effects[FIELD_COLUMNS[name]] = norms / norms.mean()
    return effects


def coefficient_camera(
    angle: Float[Tensor, "batch 3"], trans: Float[Tensor, "batch 3"], size: int, kind: CameraKind
) -> Camera:
    """Make the camera that projects a face whose pose is given by the coefficients ``angle`` and ``trans``.

    The camera takes points of the unposed face in model units (1 model unit counts as 10 cm).

    Args:
        angle: coefficients ``angle``: pitch, yaw and roll of the face, radians.
        trans: coefficients ``trans``: translation of the face, model units.
        size: height and width of the image, pixels.
        kind: selects the focal length: the generator's or Deep3DFaceRecon's.
    """
    camera = reconstruction_camera(angle, trans, size)
    if kind == "generator":
        return replace(camera, focal_px=focal_length_px(size, FOV_DEG))
    return camera


def pose_of(angle: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 2"]:
    """Convert Euler angles of a face (pitch, yaw, roll) to angles of the generator's camera (pitch, yaw).

    Roll does not change where the camera looks from. Radians relative to frontal.
    """
    x, y, z = euler_rotation(angle)[:, :, 2].unbind(-1)
    return torch.stack([torch.asin(y.clamp(-1, 1)), torch.atan2(-x, z)], dim=-1)


FIRST_EXPRESSIONS = 10
"""Number of leading expression coefficients whose correlation with the truth is reported."""


def correlation(
    found: Float[Tensor, "item entry"], truth: Float[Tensor, "item entry"]
) -> Float[Tensor, "entry"]:
    """Compute Pearson's correlation between each column of ``found`` and the same column of ``truth``; 0 where either
    column is constant."""
    a, b = found - found.mean(dim=0), truth - truth.mean(dim=0)
    return (a * b).sum(dim=0) / (a.norm(dim=0) * b.norm(dim=0)).clamp(min=1e-12)
