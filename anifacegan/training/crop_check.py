"""Check that photographs are cropped as the generator's camera expects, by their landmarks.

The landmarks of a photograph (``lm68`` in its .mat file) show where its face is. The generator will place this face
where its camera projects the mesh of the photograph's coefficients. A different crop, a wrong ``pitch_offset`` or a
wrong position of the face model appears as an offset or a scale between the landmarks in the file and those of the
projected mesh. A discriminator could tell real images from generated ones by such a difference.
"""

from dataclasses import asdict, dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.data.dataset import CoefficientTable
from anifacegan.face_model.face_mesh import FaceMesh
from anifacegan.face_model.lids import place_lids, subset_with_lids
from anifacegan.geometry.cameras import orbit_camera, to_lm68
from anifacegan.geometry.conventions import WORLD_PER_MODEL_UNIT

MOST_ITEMS = 2000
"""Largest number of data set items that are compared; they are evenly spread over the data set."""


@dataclass(frozen=True)
class CropCheck:
    """Differences between two sets of landmarks of each photograph, as medians over the photographs.

    One set is stored in the .mat file. The other is that of the face model's mesh with the photograph's coefficients,
    projected with the generator's camera. Lengths are in pixels of a 224 px image.
    """

    right_px: float
    """Distance by which the landmarks in the file lie to the right of those of the mesh, mean over the landmarks."""
    up_px: float
    """Distance by which the landmarks in the file lie above those of the mesh, mean over the landmarks."""
    scale: float
    """Spread of the landmarks in the file divided by the spread of the landmarks of the mesh."""
    rest_px: float
    """Mean distance between the landmarks in the file and those of the mesh after offset and scale are removed."""

    def plain(self) -> dict[str, float]:
        """Return the values for the model's card.yaml, rounded to three decimals."""
        return {name: round(value, 3) for name, value in asdict(self).items()}

    def line(self) -> str:
        """Describe the values in one line of text."""
        return (
            f"landmarks of the data compared with those of their coefficients, px of 224: {self.right_px:+.1f} right, "
            f"{self.up_px:+.1f} up, scale {self.scale:.3f}, {self.rest_px:.1f} otherwise"
        )


def crop_check(mesh: FaceMesh, latents: CoefficientTable, fov_deg: float) -> CropCheck | None:
    """Compare the landmarks in the .mat files of up to MOST_ITEMS photographs with those of the projected mesh.

    Returns the medians of the differences over the photographs; None if .mat files have no landmarks.

    Args:
        mesh: mesh of the face model.
        latents: coefficients, poses and landmarks of the photographs.
        fov_deg: field of view of the generator's camera, degrees.
    """
    if latents.lm68 is None:
        return None
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
    right, down = offset.T
    medians = [float(values.median()) for values in (right, -down, scale, rest)]
    return CropCheck(*medians)


def mesh_landmarks_224(
    mesh: FaceMesh,
    z_id: Float[Tensor, "item 80"],
    z_exp: Float[Tensor, "item 64"],
    pose: Float[Tensor, "item 2"],
    fov_deg: float,
) -> Float[Tensor, "item 68 2"]:
    """Project the landmarks of the face model's mesh with the generator's camera to pixels of a 224 px image, y down.

    ``z_id`` and ``z_exp`` are coefficients, ``pose`` is (pitch, yaw) in radians from frontal, ``fov_deg`` degrees.
    """
    vertices, eyes = subset_with_lids(mesh.landmark_vertices, mesh.eyes)
    rows = (3 * vertices[:, None] + np.arange(3)).ravel()
    latents = torch.cat([z_id, z_exp], dim=1).double()
    mean, basis = (torch.from_numpy(values[rows]).double() for values in (mesh.mean, mesh.basis))
    shape = (mean + latents @ basis.T).unflatten(1, (-1, 3))
    landmarks = place_lids(shape, z_exp.double(), eyes)[:, :68]
    world = WORLD_PER_MODEL_UNIT * landmarks + torch.from_numpy(mesh.world_offset).double()
    pitch, yaw = pose.double().unbind(-1)
    return to_lm68(orbit_camera(yaw=yaw, pitch=pitch, size=224, fov_deg=fov_deg), world)
