"""Whether photographs are cropped as the generator's camera sees faces: their landmarks beside those of their codes.

An image's own landmarks (``lm68``) lie where its face is. The mesh of its codes, before the generator's camera at its
pose, says where the generator will put that face. Another crop, a wrong ``pitch_offset`` or a wrong place of the face
model in the world shows as an offset or a scale, and costs the discriminator an easy clue.
"""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.data.dataset import CoefficientTable
from anifacegan.face_model.face_mesh import FaceMesh
from anifacegan.geometry.cameras import orbit_camera, to_lm68
from anifacegan.geometry.conventions import WORLD_PER_MODEL_UNIT

MOST_ITEMS = 2000
"""Items that are looked at, spread over the data set."""


@dataclass(frozen=True)
class CropCheck:
    """Medians over the items; pixels of a 224 px frame."""

    right_px: float
    """How far the data's landmarks lie to the right of the mesh's, in the mean of a face's."""
    up_px: float
    scale: float
    """How much larger the data's faces are, by the spread of their landmarks."""
    rest_px: float
    """Mean distance of the landmarks when offset and scale are taken out."""

    def plain(self) -> dict[str, float]:
        return {name: round(value, 3) for name, value in asdict(self).items()}

    def line(self) -> str:
        return (
            f"landmarks of the data beside those of their codes, px of 224: {self.right_px:+.1f} right, "
            f"{self.up_px:+.1f} up, {self.scale:.3f} times as far apart, {self.rest_px:.1f} otherwise"
        )


def crop_check(mesh: FaceMesh, latents: CoefficientTable, fov_deg: float) -> CropCheck:
    """Compare some items of a data set."""
    selected = slice(None, None, -(-len(latents.id) // MOST_ITEMS))
    target = mesh_landmarks_224(
        mesh, latents.id[selected], latents.exp[selected], latents.pose[selected], fov_deg
    )
    found = latents.lm68[selected].double()
    middles = [points.mean(dim=1, keepdim=True) for points in (found, target)]
    offset = (middles[0] - middles[1])[:, 0]  # (N, 2)
    about = [points - middle for points, middle in zip((found, target), middles, strict=True)]
    scale = (about[0].square().sum((1, 2)) / about[1].square().sum((1, 2)).clamp(min=1e-12)).sqrt()
    rest = (about[0] - scale[:, None, None] * about[1]).norm(dim=-1).mean(dim=1)
    medians = [float(values.median()) for values in (*offset.T, scale, rest)]
    return CropCheck(*medians)


def mesh_landmarks_224(
    mesh: FaceMesh,
    z_id: Float[Tensor, "item 80"],
    z_exp: Float[Tensor, "item 64"],
    pose: Float[Tensor, "item 2"],
    fov_deg: float,
) -> Float[Tensor, "item 68 2"]:
    """Where the generator's camera sees the landmarks of some codes, as ``lm68`` holds them."""
    rows = (3 * mesh.landmark_vertices[:, None] + np.arange(3)).ravel()
    latents = torch.cat([z_id, z_exp], dim=1).double()
    mean, basis = (torch.from_numpy(values[rows]).double() for values in (mesh.mean, mesh.basis))
    shape = (mean + latents @ basis.T).unflatten(1, (68, 3))
    world = WORLD_PER_MODEL_UNIT * shape + torch.from_numpy(mesh.world_offset).double()
    pitch, yaw = pose.double().unbind(-1)
    return to_lm68(orbit_camera(yaw=yaw, pitch=pitch, size=224, fov_deg=fov_deg), world)
