"""Faces that a generator learns from: latents and poses of a data set, and of photographs also their images.

:class:`anifacegan.training.paired.PairedData` extends this for synthetic images, whose surfaces are known.
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from anifacegan.data.dataset import CoefficientTable, FaceDataset
from anifacegan.geometry.conventions import NOISE_DIM
from anifacegan.geometry.rays import Rays, image_rays
from anifacegan.models.coefficient_vae import Latents
from anifacegan.runtime.errors import InputError


def require_images_left(images: int, held_out: int) -> None:
    """Require that a data set has more images than those held out.

    Raises:
        InputError: it has not.
    """
    if images <= held_out:
        raise InputError(
            f"the data set has {images} images, expected more than the {held_out} held out (reporting.held_out)"
        )


class TrainingFaces:
    """Latents and poses of all items of a data set, of which the last ``held_out`` are never drawn.

    Latents of faces that are sampled from the priors may be appended (:meth:`add_prior_faces`). These faces have no
    images.
    """

    def __init__(self, latents: CoefficientTable, held_out: int) -> None:
        items = len(latents.id)
        require_images_left(items, held_out)
        self.z_id, self.z_exp, self.pose = latents.id, latents.exp, latents.pose
        self.count = items - held_out
        self.prior_faces, self.prior_share = 0, 0.0

    def draw_items(self, count: int, rng: torch.Generator) -> Int[Tensor, "batch"]:
        """Draw the indices of ``count`` random items of the data set, held-out items excluded."""
        return torch.randint(self.count, (count,), generator=rng)

    def add_prior_faces(
        self, z_id: Float[Tensor, "face 80"], z_exp: Float[Tensor, "face 64"], share: float
    ) -> int:
        """Append latents of faces sampled from the priors.

        A face drawn by :meth:`draw_imitated` is an appended one with probability ``share``. Can be called once. Returns
        the index of the first appended face; smaller indices are items of the data set.
        """
        assert not self.prior_faces, "prior faces have been added already"
        first = len(self.z_id)
        self.z_id, self.z_exp = torch.cat([self.z_id, z_id]), torch.cat([self.z_exp, z_exp])
        self.prior_faces, self.prior_share = len(z_id), share
        return first

    def draw_imitated(self, count: int, rng: torch.Generator) -> Int[Tensor, "batch"]:
        """Draw the indices of ``count`` random faces whose meshes the deformation learns to imitate.

        Indices from the one that :meth:`add_prior_faces` returned are appended faces; smaller ones are items of the
        data set.
        """
        items = self.draw_items(count, rng)
        if not self.prior_faces:
            return items
        first = len(self.z_id) - self.prior_faces
        prior_items = first + torch.randint(self.prior_faces, (count,), generator=rng)
        return torch.where(torch.rand(count, generator=rng) < self.prior_share, prior_items, items)


def regular_root(matrix: Float[Tensor, "dim dim"]) -> Float[Tensor, "dim dim"]:
    """Return the Cholesky root of a symmetric matrix with 1e-6 added to its diagonal, so that it may be singular."""
    return torch.linalg.cholesky(matrix + 1e-6 * torch.eye(len(matrix)).to(matrix))


@runtime_checkable
class HeldOutViews(Protocol):
    """Faces with images that training never uses: what the previews of a run are made of."""

    appearance_known: bool
    """Whether the images' appearance latents are known, so that rendered colours can be compared with the images."""

    def held_out_view(self, index: int, size: int) -> tuple[Latents, Rays, Float[Tensor, "size size 3"]]:
        """Return, for item number ``index`` of those that training never uses, the latents, the rays of an image of
        ``size`` x ``size`` pixels, and this image in [0, 1].
        """
        ...


class Photographs(TrainingFaces):
    """Photographs with shape, expression and pose coefficients; their appearance latents are unknown.

    Images are read from disk when they are used.
    """

    appearance_known = False

    def __init__(
        self, dataset: FaceDataset, latents: CoefficientTable, fov_deg: float, held_out: int
    ) -> None:
        super().__init__(latents, held_out)
        self.dataset, self.fov_deg = dataset, fov_deg

    def held_out_view(self, index: int, size: int) -> tuple[Latents, Rays, Float[Tensor, "size size 3"]]:
        """Return, for item number ``index`` of those that training never uses, the latents, the rays of an image of
        ``size`` x ``size`` pixels, and this image in [0, 1].

        ``z_noise`` is random, but always the same for an index.
        """
        item = slice(self.count + index, self.count + index + 1)
        z_noise = torch.randn(1, NOISE_DIM, generator=torch.Generator().manual_seed(index))
        pitch, yaw = self.pose[item].unbind(-1)
        rays = image_rays(yaw=yaw, pitch=pitch, size=size, fov_deg=self.fov_deg)
        image = reduced(self.dataset[self.count + index].image, size)
        return Latents(self.z_id[item], self.z_exp[item], z_noise), rays, image


def reduced(image: UInt8[Tensor, "height width 3"], size: int) -> Float[Tensor, "size size 3"]:
    """Reduce a square image to ``size`` pixels by keeping evenly spaced pixels; returns values in [0, 1]."""
    nearest = torch.linspace(0, len(image) - 1, size).round().long()
    return image[nearest[:, None], nearest].float() / 255
