"""Face reconstruction: a picture becomes the coefficients of the face in it, and from them its 68 landmarks.

    image -> id 80, exp 64, tex 80, angle 3, gamma 27, trans 3            (method, section 4, R)

The network is a trunk of :mod:`anifacegan.models.reconstruction_trunks`; its raw outputs are standardised, and the
statistics of the data are buffers: ``coefficient = mean + scale * raw``. With the ResNet-50 trunk, mean 0 and scale 1
it is Deep3DFaceRecon's network.

Both cameras of the method's section 3 take ``angle`` and ``trans`` alike: the face is posed, ``p' = p R + trans`` in
model units, and looked at from (0, 0, 10). They differ in focal length. For our own pictures ``trans`` is the model's
world offset seen from the camera, and 0 for the open face model.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from anifacegan.cameras import FOV_DEG, Camera, euler_rotation, reconstruction_camera
from anifacegan.errors import ConfigError
from anifacegan.models.reconstruction_trunks import (
    RAW_DIM,
    PlainTrunk,
    ResidualTrunk,
    ResNet50Trunk,
    initialise,
)
from anifacegan.morphable import MorphableModel
from anifacegan.resampling import resample

CameraKind = Literal["generator", "deep3dfacerecon"]
SCALE_FLOOR = 1e-3
"""Smallest scale of an output: a coefficient that is the same in all pictures is predicted as its mean."""


@dataclass(frozen=True)
class Reconstruction:
    """Coefficients of the faces in a batch of pictures; see :class:`anifacegan.coefficients.FaceCoefficients`."""

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


@dataclass(frozen=True)
class ReconstructionConfig:
    """Which network, and what its pictures were taken with."""

    trunk: Literal["residual", "plain", "resnet50"] = "residual"
    """Small with residual blocks; small without, for judging; or Deep3DFaceRecon's."""
    size: int = 128
    """Height and width in pixels of what the network looks at; 224 for Deep3DFaceRecon's weights."""
    border: int = 0
    """Pixels that are cut off on each side before: the face lies in the middle, and expressions are small."""
    channels: tuple[int, ...] = (16, 32, 64, 128, 160)
    """Channels of the small trunks' stages, each of half the size of the one before."""
    camera: CameraKind = "generator"
    """The camera that angle and trans belong to."""

    def __post_init__(self) -> None:
        if self.size < 2 or self.trunk != "resnet50" and self.size % 2 ** len(self.channels):
            halvings = f"a multiple of {2 ** len(self.channels)}, for as many halvings as there are channels"
            raise ConfigError("size", self.size, halvings)
        if self.border < 0:
            raise ConfigError("border", self.border, "at least 0")
        if not self.channels or any(width < 8 or width % 8 for width in self.channels):
            raise ConfigError("channels", list(self.channels), "multiples of 8")


    @property
    def frame(self) -> int:
        """Height and width in pixels of whole pictures when the network looks at their middle."""
        return self.size + 2 * self.border


class ReconstructionNetwork(nn.Module):
    """R of the landmark term and of the evaluation."""

    mean: Tensor
    scale: Tensor

    def __init__(self, config: ReconstructionConfig) -> None:
        super().__init__()
        self.config = config
        self.trunk: ResidualTrunk | PlainTrunk | ResNet50Trunk
        if config.trunk == "resnet50":
            self.trunk = ResNet50Trunk()
        else:
            kind = ResidualTrunk if config.trunk == "residual" else PlainTrunk
            self.trunk = kind(config.size, config.channels)
        self.register_buffer("mean", torch.zeros(RAW_DIM))
        self.register_buffer("scale", torch.ones(RAW_DIM))

    def initialise(self, rng: torch.Generator) -> None:
        """Fresh weights; the network says the mean face."""
        initialise(self.trunk, rng)

    def set_statistics(self, rows: Float[Tensor, "item 257"]) -> None:
        """Standardise the outputs by these coefficients."""
        self.mean.copy_(rows.mean(dim=0))
        self.scale.copy_(rows.std(dim=0).clamp(min=SCALE_FLOOR))

    def features(self, image: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch feature"]:
        """What the trunk's last layers see: a space to compare pictures in."""
        return self.trunk.features(self._middle(image))

    def standardised(self, image: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch 257"]:
        """Coefficients in standard deviations of the data, of pictures in [0, 1] of any size."""
        return self.trunk(self._middle(image)).to(self.mean)           # out of autocast's half precision

    def forward(self, image: Float[Tensor, "batch 3 side side"]) -> Reconstruction:
        """Coefficients of the faces in pictures in [0, 1] of any size, framed as the training data are."""
        return self.named(self.standardised(image))

    def _middle(self, image: Float[Tensor, "batch 3 side side"]) -> Float[Tensor, "batch 3 size size"]:
        whole, border = resample(image, self.config.frame), self.config.border
        return whole[..., border : border + self.config.size, border : border + self.config.size]

    def named(self, standardised: Float[Tensor, "batch 257"]) -> Reconstruction:
        """Standardised outputs as coefficients."""
        return Reconstruction.from_rows(self.mean + self.scale * standardised)


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
        """Index pixels (x right, y down) in a picture of this size."""
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
