"""The faces of a data set that a generator learns from: their codes and poses, and a look at those it never sees.

Of photographs this is all that is known; :class:`anifacegan.paired_data.PairedData` knows more of synthetic images.
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


class TrainingFaces:
    """Codes and poses of all items, of which the last ``held_out`` are never learnt from; behind them, where there are
    some, codes of faces of the priors, which have no image.
    """

    def __init__(self, latents: CoefficientTable, held_out: int) -> None:
        items = len(latents.id)
        if items <= held_out:
            raise InputError(f"the data set has {items} images, expected more than the {held_out} held out")
        self.z_id, self.z_exp, self.pose = latents.id, latents.exp, latents.pose
        self.count = items - held_out
        self.of_priors, self.prior_share = 0, 0.0

    def draw_items(self, count: int, rng: torch.Generator) -> Int[Tensor, "batch"]:
        """Random items to learn from."""
        return torch.randint(self.count, (count,), generator=rng)

    def add_of_priors(
        self, z_id: Float[Tensor, "face 80"], z_exp: Float[Tensor, "face 64"], share: float
    ) -> int:
        """Codes for :meth:`draw_imitated`, once; returns the number of the first of them."""
        assert not self.of_priors, "there are faces of the priors already"
        first = len(self.z_id)
        self.z_id, self.z_exp = torch.cat([self.z_id, z_id]), torch.cat([self.z_exp, z_exp])
        self.of_priors, self.prior_share = len(z_id), share
        return first

    def draw_imitated(self, count: int, rng: torch.Generator) -> Int[Tensor, "batch"]:
        """Random faces whose meshes are imitated: items to learn from, and those of the priors."""
        items = self.draw_items(count, rng)
        if not self.of_priors:
            return items
        instead = len(self.z_id) - self.of_priors + torch.randint(self.of_priors, (count,), generator=rng)
        return torch.where(torch.rand(count, generator=rng) < self.prior_share, instead, items)


@runtime_checkable
class HeldOutViews(Protocol):
    """Faces that training never sees."""

    appearance_known: bool
    """Whether an image is what a perfect generator draws of its latents: where it is not, colours do not compare."""

    def held_out_view(self, index: int, size: int) -> tuple[Latents, Rays, Float[Tensor, "size size 3"]]:
        """Codes and rays of a held-out item, and its image in [0, 1], reduced to ``size``."""
        ...


class Photographs(TrainingFaces):
    """Photographs with coefficients. Shape, expression and pose are those of the codes, colours nobody knows a code of.

    Images are read when they are asked for.
    """

    appearance_known = False

    def __init__(
        self, dataset: FaceDataset, latents: CoefficientTable, fov_deg: float, held_out: int
    ) -> None:
        super().__init__(latents, held_out)
        self.dataset, self.fov_deg = dataset, fov_deg

    def held_out_view(self, index: int, size: int) -> tuple[Latents, Rays, Float[Tensor, "size size 3"]]:
        """See :class:`HeldOutViews`; ``z_noise`` is drawn, the same for an index every time."""
        item = slice(self.count + index, self.count + index + 1)
        z_noise = torch.randn(1, NOISE_DIM, generator=torch.Generator().manual_seed(index))
        pitch, yaw = self.pose[item].unbind(-1)
        rays = image_rays(yaw=yaw, pitch=pitch, size=size, fov_deg=self.fov_deg)
        image = reduced(self.dataset[self.count + index].image, size)
        return Latents(self.z_id[item], self.z_exp[item], z_noise), rays, image


def reduced(image: UInt8[Tensor, "height width 3"], size: int) -> Float[Tensor, "size size 3"]:
    """A square image in [0, 1], made smaller by sampling its pixels."""
    nearest = torch.linspace(0, len(image) - 1, size).round().long()
    return image[nearest[:, None], nearest].float() / 255
