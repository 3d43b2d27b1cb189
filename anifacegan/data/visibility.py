"""Visible vertices of faces in photographs: the vertices of the face model's mesh that the camera sees.

Hair and glasses are unknown, so vertices behind them are counted as visible. For synthetic images, whose hair is known,
see :mod:`anifacegan.data.synthetic.geometry_buffers`.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anifacegan.data.rasterized_mesh import rasterize_mesh, visible_corners
from anifacegan.face_model.face_mesh import FaceMesh, bare_head
from anifacegan.geometry.cameras import orbit_camera

RASTER_PX = 512
"""Height and width of the z-buffer in pixels, for images of any size; a triangle of BFM is then about a pixel large."""


class RasterizedVisibility:
    """Table of the mesh vertices that the camera sees in each image of a data set.

    ``z_id`` and ``z_exp`` are the coefficients of the images' faces; ``pose`` is (pitch, yaw) of their cameras, radians
    relative to frontal. An entry is computed when its image is first requested, and then kept. Fulfils
    :class:`anifacegan.losses.mesh_points.VertexVisibility`.
    """

    def __init__(
        self,
        mesh: FaceMesh,
        z_id: Float[Tensor, "item 80"],
        z_exp: Float[Tensor, "item 64"],
        pose: Float[Tensor, "item 2"],
        size: int = RASTER_PX,
    ) -> None:
        self.mesh, self.size = mesh, size
        self.z_id, self.z_exp, self.pose = z_id.numpy(), z_exp.numpy(), pose.numpy()
        self.cache: dict[int, np.ndarray] = {}

    def __getitem__(self, items: Int[np.ndarray, " batch"]) -> np.ndarray:
        """Return (batch, ceil(vertex / 8)) uint8: one bit for each vertex (``numpy.packbits``), 1 if it is visible."""
        for item in {int(item) for item in items} - self.cache.keys():
            face = self.z_id[item], self.z_exp[item], self.pose[item]
            self.cache[item] = np.packbits(visible_vertices(self.mesh, *face, self.size))
        return np.stack([self.cache[int(item)] for item in items])


def visible_vertices(
    mesh: FaceMesh,
    z_id: Float[np.ndarray, "80"],
    z_exp: Float[np.ndarray, "64"],
    pose: Float[np.ndarray, "2"],
    size: int = RASTER_PX,
) -> Bool[np.ndarray, " vertex"]:
    """Mark the vertices of a face that the generator's camera sees: the corners of all visible triangles.

    Args:
        mesh: the mesh of the face model.
        z_id, z_exp: identity and expression coefficients.
        pose: (pitch, yaw) of the camera, radians relative to frontal.
        size: height and width of the z-buffer in pixels.
    """
    vertices = bare_head(mesh, z_id, z_exp)
    pitch, yaw = torch.from_numpy(pose.astype(np.float64))[:, None]
    view = rasterize_mesh(
        vertices, mesh.triangles, mesh.world_offset, orbit_camera(yaw=yaw, pitch=pitch, size=size)
    )
    return visible_corners(mesh.triangles, view.triangle[view.triangle >= 0], len(vertices))
