"""Images of a face model's mesh for given coefficients: normals and a coarse texture, softened.

The discriminator of dual discrimination sees them beside photographs and generated images, so they say where expression
and pose are and little else: the texture is the same for everybody, and the softening hides the mesh's exact outline,
which coefficients that were fitted to a photograph miss by some pixels.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree
from torch import Tensor

from anifacegan.face_model.face_mesh import FaceMesh
from anifacegan.face_model.surface_maps import FaceSurfaces
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.geometry.config import Backend
from anifacegan.geometry.normals import vertex_normals
from anifacegan.geometry.rasterization.rasterizer import interpolate, rasterize

TEXTURE_LANDMARKS = (slice(17, 27), slice(36, 48), slice(48, 68))
"""Landmarks of brows, eyes and mouth, around which the three channels of the texture are 1."""
TEXTURE_WIDTH = 0.06
"""Distance from the landmarks, model units, at which the texture has fallen to exp(-1/2)."""
CHANNELS = 3 + len(TEXTURE_LANDMARKS)
"""Number of channels of an image: the normal's three coordinates and the texture."""


@dataclass(frozen=True)
class FaceCodes:
    """Coefficients and camera poses of faces, from which the mesh is drawn."""

    z_id: Float[Tensor, "batch 80"]
    """Identity coefficients."""
    z_exp: Float[Tensor, "batch 64"]
    """Expression coefficients."""
    pose: Float[Tensor, "batch 2"]
    """(pitch, yaw) of the camera, radians relative to frontal."""
    mirrored: Bool[Tensor, "batch"]
    """Whether the image shows the mirror image of this face."""

    def __len__(self) -> int:
        return len(self.pose)

    def __getitem__(self, part: slice) -> "FaceCodes":
        return FaceCodes(self.z_id[part], self.z_exp[part], self.pose[part], self.mirrored[part])


class MeshImages(FaceSurfaces):
    """Renderer of a mesh's normals and coarse texture, without gradients and with no learned parameters.

    ``blur`` is the softening: the standard deviation of a Gaussian, in image heights.
    """

    texture: Tensor

    def __init__(
        self, mesh: FaceMesh, fov_deg: float, backend: Backend = "auto", blur: float = 1 / 64
    ) -> None:
        super().__init__(mesh, fov_deg, backend)
        self.blur = blur
        self.register_buffer("texture", torch.from_numpy(coarse_texture(mesh)), persistent=False)

    @torch.no_grad()
    def images(self, faces: FaceCodes, size: int) -> Float[Tensor, "batch channel size size"]:
        """Draw the faces as images of ``size`` x ``size`` pixels: normals in the camera's frame (x right, y up, z
        towards the camera), then the texture; 0 beside the face."""
        z_id, z_exp, pose = (values.to(self.basis) for values in (faces.z_id, faces.z_exp, faces.pose))
        pitch, yaw = pose.unbind(-1)
        camera = orbit_camera(yaw=yaw, pitch=pitch, size=size, fov_deg=self.fov_deg)
        vertices = self.vertices(z_id, z_exp)
        fragments = rasterize(vertices, self.triangles, camera, self.backend)
        normals = vertex_normals(vertices, self.triangles) @ camera.rotation
        attributes = torch.cat([normals, self.texture.to(normals).expand(len(normals), -1, -1)], dim=-1)
        shown = interpolate(attributes, self.triangles, fragments).permute(0, 3, 1, 2)  # (B, C, H, W)
        face = fragments.mask & self.on_face[fragments.triangle.clamp(min=0)]
        shown = shown * face[:, None]
        mirrored = faces.mirrored[:, None, None, None]
        shown = torch.where(mirrored, shown.flip(-1), shown)
        across = torch.where(mirrored, -shown[:, :1], shown[:, :1])  # the mirror turns the normal's x
        return softened(torch.cat([across, shown[:, 1:]], dim=1), self.blur * size)


def softened(
    images: Float[Tensor, "batch channel size size"], deviation_px: float
) -> Float[Tensor, "batch channel size size"]:
    """Blur images by a Gaussian of a standard deviation in pixels; beyond the border they are 0."""
    radius = max(1, round(3 * deviation_px))
    along = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (along / max(deviation_px, 1e-3)).square())
    kernel = (kernel / kernel.sum()).expand(images.shape[1], 1, 1, -1)  # (C, 1, 1, K)
    groups = images.shape[1]
    across = torch.nn.functional.conv2d(images, kernel, padding=(0, radius), groups=groups)
    return torch.nn.functional.conv2d(across, kernel.transpose(2, 3), padding=(radius, 0), groups=groups)


def coarse_texture(mesh: FaceMesh) -> Float[np.ndarray, "vertex 3"]:
    """Compute a texture that is the same for everybody: how near each vertex of the mean face is to the brows, to the
    eyes and to the mouth, from 0 to 1."""
    mean = mesh.mean.reshape(-1, 3)
    distances = [cKDTree(mean[mesh.landmark_vertices[part]]).query(mean)[0] for part in TEXTURE_LANDMARKS]
    return np.exp(-0.5 * (np.stack(distances, axis=1) / TEXTURE_WIDTH) ** 2).astype(np.float32)
