"""Paired data: synthetic images in memory with their latents and surfaces, of which training draws random rays."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped, UInt8
from torch import Tensor

from anifacegan.data.dataset import CoefficientTable
from anifacegan.data.synthetic.geometry_buffers import DEPTH_STEPS, GeometryBuffers
from anifacegan.geometry.cameras import from_lm68
from anifacegan.geometry.rays import Rays, image_rays, pixel_rays
from anifacegan.models.coefficient_vae import Latents
from anifacegan.runtime.errors import InputError
from anifacegan.training.batches import TrainingFaces, reduced
from anifacegan.training.initialization import visible_scale

LANDMARKS = slice(17, 68)
"""Indices (of 68) of the landmarks of brows, nose, eyes and mouth, around which half of the rays are drawn."""
INNER_LIPS = slice(60 - 17, 68 - 17)
"""Indices, among LANDMARKS, of the landmarks around the opening of the mouth, in order."""
LANDMARK_SPREAD = 0.04
"""Half of the rays pass through pixels around landmarks. This is the standard deviation, in x and in y, of the offset
from a landmark to such a pixel, in image heights."""


@dataclass(frozen=True)
class PairedBatch:
    """Random rays of some images: the latents of the images, and the true colour and surface distance of each ray."""

    z_id: Float[Tensor, "batch 80"]
    z_exp: Float[Tensor, "batch 64"]
    z_noise: Float[Tensor, "batch 80"]
    rays: Rays
    rgb: Float[Tensor, "batch ray 3"]
    """True colours of the rays' pixels, in [0, 1]."""
    distance: Float[Tensor, "batch ray"]
    """Distance from the camera to the surface along the ray, world units; infinite for the background."""
    inside: Bool[Tensor, "batch ray"]
    """Whether the ray is away from silhouettes: its pixel and the eight neighbours all show the head, or all the
    background."""
    in_mouth: Bool[Tensor, "batch ray"]
    """Whether the ray passes between the lips of an open mouth."""


class PairedData(TrainingFaces):
    """Images, latents and surfaces of a synthetic data set, from which training draws random rays; the last
    ``held_out`` images are never drawn.
    """

    appearance_known = True

    def __init__(
        self,
        images: UInt8[Tensor, "item size size 3"],
        latents: CoefficientTable,
        surfaces: GeometryBuffers,
        fov_deg: float,
        held_out: int,
    ) -> None:
        if latents.noise is None:
            raise InputError("the photometric stage needs synthetic data: every .mat has to hold 'noise'")
        super().__init__(latents, held_out)
        self.images, self.surfaces, self.z_noise, self.fov_deg = images, surfaces, latents.noise, fov_deg
        self.size = images.shape[1]
        self.landmarks_px = from_lm68(latents.landmarks(), self.size)[:, LANDMARKS]

    def visible_scale(self, most: int = 4000) -> Float[Tensor, "160"]:
        """Estimate how strongly each entry of [z_id, z_noise] affects an image, as factors up to 1.

        The factors come from a linear regression of at most ``most`` training images on these latents.
        """
        selected = torch.arange(0, self.count, -(-self.count // most))
        return visible_scale(
            torch.cat([self.z_id[selected], self.z_noise[selected]], dim=1), self.images[selected]
        )

    def draw(self, batch: int, rays: int, rng: torch.Generator) -> PairedBatch:
        """Draw ``batch`` random images and ``rays`` random rays of each of them: half anywhere, half near landmarks."""
        items = self.draw_items(batch, rng)
        anywhere = torch.randint(self.size, (batch, rays - rays // 2, 2), generator=rng)
        selected = torch.randint(self.landmarks_px.shape[1], (batch, rays // 2), generator=rng)
        about = self.landmarks_px[items].gather(1, selected[..., None].expand(-1, -1, 2))
        about = about + LANDMARK_SPREAD * self.size * torch.randn(about.shape, generator=rng)
        pixels = torch.cat([anywhere, about.round().long().clamp(0, self.size - 1)], dim=1)  # (B, R, 2) x, y
        x, y = pixels.unbind(-1)
        pitch, yaw = self.pose[items].unbind(-1)
        distance, inside = self._surface(items.numpy(), x.numpy(), y.numpy())
        return PairedBatch(
            z_id=self.z_id[items],
            z_exp=self.z_exp[items],
            z_noise=self.z_noise[items],
            rays=pixel_rays(
                yaw=yaw, pitch=pitch, x_px=x.float(), y_px=y.float(), size=self.size, fov_deg=self.fov_deg
            ),
            rgb=self.images[items[:, None], y, x].float() / 255,
            distance=distance,
            inside=inside,
            in_mouth=inside_polygons(x, y, self.landmarks_px[items][:, INNER_LIPS]),
        )

    def held_out_view(self, index: int, size: int) -> tuple[Latents, Rays, Float[Tensor, "size size 3"]]:
        """Return, for item number ``index`` of those that training never uses, the latents, the rays of an image of
        ``size`` x ``size`` pixels, and this image in [0, 1].
        """
        item = slice(self.count + index, self.count + index + 1)
        pitch, yaw = self.pose[item].unbind(-1)
        rays = image_rays(yaw=yaw, pitch=pitch, size=size, fov_deg=self.fov_deg)
        latents = Latents(self.z_id[item], self.z_exp[item], self.z_noise[item])
        return latents, rays, reduced(self.images[self.count + index], size)

    def _surface(self, items: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[Tensor, Tensor]:
        window = np.arange(-1, 2)
        last = self.size - 1
        rows = np.clip(y[..., None, None] + window[:, None], 0, last)  # (B, R, 3, 1)
        columns = np.clip(x[..., None, None] + window, 0, last)  # (B, R, 1, 3)
        around = self.surfaces.distance[items[:, None, None, None], rows, columns]
        covered = (around > 0).reshape(*x.shape, 9)
        steps = around[..., 1, 1].astype(np.float32)
        distance = np.where(steps > 0, steps / np.float32(DEPTH_STEPS), np.float32(np.inf))
        inside = covered.all(-1) | ~covered.any(-1)
        return torch.from_numpy(distance), torch.from_numpy(inside)


def inside_polygons(
    x: Shaped[Tensor, "batch point"],
    y: Shaped[Tensor, "batch point"],
    corners: Float[Tensor, "batch corner 2"],
) -> Bool[Tensor, "batch point"]:
    """Return whether points lie inside polygons, one polygon for each row of the batch.

    A point lies inside if a line from it along x crosses the polygon's sides an odd number of times. The corners are x
    and y, in the order in which sides join them.
    """
    x, y = x[..., None], y[..., None]
    x0, y0 = corners[:, None].unbind(-1)
    x1, y1 = corners[:, None].roll(-1, dims=2).unbind(-1)
    spans = (y0 > y) != (y1 > y)
    crossing = x0 + (x1 - x0) * (y - y0) / torch.where(spans, y1 - y0, 1.0)
    return (spans & (x < crossing)).sum(-1) % 2 == 1
