"""Cameras: the one home of angles, signs and pixels.

A camera maps points, as rows, to its own frame (x right, y up, looking along -z) and from there to pixels. Pixels are
index coordinates: an integer is the centre of a pixel, x runs right and y runs down.

Angles (pitch, yaw) are radians relative to frontal with the signs of Deep3DFaceRecon's ``angle``: at positive yaw the
face turns towards +x of the image, at positive pitch it looks down. The generator's own polar angles follow as
``camera yaw = pi/2 + yaw`` and ``camera pitch = pi/2 - pitch`` (method, section 3).
"""

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

FOV_DEG = 12.0
"""Field of view of the generator's camera, and of the images that are drawn with it, over the image height."""
RECONSTRUCTION_FOCAL_PX = 1015.0
"""Deep3DFaceRecon's focal length for its 224 px image."""
RECONSTRUCTION_SIZE_PX = 224
RECONSTRUCTION_DISTANCE = 10.0
"""Distance of Deep3DFaceRecon's camera from the origin, in model units."""

Points = TypeVar("Points", Tensor, np.ndarray)


@dataclass(frozen=True)
class Camera:
    """Pinhole cameras that share their intrinsics: ``p_camera = p @ rotation + translation``."""

    rotation: Float[Tensor, "batch 3 3"]
    """Columns are the camera's right, up and backward axes."""
    translation: Float[Tensor, "batch 3"]
    focal_px: float
    principal_px: float
    """Image centre, in index coordinates, the same for x and y."""
    size: int
    """Height and width of the image in pixels."""

    def to_camera(self, points: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point 3"]:
        """Points in the camera's frame; visible ones have negative z."""
        return points @ self.rotation + self.translation[:, None]

    def project(self, points: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point 2"]:
        """Index pixels (x right, y down) of points in front of the camera."""
        x_px, y_px, _ = self.pixels(self.to_camera(points))
        return torch.stack([x_px, y_px], dim=-1)

    def pixels(self, in_camera: Points) -> tuple[Points, Points, Points]:
        """Index pixels x and y, and the inverse depth along the viewing axis, of (..., 3) points in the camera's frame.

        Depth is positive in front of the camera. Tensors or arrays, of any floating type.
        """
        inverse_depth = -1.0 / in_camera[..., 2]
        x_px = self.principal_px + self.focal_px * in_camera[..., 0] * inverse_depth
        y_px = self.principal_px - self.focal_px * in_camera[..., 1] * inverse_depth
        return x_px, y_px, inverse_depth


def euler_rotation(angle: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 3 3"]:
    """R = (Rz Ry Rx)^T of angle = (pitch, yaw, roll), to be multiplied from the right: ``p' = p @ R``."""
    (cx, cy, cz), (sx, sy, sz) = angle.cos().unbind(-1), angle.sin().unbind(-1)
    zero, one = torch.zeros_like(cx), torch.ones_like(cx)

    def matrix(*rows: Tensor) -> Tensor:
        return torch.stack(rows, dim=-1).reshape(-1, 3, 3)

    rx = matrix(one, zero, zero, zero, cx, -sx, zero, sx, cx)
    ry = matrix(cy, zero, sy, zero, one, zero, -sy, zero, cy)
    rz = matrix(cz, -sz, zero, sz, cz, zero, zero, zero, one)
    return (rz @ ry @ rx).transpose(1, 2)


def euler_from_rotation(rotation: Float[Tensor, "batch 3 3"]) -> Float[Tensor, "batch 3"]:
    """Inverse of :func:`euler_rotation` for |yaw| < pi/2."""
    r = rotation
    pitch = torch.atan2(r[:, 1, 2], r[:, 2, 2])
    yaw = torch.asin((-r[:, 0, 2]).clamp(-1, 1))
    roll = torch.atan2(r[:, 0, 1], r[:, 0, 0])
    return torch.stack([pitch, yaw, roll], dim=-1)


def from_frontal(
    *, yaw: float | Float[np.ndarray, "*view"], pitch: float | Float[np.ndarray, "*view"]
) -> float | Float[np.ndarray, "*view"]:
    """The angle between the viewing axes of views and of the frontal one, radians."""
    return np.arccos(np.cos(pitch) * np.cos(yaw))


def orbit_rotation(
    *, yaw: Float[Tensor, "batch"], pitch: Float[Tensor, "batch"]
) -> tuple[Float[Tensor, "batch 3"], Float[Tensor, "batch 3 3"]]:
    """Origin on the unit sphere and axes (columns: right, up, backward) of a camera that looks at the origin."""
    polar, azimuth = math.pi / 2 - pitch, math.pi / 2 + yaw
    origin = torch.stack(
        [polar.sin() * azimuth.cos(), polar.cos(), polar.sin() * azimuth.sin()], dim=-1
    )  # (B, 3), unit length
    world_up = origin.new_tensor([0.0, 1.0, 0.0]).expand_as(origin)
    right = torch.nn.functional.normalize(torch.cross(world_up, origin, dim=-1), dim=-1)
    up = torch.cross(origin, right, dim=-1)
    return origin, torch.stack([right, up, origin], dim=-1)


def orbit_camera(
    *, yaw: Float[Tensor, "batch"], pitch: Float[Tensor, "batch"], size: int, fov_deg: float = FOV_DEG
) -> Camera:
    """The generator's camera, for points in world units.

    It looks at the origin from distance 1 without roll. The centres of the corner pixels lie on the edge of the field
    of view, so the focal length is (size - 1) / 2 / tan(fov / 2) pixels (method, section 1).
    """
    origin, axes = orbit_rotation(yaw=yaw, pitch=pitch)
    translation = -(origin[:, None] @ axes)[:, 0]
    half = (size - 1) / 2
    return Camera(axes, translation, half / math.tan(math.radians(fov_deg / 2)), half, size)


def reconstruction_camera(
    angle: Float[Tensor, "batch 3"], trans: Float[Tensor, "batch 3"], size: int
) -> Camera:
    """Deep3DFaceRecon's camera, for points in model units: pose the face, look at it from (0, 0, 10).

    Its principal point is the middle of the image, which in index coordinates is (size - 1) / 2.
    """
    distance = trans.new_tensor([0.0, 0.0, RECONSTRUCTION_DISTANCE])
    focal = RECONSTRUCTION_FOCAL_PX * size / RECONSTRUCTION_SIZE_PX
    return Camera(euler_rotation(angle), trans - distance, focal, (size - 1) / 2, size)


def landmarks_224(
    camera: Camera, landmarks: Float[Tensor, "batch point 3"]
) -> Float[Tensor, "batch point 2"]:
    """Landmarks as ``lm68`` holds them: pixels of a 224 px frame with y up, whatever the camera's size."""
    last = RECONSTRUCTION_SIZE_PX - 1
    scaled = camera.project(landmarks) / (camera.size - 1) * last
    return torch.stack([scaled[..., 0], last - scaled[..., 1]], dim=-1)


WIDEST_VIEW_RAD = 1.4
"""Largest angle between the view and frontal; a little further, the background plane is seen from behind."""
