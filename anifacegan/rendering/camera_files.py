"""The cameras of rendered views, as other programs read them: nerfstudio, instant-ngp, COLMAP and EG3D.

All of them count pixels from the image's upper left corner, so that a pixel's centre is at a half; the principal point
is the image's centre. A camera is a matrix from its own frame to the world, in one of two conventions. OpenGL's (also
nerfstudio's and instant-ngp's): x right, y up, looking along -z. OpenCV's (also COLMAP's and EG3D's): x right, y down,
looking along +z. Lengths are world units; the cameras orbit the origin at distance 1.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from anifacegan.geometry.cameras import focal_length_px, orbit_rotation

DIGITS = 9
"""Digits after the point in the files."""
COLMAP_FILES = ("cameras.txt", "images.txt", "points3D.txt")
"""Names of COLMAP's text files."""
NGP_SCALE = 2.0
"""Factor from world units to instant-ngp's cube [0, 1]^3, in which a head of 0.24 world units then fills the middle."""
NGP_CUBES = 4
"""Side of the cube around the head in which instant-ngp looks for something; the background needs more than 1."""


@dataclass(frozen=True, kw_only=True)
class ViewCamera:
    """The pinhole camera of one square image."""

    yaw: float
    """Yaw in radians from frontal."""
    pitch: float
    """Pitch in radians from frontal."""
    size: int
    """Height and width of the image, pixels."""
    fov_deg: float
    """Angle between the centres of the outermost pixels, degrees."""

    @property
    def focal_px(self) -> float:
        """Focal length, pixels."""
        return focal_length_px(self.size, self.fov_deg)

    @property
    def whole_fov_rad(self) -> float:
        """Angle between the edges of the image, radians."""
        return 2 * math.atan(self.size / 2 / self.focal_px)

    @cached_property
    def opengl_to_world(self) -> Float[np.ndarray, "4 4"]:
        """Matrix from the camera's frame (x right, y up, looking along -z) to the world."""
        pitch, yaw = torch.tensor([[self.pitch], [self.yaw]], dtype=torch.float64)
        origin, axes = orbit_rotation(yaw=yaw, pitch=pitch)
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = axes[0].numpy(), origin[0].numpy()
        return matrix

    @property
    def opencv_to_world(self) -> Float[np.ndarray, "4 4"]:
        """Matrix from the camera's frame (x right, y down, looking along +z) to the world."""
        return self.opengl_to_world * np.array([1.0, -1.0, -1.0, 1.0])

    def description(self) -> dict[str, Any]:
        """Return everything about the camera by name, for JSON."""
        return {
            "fov_deg": self.fov_deg,
            "whole_fov_deg": round(math.degrees(self.whole_fov_rad), DIGITS),
            "intrinsics": self.intrinsics(),
            "camera_to_world_opengl": _rounded(self.opengl_to_world),
            "camera_to_world_opencv": _rounded(self.opencv_to_world),
            "distance": round(float(np.linalg.norm(self.opengl_to_world[:3, 3])), DIGITS),
        }

    def intrinsics(self) -> dict[str, float]:
        """Return focal lengths, principal point and size in pixels, by nerfstudio's names."""
        focal, centre = round(self.focal_px, DIGITS), self.size / 2
        return {"fl_x": focal, "fl_y": focal, "cx": centre, "cy": centre, "w": self.size, "h": self.size}


def transforms_json(files: list[str], cameras: list[ViewCamera]) -> dict[str, Any]:
    """Return the content of transforms.json, as nerfstudio and instant-ngp read it, of images with equal intrinsics.

    ``files`` are the images' paths relative to the file.
    """
    first = cameras[0]
    angle = round(first.whole_fov_rad, DIGITS)
    return {
        "camera_model": "OPENCV",
        "camera_angle_x": angle,
        "camera_angle_y": angle,
        **first.intrinsics(),
        "k1": 0.0,
        "k2": 0.0,
        "p1": 0.0,
        "p2": 0.0,
        "aabb_scale": NGP_CUBES,
        "scale": NGP_SCALE,
        "offset": [0.5, 0.5, 0.5],
        "frames": [
            {"file_path": file, "transform_matrix": _rounded(camera.opengl_to_world)}
            for file, camera in zip(files, cameras, strict=True)
        ],
    }


def colmap_texts(files: list[str], cameras: list[ViewCamera]) -> dict[str, str]:
    """Return COLMAP's three text files of images with equal intrinsics, by name; there are no points."""
    first, focal = cameras[0], round(cameras[0].focal_px, DIGITS)
    images = [
        "# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME; then a line of points, which is empty"
    ]
    for number, (file, camera) in enumerate(zip(files, cameras, strict=True), 1):
        from_world = np.linalg.inv(camera.opencv_to_world)
        numbers = [*_quaternion(from_world[:3, :3]), *from_world[:3, 3]]
        images += [f"{number} {' '.join(f'{x:.{DIGITS}f}' for x in numbers)} 1 {file}", ""]
    size, centre = f"{first.size} {first.size}", f"{first.size / 2} {first.size / 2}"
    contents = (
        f"# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]\n1 PINHOLE {size} {focal} {focal} {centre}\n",
        "\n".join(images) + "\n",
        "# POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[]\n",
    )
    return dict(zip(COLMAP_FILES, contents, strict=True))


def eg3d_label(camera: ViewCamera) -> list[float]:
    """Return EG3D's 25 numbers of an image: OpenCV's matrix to the world, and intrinsics for an image of side 1."""
    focal = camera.focal_px / camera.size
    intrinsics = [focal, 0.0, 0.5, 0.0, focal, 0.5, 0.0, 0.0, 1.0]
    return [round(float(x), DIGITS) for x in (*camera.opencv_to_world.ravel(), *intrinsics)]


def _quaternion(rotation: Float[np.ndarray, "3 3"]) -> tuple[float, float, float, float]:
    """Return the unit quaternion (w, x, y, z), w >= 0, of a rotation."""
    x, y, z, w = Rotation.from_matrix(rotation).as_quat()
    sign = 1.0 if w >= 0 else -1.0
    return sign * w, sign * x, sign * y, sign * z


def _rounded(matrix: Float[np.ndarray, "4 4"]) -> list[list[float]]:
    return [[round(float(x), DIGITS) + 0.0 for x in row] for row in matrix]
