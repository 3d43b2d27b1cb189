"""Images that show a fit at a glance: landmarks, the fitted mesh, and both beside the crop."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw
from torch import Tensor

from anifacegan.capture.crop import to_pixels
from anifacegan.capture.fit import LandmarkFit
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.face_model.regressed import Reconstruction
from anifacegan.geometry.cameras import Camera, orbit_camera, reconstruction_camera
from anifacegan.geometry.conventions import FOV_DEG
from anifacegan.geometry.rasterization.rasterizer import interpolate, rasterize
from anifacegan.geometry.resampling import read_pixels

DETECTED, FITTED = (60, 230, 90), (255, 60, 60)
"""Colours of the detector's 478 landmarks and of the fit's 68, RGB bytes."""
MESH_SHARE = 0.7
"""Opacity of the mesh over the crop."""
FRONT_LIGHT = (0.3, 0.5, 1.0)
SUPERSAMPLING = 2


def overlay_image(
    model: MorphableModel,
    fit: LandmarkFit,
    crop: UInt8[np.ndarray, "size size 3"],
    detected: Float[np.ndarray, "point 2"],
    fitted: Float[np.ndarray, "68 2"],
) -> UInt8[np.ndarray, "size width 3"]:
    """Draw four panels side by side: the crop, its landmarks, the mesh over it, and both.

    ``detected`` are the detector's landmarks (small, green), ``fitted`` those of the fitted face (large, red), both in
    unit coordinates of the crop.
    """
    mesh = mesh_over(model, fit, crop)
    panels = [crop, dotted(crop, detected, fitted), mesh, dotted(mesh, detected, fitted)]
    return np.concatenate(panels, axis=1)


def mesh_over(
    model: MorphableModel,
    fit: LandmarkFit,
    crop: UInt8[np.ndarray, "size size 3"],
    supersampling: int = SUPERSAMPLING,
) -> UInt8[np.ndarray, "size size 3"]:
    """Draw the fitted face in grey over its crop."""
    z_id, z_exp = (torch.from_numpy(z).float()[None] for z in (fit.z_id, fit.z_exp))
    return mesh_of_coefficients(model, z_id, z_exp, [fit.pitch, fit.yaw], crop, supersampling=supersampling)


def mesh_of_coefficients(
    model: MorphableModel,
    z_id: Float[Tensor, "1 80"],
    z_exp: Float[Tensor, "1 64"],
    pose: list[float],
    crop: UInt8[np.ndarray, "size size 3"],
    fov_deg: float = FOV_DEG,
    supersampling: int = SUPERSAMPLING,
) -> UInt8[np.ndarray, "size size 3"]:
    """Draw the face of identity and expression coefficients in grey over an image.

    ``pose`` is (pitch, yaw) of the generator's camera, radians, ``fov_deg`` the image's field of view.
    """
    vertices = model.shape(z_id, z_exp)
    pitch, yaw = (torch.tensor([angle]).float() for angle in pose)
    camera = orbit_camera(yaw=yaw, pitch=pitch, size=supersampling * len(crop), fov_deg=fov_deg)
    return _mesh_in_camera(model, vertices, model.to_world(vertices), camera, crop)


def mesh_of_reconstruction(
    model: MorphableModel,
    face: Reconstruction,
    crop: UInt8[np.ndarray, "size size 3"],
    supersampling: int = SUPERSAMPLING,
) -> UInt8[np.ndarray, "size size 3"]:
    """Draw one face in grey over its crop, as Deep3DFaceRecon's camera sees it."""
    vertices = model.shape(face.id, face.exp)
    camera = reconstruction_camera(face.angle, face.trans, supersampling * len(crop))
    return _mesh_in_camera(model, vertices, vertices, camera, crop)


def _mesh_in_camera(
    model: MorphableModel,
    vertices: Float[Tensor, "1 vertex 3"],
    points: Float[Tensor, "1 vertex 3"],
    camera: Camera,
    crop: UInt8[np.ndarray, "size size 3"],
) -> UInt8[np.ndarray, "size size 3"]:
    """Draw a face's vertices in grey over an image; ``points`` are the vertices as the camera takes them."""
    fragments = rasterize(points, model.triangles, camera)
    light = torch.nn.functional.normalize(torch.tensor(FRONT_LIGHT), dim=0)
    brightness = 0.25 + 0.65 * (model.normals(vertices) @ light).clamp(min=0)
    drawn = interpolate(brightness[..., None], model.triangles, fragments)
    layers = torch.cat([drawn, fragments.mask[..., None].float()], dim=-1).permute(0, 3, 1, 2)
    grey, covered = _shrunk(layers, len(crop))[0]
    share = (MESH_SHARE * covered)[..., None].numpy()
    clay = (grey / covered.clamp(min=1e-3))[..., None].numpy()
    return np.rint(crop * (1 - share) + 255 * clay * share).clip(0, 255).astype(np.uint8)


def _shrunk(layers: torch.Tensor, size: int) -> torch.Tensor:
    """Resample images so that corner pixels' centres stay corner pixels' centres."""
    at = torch.linspace(0, layers.shape[-1] - 1, size)
    pooled = torch.nn.functional.avg_pool2d(layers, 3, stride=1, padding=1, count_include_pad=False)
    rows, columns = torch.meshgrid(at, at, indexing="ij")
    return read_pixels(pooled, torch.stack([columns, rows], dim=-1)[None], beyond="border")


def dotted(
    image: UInt8[np.ndarray, "size size 3"],
    detected: Float[np.ndarray, "point 2"],
    fitted: Float[np.ndarray, "68 2"],
) -> UInt8[np.ndarray, "size size 3"]:
    """Draw the detector's landmarks that are not nan, and the fit's 68, over a crop; see :func:`overlay_image`."""
    drawn, size = Image.fromarray(image), len(image)
    pen = ImageDraw.Draw(drawn)
    for points, colour, radius in (
        (detected, DETECTED, max(1.0, size / 400)),
        (fitted, FITTED, max(1.0, size / 200)),
    ):
        for x, y in to_pixels(points[np.isfinite(points[:, 0])], size).tolist():
            pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)
    return np.asarray(drawn)
