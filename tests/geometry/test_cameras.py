"""Cameras: signs of angles, projection and Euler angles, against closed formulas."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from anifacegan.geometry.cameras import (
    Camera,
    euler_from_rotation,
    euler_rotation,
    from_lm68,
    orbit_camera,
    orbit_rotation,
    reconstruction_camera,
    to_lm68,
)

EXACT = 1e-12
"""Tolerance of float64 rounding in sums of a few products."""
NOSE = torch.tensor([[[0.0, 0.0, 0.1]]], dtype=torch.float64)


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def random_angles(count: int, seed: int) -> dict[str, Tensor]:
    """Yaw within +-1.2 and pitch within +-0.6 radians, as keyword arguments."""
    rng = torch.Generator().manual_seed(seed)
    pitch, yaw = 2 * torch.rand(2, count, generator=rng, dtype=torch.float64) - 1
    return {"yaw": 1.2 * yaw, "pitch": 0.6 * pitch}


def centre_of(camera: Camera) -> Tensor:
    """(B, 3) positions of the cameras."""
    return -(camera.rotation @ camera.translation[..., None])[..., 0]


def turn_x(a: float) -> np.ndarray:
    return np.array([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])


def turn_y(a: float) -> np.ndarray:
    return np.array([[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]])


def turn_z(a: float) -> np.ndarray:
    return np.array([[math.cos(a), -math.sin(a), 0], [math.sin(a), math.cos(a), 0], [0, 0, 1]])


def test_frontal_camera_sees_x_to_the_right_and_y_up() -> None:
    camera = orbit_camera(yaw=numbers(0), pitch=numbers(0), size=101)
    focal = 50 / math.tan(math.radians(6))
    points = torch.tensor([[[0.0, 0.0, 0.0], [0.03, 0.02, 0.0], [0.03, 0.02, 0.1]]], dtype=torch.float64)
    offsets = torch.tensor([[0, 0], [0.03, -0.02], [0.03 / 0.9, -0.02 / 0.9]], dtype=torch.float64)
    torch.testing.assert_close(centre_of(camera)[0], numbers(0, 0, 1), atol=EXACT, rtol=0)
    torch.testing.assert_close(camera.project(points)[0], 50 + focal * offsets, atol=1e-9, rtol=0)


def test_points_before_the_camera_have_negative_z() -> None:
    camera = orbit_camera(**random_angles(9, seed=0), size=8)
    torch.testing.assert_close(
        camera.to_camera(torch.zeros(9, 1, 3).double())[:, 0],
        numbers(0, 0, -1).expand(9, 3),
        atol=EXACT,
        rtol=0,
    )


def test_positive_yaw_turns_the_face_towards_plus_x() -> None:
    """A nose at distance 0.1 before the axis moves right by sin(yaw) of it."""
    camera = orbit_camera(yaw=numbers(0.3), pitch=numbers(0), size=101)
    x, y = camera.project(NOSE)[0, 0]
    expected = 50 + camera.focal_px * 0.1 * math.sin(0.3) / (1 - 0.1 * math.cos(0.3))
    assert x.item() == pytest.approx(expected, abs=1e-9) and expected > 60
    assert y.item() == pytest.approx(50, abs=1e-9)


def test_positive_pitch_makes_the_face_look_down() -> None:
    camera = orbit_camera(yaw=numbers(0), pitch=numbers(0.3), size=101)
    x, y = camera.project(NOSE)[0, 0]
    expected = 50 + camera.focal_px * 0.1 * math.sin(0.3) / (1 - 0.1 * math.cos(0.3))
    assert y.item() == pytest.approx(expected, abs=1e-9) and expected > 60
    assert x.item() == pytest.approx(50, abs=1e-9)


def test_the_orbit_camera_has_the_position_of_the_method() -> None:
    yaw, pitch = random_angles(20, seed=1).values()
    polar, azimuth = math.pi / 2 - pitch, math.pi / 2 + yaw
    origin = torch.stack([polar.sin() * azimuth.cos(), polar.cos(), polar.sin() * azimuth.sin()], dim=-1)
    torch.testing.assert_close(
        centre_of(orbit_camera(yaw=yaw, pitch=pitch, size=8)), origin, atol=EXACT, rtol=0
    )


def test_orbit_camera_looks_at_the_origin_without_roll() -> None:
    camera = orbit_camera(**random_angles(20, seed=2), size=64)
    axis = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.05, 0.0]]).double().expand(20, 2, 3)
    x, y = camera.project(axis).unbind(-1)
    torch.testing.assert_close(x, torch.full_like(x, 31.5), atol=1e-9, rtol=0)
    torch.testing.assert_close(y[:, 0], torch.full_like(y[:, 0], 31.5), atol=1e-9, rtol=0)
    assert (y[:, 1] < y[:, 0]).all()


def test_orbit_turns_the_head_by_yaw_and_then_by_pitch() -> None:
    yaw, pitch = random_angles(8, seed=3).values()
    rotation = orbit_camera(yaw=yaw, pitch=pitch, size=8).rotation.numpy()
    for k in range(8):
        expected = (turn_x(pitch[k].item()) @ turn_y(yaw[k].item())).T
        np.testing.assert_allclose(rotation[k], expected, atol=EXACT)


def test_corner_pixel_centres_lie_on_the_edge_of_the_field_of_view() -> None:
    edge = math.tan(math.radians(7.5))
    corners = torch.tensor([[[-edge, edge, 0.0], [edge, -edge, 0.0]]], dtype=torch.float64)
    camera = orbit_camera(yaw=numbers(0), pitch=numbers(0), size=33, fov_deg=15.0)
    expected = torch.tensor([[[0.0, 0.0], [32.0, 32.0]]], dtype=torch.float64)
    torch.testing.assert_close(camera.project(corners), expected, atol=1e-9, rtol=0)


def test_default_field_of_view_is_12_degrees() -> None:
    camera = orbit_camera(yaw=numbers(0), pitch=numbers(0), size=65)
    assert camera.focal_px == pytest.approx(32 / math.tan(math.radians(6)))


def test_euler_rotation_is_the_transposed_product_of_the_three_turns() -> None:
    angles = torch.randn(8, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    rotations = euler_rotation(angles).numpy()
    for (pitch, yaw, roll), rotation in zip(angles.tolist(), rotations, strict=True):
        np.testing.assert_allclose(rotation, (turn_z(roll) @ turn_y(yaw) @ turn_x(pitch)).T, atol=EXACT)


def test_euler_angles_are_recovered_from_their_rotation() -> None:
    rng = torch.Generator().manual_seed(5)
    angles = 3 * torch.rand(50, 3, generator=rng, dtype=torch.float64) - 1.5
    torch.testing.assert_close(euler_from_rotation(euler_rotation(angles)), angles, atol=1e-9, rtol=0)


def test_an_orbit_rotation_is_recovered_from_its_euler_angles() -> None:
    rotation = orbit_camera(**random_angles(20, seed=6), size=8).rotation
    torch.testing.assert_close(euler_rotation(euler_from_rotation(rotation)), rotation, atol=1e-12, rtol=0)


@pytest.mark.parametrize(("pitch", "yaw"), [(0.0, 0.4), (0.3, 0.0), (-0.3, 0.0), (0.0, -0.4)])
def test_yaw_or_pitch_alone_is_the_euler_angle(pitch: float, yaw: float) -> None:
    """With both, the Euler angles of an orbit include a roll."""
    angles = euler_from_rotation(orbit_camera(yaw=numbers(yaw), pitch=numbers(pitch), size=8).rotation)
    torch.testing.assert_close(angles[0], numbers(pitch, yaw, 0.0), atol=EXACT, rtol=0)


@pytest.mark.parametrize("size", [224, 448])
def test_reconstruction_camera_matches_a_slow_reference(size: int) -> None:
    """Deep3DFaceRecon: p' = p R + trans, depth 10 - z, focal 1015 and centre 112 for 224 px measured from the corner of
    the image, y up. An index pixel lies half a pixel from the corner of the image; other sizes have the same corner
    pixels, as lm68 has."""
    rng = torch.Generator().manual_seed(7)
    angle = 0.4 * torch.randn(3, 3, generator=rng, dtype=torch.float64)
    trans = 0.2 * torch.randn(3, 3, generator=rng, dtype=torch.float64)
    points = 0.8 * torch.randn(3, 5, 3, generator=rng, dtype=torch.float64)
    pixels = reconstruction_camera(angle, trans, size).project(points)
    for b in range(3):
        pitch, yaw, roll = angle[b].tolist()
        rotation = (turn_z(roll) @ turn_y(yaw) @ turn_x(pitch)).T
        for n in range(5):
            x, y, z = points[b, n].numpy() @ rotation + trans[b].numpy()
            right, down = 1015 * x / (10 - z) + 112 - 0.5, 224 - (1015 * y / (10 - z) + 112) - 0.5
            np.testing.assert_allclose(pixels[b, n], np.array([right, down]) * (size - 1) / 223, atol=1e-9)
    in_file = to_lm68(reconstruction_camera(angle, trans, size), points)
    torch.testing.assert_close(
        in_file, to_lm68(reconstruction_camera(angle, trans, 224), points), atol=1e-9, rtol=0
    )


def test_both_cameras_turn_the_face_the_same_way() -> None:
    """The nose moves by the same share of the image, up to the difference of the two fields of view."""
    for pitch, yaw in [(0.0, 0.3), (0.3, 0.0), (-0.2, -0.3)]:
        ours = orbit_camera(yaw=numbers(yaw), pitch=numbers(pitch), size=224).project(NOSE)[0, 0] - 111.5
        angle = numbers(pitch, yaw, 0.0)[None]
        theirs = (
            reconstruction_camera(angle, torch.zeros(1, 3).double(), 224).project(10 * NOSE)[0, 0] - 111.5
        )
        torch.testing.assert_close(ours, theirs, rtol=0.1, atol=1.5)


@pytest.mark.parametrize("size", [65, 224])
def test_landmarks_are_in_a_224_frame_with_y_down_whatever_the_size(size: int) -> None:
    """Pixel 0 maps to 0 and the last pixel to 223; y is counted from the top."""
    edge = math.tan(math.radians(6))
    points = (
        edge * torch.tensor([[[-1.0, -1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 0.0]]]).double()
    )
    expected = torch.tensor([[0, 223], [223, 0], [111.5, 55.75], [111.5, 111.5]]).double()
    camera = orbit_camera(yaw=numbers(0), pitch=numbers(0), size=size)
    torch.testing.assert_close(to_lm68(camera, points)[0], expected, atol=1e-9, rtol=0)


def test_projection_is_differentiable_in_pose_and_points() -> None:
    points = 0.1 * torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(8), dtype=torch.float64)

    def project(yaw: Tensor, pitch: Tensor, points: Tensor) -> Tensor:
        return orbit_camera(yaw=yaw, pitch=pitch, size=16).project(points)

    inputs = (numbers(0.5, 0.0), numbers(0.2, -0.1), points)
    assert torch.autograd.gradcheck(project, [value.requires_grad_() for value in inputs])


@pytest.mark.parametrize("size", [64, 224])
def test_landmarks_from_lm68_are_the_projected_pixels(size: int) -> None:
    camera = orbit_camera(yaw=numbers(0.3), pitch=numbers(-0.1), size=size)
    points = 0.05 * torch.randn(1, 68, 3, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    pixels = from_lm68(to_lm68(camera, points), size)
    torch.testing.assert_close(pixels, camera.project(points), atol=1e-9, rtol=0)


def test_the_axes_are_exactly_those_of_the_product_with_the_upward_axis() -> None:
    angles = {"yaw": torch.linspace(-1, 1, 7), "pitch": torch.linspace(-0.5, 0.7, 7)}
    origin, axes = orbit_rotation(**angles)
    up = torch.tensor([0.0, 1.0, 0.0]).expand_as(origin)
    right = torch.nn.functional.normalize(torch.cross(up, origin, dim=-1), dim=-1)
    expected = torch.stack([right, torch.cross(origin, right, dim=-1), origin], dim=-1)
    assert torch.equal(axes, expected)
