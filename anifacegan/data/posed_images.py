"""Real images with camera poses, on which the discriminator is trained; they come from any data set of faces."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from anifacegan.data.dataset import CoefficientTable, FaceDataset
from anifacegan.face_model.mesh_images import FaceCodes
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import sha256

MIRRORED_POSE = torch.tensor([1.0, -1.0])
"""Factors by which mirroring an image multiplies its (pitch, yaw)."""


@dataclass(frozen=True)
class PosedImages:
    """A batch of images, each with the pose of its camera."""

    image: Float[Tensor, "batch 3 size size"]
    """RGB in [-1, 1]."""
    pose: Float[Tensor, "batch 2"]
    """(pitch, yaw) of the generator's camera, radians relative to frontal."""
    condition: Float[Tensor, "batch channel size size"] | None = None
    """What the discriminator sees beside each image; None: nothing."""
    face: FaceCodes | None = None
    """Coefficients of the faces; None where nobody asks for them."""

    def __len__(self) -> int:
        return len(self.pose)

    def __getitem__(self, part: slice) -> "PosedImages":
        rest = (None if values is None else values[part] for values in (self.condition, self.face))
        return PosedImages(self.image[part], self.pose[part], *rest)


class RealImages:
    """Source of random real images of a data set, which are read from their files when they are drawn.

    Of the images' coefficients only the pose is used unless ``coefficients`` are given, so they may belong to any face
    model, or lack where the data set knows the poses (``poses_suffice``).

    Args:
        dataset: images and coefficients.
        held_out: number of images at the end of the data set that are never drawn.
        mirror: whether every image is mirrored with probability 0.5 when it is drawn; its yaw then changes sign.
        coefficients: those of all images, which are drawn with them; None: drawn images have none.

    Raises:
        InputError: no images are left.
    """

    poses: Float[Tensor, "item 2"]
    """(pitch, yaw) of every image that can be drawn, radians relative to frontal; with ``mirror``, those of the mirror
    images follow."""

    def __init__(
        self,
        dataset: FaceDataset,
        held_out: int,
        *,
        mirror: bool = False,
        coefficients: CoefficientTable | None = None,
    ) -> None:
        self.dataset, self.coefficients = dataset, coefficients
        self.count = len(dataset) - held_out
        if self.count < 1:
            raise InputError(
                f"the data set has {len(dataset)} images, expected more than the {held_out} held out"
            )
        poses = torch.from_numpy(dataset.poses[: self.count])
        self.poses = torch.cat([poses, poses * MIRRORED_POSE]) if mirror else poses

    def sha256(self) -> str:
        """Return the SHA-256 of the poses of all images that can be drawn, in order, which identifies the data set."""
        return sha256([self.poses.numpy().tobytes()])

    def draw(self, rngs: list[torch.Generator]) -> PosedImages:
        """Draw one random image with each of the random generators.

        Raises:
            InputError: a file cannot be read.
        """
        items = [int(torch.randint(len(self.poses), (), generator=rng)) for rng in rngs]
        pixels = torch.stack([self._pixels(item) for item in items])  # (B, H, W, 3)
        image = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
        return PosedImages(image, self.poses[items], face=self._codes(items))

    def _codes(self, items: list[int]) -> FaceCodes | None:
        """Return the coefficients and poses of the images as they are in their files, and which are mirrored."""
        table, originals = self.coefficients, [item % self.count for item in items]
        if table is None:
            return None
        mirrored = torch.tensor([item >= self.count for item in items])
        return FaceCodes(table.id[originals], table.exp[originals], self.poses[originals], mirrored)

    def _pixels(self, item: int) -> UInt8[Tensor, "size size 3"]:
        image = self.dataset[item % self.count].image
        return image if item < self.count else image.flip(1)
