"""Real images and their poses for the discriminator, from any data set of faces."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.data.dataset import FaceDataset
from anifacegan.face_model.coefficients import camera_angles
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import sha256


@dataclass(frozen=True)
class PosedImages:
    """Images, each with the pose of its camera."""

    image: Float[Tensor, "batch 3 size size"]
    """In [-1, 1]."""
    pose: Float[Tensor, "batch 2"]
    """(pitch, yaw), radians relative to frontal."""

    def __len__(self) -> int:
        return len(self.pose)

    def __getitem__(self, part: slice) -> "PosedImages":
        return PosedImages(self.image[part], self.pose[part])


class RealImages:
    """The images of a data set, read when they are drawn; the last ``held_out`` never are.

    Any data set will do: of the coefficients only the pose is used.
    """

    def __init__(self, dataset: FaceDataset, held_out: int) -> None:
        self.dataset = dataset
        self.count = len(dataset) - held_out
        if self.count < 1:
            raise InputError(
                f"the data set has {len(dataset)} images, expected more than the {held_out} held out"
            )
        offset = dataset.config.pitch_offset
        angles = [camera_angles(dataset.face(item), offset) for item in range(self.count)]
        self.poses = torch.from_numpy(np.stack(angles).astype(np.float32))

    def sha256(self) -> str:
        """Tells these images from others, by their poses in their order."""
        return sha256([self.poses.numpy().tobytes()])

    def draw(self, rngs: list[torch.Generator]) -> PosedImages:
        """One random image a generator.

        Raises:
            InputError: a file cannot be read.
        """
        items = [int(torch.randint(self.count, (), generator=rng)) for rng in rngs]
        pixels = torch.stack([self.dataset[item].image for item in items])  # (B, H, W, 3)
        return PosedImages(pixels.permute(0, 3, 1, 2).float() / 127.5 - 1, self.poses[items])
