"""Position maps of a face model: the points where a camera's rays meet the mesh of given coefficients.

The mesh is the head without hair and clothes, with eyelids that close over the eyeballs, as in the synthetic images.
Only the face of the mesh (:attr:`anifacegan.face_model.face_mesh.FaceMesh.face`) is compared with generated faces.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from anifacegan.face_model.face_mesh import FaceMesh
from anifacegan.face_model.lids import place_lids
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.geometry.config import Backend
from anifacegan.geometry.conventions import WORLD_PER_MODEL_UNIT
from anifacegan.geometry.rasterization.rasterizer import interpolate, rasterize


@dataclass(frozen=True)
class SurfaceMap:
    """Intersections of an image's rays with a mesh, row by row from the top left."""

    x_mesh: Float[Tensor, "batch ray 3"]
    """Intersection points, world units; zero where the ray misses the mesh."""
    share: Float[Tensor, "batch ray"]
    """Weight of each ray in a mean over the face: 1 / (number of face pixels in the image) on the face, 0 elsewhere."""


class FaceSurfaces(nn.Module):
    """Renderer of position maps (the mesh point that each pixel shows) of a face model, with no learned parameters.

    Results have no gradients.
    """

    mean: Tensor
    basis: Tensor
    world_offset: Tensor
    triangles: Tensor
    on_face: Tensor

    def __init__(self, mesh: FaceMesh, fov_deg: float, backend: Backend = "auto") -> None:
        """Copy the arrays of ``mesh`` to buffers.

        ``fov_deg`` is the field of view of the generator's camera, degrees; ``backend`` is that of
        :func:`anifacegan.geometry.rasterization.rasterizer.rasterize`.
        """
        super().__init__()
        self.eyes, self.fov_deg = mesh.eyes, fov_deg
        self.backend: Backend = backend
        triangles = mesh.triangles.astype(np.int64)
        constants = {"mean": mesh.mean, "basis": mesh.basis, "world_offset": mesh.world_offset}
        constants |= {"triangles": triangles, "on_face": mesh.face[triangles].all(axis=1)}
        for name, values in constants.items():
            self.register_buffer(name, torch.from_numpy(values), persistent=False)

    @torch.no_grad()
    def forward(
        self,
        z_id: Float[Tensor, "batch 80"],
        z_exp: Float[Tensor, "batch 64"],
        angles: Float[Tensor, "batch 2"],
        size: int,
    ) -> SurfaceMap:
        """Rasterize faces of given coefficients with the generator's camera; return the points that the pixels show.

        Args:
            z_id, z_exp: identity and expression coefficients.
            angles: columns pitch and yaw of the camera, radians relative to frontal.
            size: height and width of the image, pixels; the image has size x size rays.
        """
        vertices = self.vertices(z_id, z_exp)
        pitch, yaw = angles.unbind(-1)
        camera = orbit_camera(yaw=yaw, pitch=pitch, size=size, fov_deg=self.fov_deg)
        fragments = rasterize(vertices, self.triangles, camera, self.backend)
        face = fragments.mask & self.on_face[fragments.triangle.clamp(min=0)]
        count = face.sum(dim=(1, 2), keepdim=True).clamp(min=1)
        x_mesh = interpolate(vertices, self.triangles, fragments)
        return SurfaceMap(x_mesh.flatten(1, 2), (face.to(x_mesh) / count).flatten(1))

    def vertices(
        self, z_id: Float[Tensor, "batch 80"], z_exp: Float[Tensor, "batch 64"]
    ) -> Float[Tensor, "batch vertex 3"]:
        """Compute the vertices of faces with identity ``z_id`` and expression ``z_exp``, world units, not posed."""
        coefficients = torch.cat([z_id, z_exp], dim=1)
        shape = self.mean + coefficients @ self.basis.T  # (B, 3V)
        placed = place_lids(shape.unflatten(1, (-1, 3)), z_exp, self.eyes)
        return WORLD_PER_MODEL_UNIT * placed + self.world_offset
