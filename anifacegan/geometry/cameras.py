"""Pinhole cameras: rotations from angles, camera poses, and the projection of points to pixels.

A camera maps points, as rows, to its own frame and from there to pixel coordinates: x right, y down, integers at pixel
centres, the upper left one at (0, 0). Units, axes and signs of angles are
those of :mod:`anifacegan.geometry.conventions`. The generator's camera sits on the unit sphere at the polar angles
``pi/2 + yaw`` and ``pi/2 - pitch`` of AniFaceGAN (Wu et al. 2022).
"""

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.geometry.conventions import FOV_DEG

RECONSTRUCTION_FOCAL_PX = 1015.0
"""Focal length of Deep3DFaceRecon's camera for an image of 224 px, pixels."""
RECONSTRUCTION_SIZE_PX = 224
"""Height and width of Deep3DFaceRecon's images, pixels."""
RECONSTRUCTION_DISTANCE = 10.0
"""Distance of Deep3DFaceRecon's camera from the origin, model units (0.1 world units each)."""
WIDEST_VIEW_RAD = 1.4
"""Largest allowed angle, radians, between the viewing axis and the frontal viewing axis; at slightly larger angles, the
camera would see the background plane from behind."""

Points = TypeVar("Points", Tensor, np.ndarray)


@dataclass(frozen=True)
class Camera:
    """Pinhole cameras that share their intrinsics; they map points as ``p_camera = p @ rotation + translation``."""

    rotation: Float[Tensor, "batch 3 3"]
    """Columns are the camera's right, up and backward axes, in the frame of the points."""
    translation: Float[Tensor, "batch 3"]
    """Where the point (0, 0, 0) is in the camera's frame, in the unit of the points."""
    focal_px: float
    """Focal length, pixels."""
    principal_px: float
    """Pixel coordinate of the image centre (integers are pixel centres), the same for x and y."""
    size: int
    """Height and width of the image, pixels."""

    def to_camera(self, points: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point 3"]:
        """Map points to the camera's frame, where points in front of the camera have negative z."""
        return points @ self.rotation + self.translation[:, None]

    def project(self, points: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point 2"]:
        """Project points in front of the camera to pixel coordinates (x right, y down, integers at pixel centres)."""
        x_px, y_px, _ = self.pixels(self.to_camera(points))
        return torch.stack([x_px, y_px], dim=-1)

    def pixels(self, in_camera: Points) -> tuple[Points, Points, Points]:
        """Project (..., 3) points in the camera's frame; return their x, y and inverse depth, three arrays (...).

        x (right) and y (down) are pixel coordinates, real numbers that are integers at pixel centres. Depth is measured
        along the viewing axis, in the unit of the points, and positive in front of the camera.
        """
        inverse_depth = -1.0 / in_camera[..., 2]
        x_px = self.principal_px + self.focal_px * in_camera[..., 0] * inverse_depth
        y_px = self.principal_px - self.focal_px * in_camera[..., 1] * inverse_depth
        return x_px, y_px, inverse_depth


def euler_rotation(angle: Float[Tensor, "batch 3"]) -> Float[Tensor, "batch 3 3"]:
    """Rotation matrices R = (Rz Ry Rx)^T of Euler angles, for points as rows: ``p' = p @ R``.

    ``angle`` has the columns pitch, yaw and roll, radians.
    """
    (cx, cy, cz), (sx, sy, sz) = angle.cos().unbind(-1), angle.sin().unbind(-1)
    zero, one = torch.zeros_like(cx), torch.ones_like(cx)

    def matrix(*rows: Tensor) -> Tensor:
        return torch.stack(rows, dim=-1).reshape(-1, 3, 3)

    rx = matrix(one, zero, zero, zero, cx, -sx, zero, sx, cx)
    ry = matrix(cy, zero, sy, zero, one, zero, -sy, zero, cy)
    rz = matrix(cz, -sz, zero, sz, cz, zero, zero, zero, one)
    return (rz @ ry @ rx).transpose(1, 2)


def euler_from_rotation(rotation: Float[Tensor, "batch 3 3"]) -> Float[Tensor, "batch 3"]:
    """Recover the Euler angles of :func:`euler_rotation`, columns pitch, yaw and roll, for |yaw| < pi/2."""
    r = rotation
    pitch = torch.atan2(r[:, 1, 2], r[:, 2, 2])
    yaw = torch.asin((-r[:, 0, 2]).clamp(-1, 1))
    roll = torch.atan2(r[:, 0, 1], r[:, 0, 0])
    return torch.stack([pitch, yaw, roll], dim=-1)


def from_frontal(
    *, yaw: float | Float[np.ndarray, "*view"], pitch: float | Float[np.ndarray, "*view"]
) -> float | Float[np.ndarray, "*view"]:
    """Compute the angle between the viewing axis of the camera at ``yaw`` and ``pitch`` and that of the frontal camera.

    All angles are radians.
    """
    return np.arccos(np.cos(pitch) * np.cos(yaw))


def orbit_rotation(
    *, yaw: Float[Tensor, "batch"], pitch: Float[Tensor, "batch"]
) -> tuple[Float[Tensor, "batch 3"], Float[Tensor, "batch 3 3"]]:
    """Place cameras on the unit sphere, looking at the world's origin without roll.

    ``yaw`` and ``pitch`` are radians, 0 for the frontal camera. Returns the cameras' positions, world units, and their
    unit axes in the world's frame (columns: right, up, backward).
    """
    polar, azimuth = math.pi / 2 - pitch, math.pi / 2 + yaw
    origin = torch.stack(
        [polar.sin() * azimuth.cos(), polar.cos(), polar.sin() * azimuth.sin()], dim=-1
    )  # (B, 3), unit length
    across = torch.stack([origin[:, 2], torch.zeros_like(polar), -origin[:, 0]], dim=-1)  # (0, 1, 0) x origin
    right = torch.nn.functional.normalize(across, dim=-1)
    up = torch.cross(origin, right, dim=-1)
    return origin, torch.stack([right, up, origin], dim=-1)


def orbit_camera(
    *, yaw: Float[Tensor, "batch"], pitch: Float[Tensor, "batch"], size: int, fov_deg: float = FOV_DEG
) -> Camera:
    """Make the generator's camera, for points in world units: it looks at the origin from distance 1 without roll.

    ``yaw`` and ``pitch`` are radians, 0 for the frontal camera; ``size`` is the height and width of the image, pixels.
    """
    origin, axes = orbit_rotation(yaw=yaw, pitch=pitch)
    translation = -(origin[:, None] @ axes)[:, 0]
    return Camera(axes, translation, focal_length_px(size, fov_deg), (size - 1) / 2, size)


def focal_length_px(size: int, fov_deg: float) -> float:
    """Return the focal length, pixels, of an image of ``size`` x ``size`` pixels with a field of view in degrees.

    The centres of the corner pixels lie on the edges of the field of view, as in GRAM (Deng et al. 2022).
    """
    return (size - 1) / 2 / math.tan(math.radians(fov_deg / 2))


def widened_fov(fov_deg: float, reach: float) -> float:
    """Return the field of view, degrees, of a camera that shows ``reach`` times as much as one of ``fov_deg``."""
    return 2 * math.degrees(math.atan(half_angle_tangent(fov_deg, reach)))


def half_angle_tangent(fov_deg: float, reach: float) -> float:
    """Return the tangent of half the angle of a view that shows ``reach`` times as much as one of ``fov_deg``."""
    return reach * math.tan(math.radians(fov_deg / 2))


def reconstruction_camera(
    angle: Float[Tensor, "batch 3"], trans: Float[Tensor, "batch 3"], size: int
) -> Camera:
    """Make Deep3DFaceRecon's camera, for points of an unposed face in model units.

    Its rotation and translation include the face's pose; it looks along -z at the posed face from (0, 0, 10).

    Args:
        angle: columns pitch, yaw and roll of the face, radians.
        trans: translation of the face, model units.
        size: height and width of the image, pixels; the principal point is the centre of the image. The centres of
            its corner pixels are those of Deep3DFaceRecon's image of 224 px, whatever the size.
    """
    before = torch.cat([trans[:, :2], trans[:, 2:] - RECONSTRUCTION_DISTANCE], dim=1)
    focal = RECONSTRUCTION_FOCAL_PX * (size - 1) / (RECONSTRUCTION_SIZE_PX - 1)
    return Camera(euler_rotation(angle), before, focal, (size - 1) / 2, size)


def to_lm68(camera: Camera, landmarks: Float[Tensor, "batch point 3"]) -> Float[Tensor, "batch point 2"]:
    """Project landmarks to the unit of ``lm68`` in coefficient files, pixel coordinates of an image of 224 px.

    ``landmarks`` are points as ``camera`` takes them. Returned are x (right) and y (down), integers at pixel centres,
    whatever the size of the camera's image.
    """
    return camera.project(landmarks) * ((RECONSTRUCTION_SIZE_PX - 1) / (camera.size - 1))


def from_lm68(lm68: Float[Tensor, "batch 68 2"], size: int) -> Float[Tensor, "batch 68 2"]:
    """Convert the landmarks ``lm68`` of a coefficient file to pixel coordinates of a ``size`` x ``size`` image.

    ``lm68`` are pixel coordinates of a 224 x 224 image. In both images x runs right, y runs down, and integers are
    pixel centres.
    """
    return lm68 * ((size - 1) / (RECONSTRUCTION_SIZE_PX - 1))
