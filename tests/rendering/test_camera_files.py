"""Files of cameras, read as other programs do, project points to where the generator's camera sees them."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from anifacegan.data.camera_labels import label_pose
from anifacegan.geometry.cameras import orbit_camera
from anifacegan.rendering.camera_files import ViewCamera, colmap_texts, eg3d_label, transforms_json

POSES = ((0.0, 0.0), (0.35, -0.1), (-0.6, 0.25))
"""Yaw and pitch."""
SIZE, FOV_DEG = 200, 12.0
POINTS = np.random.default_rng(0).uniform(-0.1, 0.1, (68, 3))
FILES = [f"frame_{k:03}.png" for k in range(len(POSES))]


@pytest.fixture
def cameras() -> list[ViewCamera]:
    return [ViewCamera(yaw=yaw, pitch=pitch, size=SIZE, fov_deg=FOV_DEG) for yaw, pitch in POSES]


def expected(k: int) -> np.ndarray:
    """Pixels of the generator's camera, counted from the corner of the image."""
    pitch, yaw = (torch.tensor([angle], dtype=torch.float64) for angle in POSES[k][::-1])
    camera = orbit_camera(yaw=yaw, pitch=pitch, size=SIZE, fov_deg=FOV_DEG)
    return camera.project(torch.from_numpy(POINTS)[None])[0].numpy() + 0.5


def rotation_of(w: float, x: float, y: float, z: float) -> np.ndarray:
    """The rotation of a unit quaternion, as COLMAP's documentation has it."""
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def test_nerfstudio_sees_points_at_their_pixels(cameras: list[ViewCamera]) -> None:
    content = transforms_json(FILES, cameras)
    assert [frame["file_path"] for frame in content["frames"]] == FILES
    for k, frame in enumerate(content["frames"]):
        from_world = np.linalg.inv(np.array(frame["transform_matrix"]))
        x, y, z = from_world[:3, :3] @ POINTS.T + from_world[:3, 3:]
        found = np.stack(
            [content["cx"] - content["fl_x"] * x / z, content["cy"] + content["fl_y"] * y / z], axis=-1
        )
        assert np.abs(found - expected(k)).max() < 1e-4
    assert content["fl_x"] == pytest.approx(SIZE / 2 / math.tan(content["camera_angle_x"] / 2))


def test_colmap_sees_points_at_their_pixels(cameras: list[ViewCamera]) -> None:
    texts = colmap_texts(FILES, cameras)
    _, model, width, height, *numbers = texts["cameras.txt"].splitlines()[1].split()
    fx, fy, cx, cy = map(float, numbers)
    assert (model, int(width), int(height)) == ("PINHOLE", SIZE, SIZE)
    lines = [line for line in texts["images.txt"].splitlines() if not line.startswith("#")]
    assert len(lines) == 2 * len(POSES) and all(line == "" for line in lines[1::2])
    for k, line in enumerate(lines[::2]):
        number, *pose, camera, name = line.split()
        assert (int(number), camera, name) == (k + 1, "1", FILES[k])
        w, x, y, z, *translation = map(float, pose)
        seen = rotation_of(w, x, y, z) @ POINTS.T + np.array(translation)[:, None]
        found = np.stack([fx * seen[0] / seen[2] + cx, fy * seen[1] / seen[2] + cy], axis=-1)
        assert np.abs(found - expected(k)).max() < 1e-4 and (seen[2] > 0.5).all()


def test_our_reader_of_eg3d_labels_finds_the_pose(cameras: list[ViewCamera]) -> None:
    for camera in cameras:
        label = eg3d_label(camera)
        assert len(label) == 25
        pitch, yaw = label_pose(label, 0.0, Path("image.png"))
        assert (yaw, pitch) == (pytest.approx(camera.yaw, abs=1e-6), pytest.approx(camera.pitch, abs=1e-6))


def test_eg3d_sees_points_at_their_pixels(cameras: list[ViewCamera]) -> None:
    for k, camera in enumerate(cameras):
        numbers = np.array(eg3d_label(camera))
        from_world, intrinsics = np.linalg.inv(numbers[:16].reshape(4, 4)), numbers[16:].reshape(3, 3)
        seen = intrinsics @ (from_world[:3, :3] @ POINTS.T + from_world[:3, 3:])
        assert np.abs(SIZE * (seen[:2] / seen[2]).T - expected(k)).max() < 1e-4


def test_the_description_names_both_conventions(cameras: list[ViewCamera]) -> None:
    found = cameras[1].description()
    opengl, opencv = (np.array(found[f"camera_to_world_{name}"]) for name in ("opengl", "opencv"))
    np.testing.assert_allclose(opengl[:, [1, 2]], -opencv[:, [1, 2]], atol=1e-9)
    np.testing.assert_allclose(opengl[:3, 2], opengl[:3, 3], atol=1e-8)  # backward, away from the origin
    assert found["distance"] == pytest.approx(1) and found["fov_deg"] == FOV_DEG < found["whole_fov_deg"]
