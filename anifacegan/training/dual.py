"""Dual discrimination: beside an image the discriminator sees the face model's mesh of the codes that were asked for.

A generated face with another expression than its codes' then differs from every real pair, of a photograph and the mesh
of its own coefficients. The paper has no such thing; later animatable face GANs have (Next3D, Sun et al. 2023). Image
and mesh are shifted together by a few random pixels, so that the pair has no fixed place.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from anifacegan.data.posed_images import PosedImages
from anifacegan.face_model.mesh_images import FaceCodes, MeshImages
from anifacegan.models.discriminator import Discriminator, DiscriminatorOutput
from anifacegan.models.latent_sampling import PosedLatents


@dataclass(frozen=True)
class ShownMeshes:
    """What the discriminator sees beside images, and how it is shown."""

    condition: Float[Tensor, "batch channel size size"]
    """Images of the faces' meshes."""
    shift: Int[Tensor, "batch 2"]
    """Pixels (down, right) by which image and mesh of each face are shifted."""

    def __getitem__(self, part: slice) -> "ShownMeshes":
        return ShownMeshes(self.condition[part], self.shift[part])

    def judged(self, discriminator: Discriminator, image: Tensor) -> DiscriminatorOutput:
        """Show images with their meshes to the discriminator; differentiable in the images."""
        return discriminator(shifted(image, self.shift), shifted(self.condition, self.shift))

    def beside(self, images: PosedImages) -> PosedImages:
        """Return images with their meshes, both shifted."""
        return PosedImages(
            shifted(images.image, self.shift), images.pose, shifted(self.condition, self.shift), images.face
        )


def shown_meshes(
    meshes: MeshImages, faces: FaceCodes, size: int, shift: Int[Tensor, "batch 2"]
) -> ShownMeshes:
    """Draw the meshes of faces as images of ``size`` x ``size`` pixels."""
    return ShownMeshes(meshes.images(faces, size), shift)


def codes_of(views: PosedLatents) -> FaceCodes:
    """Return the coefficients that generated faces were asked for, with their poses."""
    mirrored = torch.zeros(len(views), dtype=torch.bool, device=views.pose.device)
    return FaceCodes(views.latents.z_id, views.latents.z_exp, views.pose, mirrored)


def draw_shifts(rngs: list[torch.Generator], size: int, share: float) -> Int[Tensor, "batch 2"]:
    """Draw the shift (down, right) of each image of ``size`` pixels, up to ``share`` of its height."""
    most = round(share * size)
    return torch.stack([torch.randint(-most, most + 1, (2,), generator=rng) for rng in rngs])


def shifted(
    images: Float[Tensor, "batch channel size size"], shift: Int[Tensor, "batch 2"]
) -> Float[Tensor, "batch channel size size"]:
    """Shift each image by whole pixels (down, right); its border pixels are repeated. Differentiable in the images."""
    _, channels, height, width = images.shape
    along = torch.arange(height, device=images.device)
    rows, columns = ((along - by[:, None]).clamp(0, height - 1) for by in shift.unbind(-1))  # (B, H) each
    images = images.gather(2, rows[:, None, :, None].expand(-1, channels, -1, width))
    return images.gather(3, columns[:, None, None].expand(-1, channels, height, -1))
