"""Which vertices a face shows of which there is no render: those that its camera sees of the bare mesh of its codes.

Hair and glasses are not known, so what they cover counts as seen. Of synthetic images more is known
(:mod:`anifacegan.surfaces`).
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anifacegan.data.synthetic.renderer import rasterize_mesh, visible_corners
from anifacegan.face_model.face_mesh import FaceMesh, bare_head
from anifacegan.geometry.cameras import orbit_camera

DRAWN_PX = 512
"""A mesh is drawn at this size, whatever the image's: there BFM's triangles are as large as a pixel."""


class RasterizedVisibility:
    """Draws the mesh of an item at ``size`` pixels when it is first asked for, and keeps the bits; item by item."""

    def __init__(
        self,
        mesh: FaceMesh,
        z_id: Float[Tensor, "item 80"],
        z_exp: Float[Tensor, "item 64"],
        pose: Float[Tensor, "item 2"],
        size: int = DRAWN_PX,
    ) -> None:
        self.mesh, self.size = mesh, size
        self.z_id, self.z_exp, self.pose = z_id.numpy(), z_exp.numpy(), pose.numpy()
        self.known: dict[int, np.ndarray] = {}

    def __getitem__(self, items: Int[np.ndarray, " batch"]) -> np.ndarray:
        """(batch, vertex / 8) bits of some items."""
        for item in {int(item) for item in items} - self.known.keys():
            face = self.z_id[item], self.z_exp[item], self.pose[item]
            self.known[item] = np.packbits(visible_vertices(self.mesh, *face, self.size))
        return np.stack([self.known[int(item)] for item in items])


def visible_vertices(
    mesh: FaceMesh,
    z_id: Float[np.ndarray, "80"],
    z_exp: Float[np.ndarray, "64"],
    pose: Float[np.ndarray, "2"],
    size: int = DRAWN_PX,
) -> Bool[np.ndarray, " vertex"]:
    """Corners of the triangles that the generator's camera sees, drawn at ``size`` pixels; pose is (pitch, yaw)."""
    vertices = bare_head(mesh, z_id, z_exp)
    pitch, yaw = torch.from_numpy(pose.astype(np.float64))[:, None]
    view = rasterize_mesh(
        vertices, mesh.triangles, mesh.world_offset, orbit_camera(yaw=yaw, pitch=pitch, size=size)
    )
    return visible_corners(mesh.triangles, view.triangle[view.triangle >= 0], len(vertices))
