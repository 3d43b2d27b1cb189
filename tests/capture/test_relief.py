"""The relief behind a head: the photograph beside it, no hole under it, behind the face and before the background."""

import numpy as np

from anifacegan.capture.relief import BACK_Z, FRONT_Z, GRID, relief_mesh, relief_texture
from anifacegan.geometry.cameras import half_angle_tangent
from anifacegan.geometry.conventions import FOV_DEG

SIZE = 120


def head() -> np.ndarray:
    """Depth of a round head in the middle of the view."""
    line = np.linspace(-1, 1, SIZE)
    x, y = np.meshgrid(line, line)
    inside = np.hypot(x, y) < 0.5
    return np.where(inside, 1.07 - 0.1 * np.sqrt(np.maximum(0.25 - x * x - y * y, 0)), np.inf)


def test_it_lies_behind_the_face_and_before_the_background() -> None:
    tangent = half_angle_tangent(FOV_DEG, 1.0)
    points, texels, triangles = relief_mesh(head(), np.array([0.0, 0.0, 1.0]), np.eye(3), tangent)
    assert len(points) == GRID**2 and triangles.max() == GRID**2 - 1
    assert points[:, 2].max() <= FRONT_Z + 1e-6 and points[:, 2].min() >= BACK_Z - 1e-6
    # seen from the camera, its texture is the view
    flat = points[:, :2] / (1 - points[:, 2:]) / tangent
    np.testing.assert_allclose((flat * [1, -1] + 1) / 2, texels, atol=1e-5)
    a, b, c = points[triangles[0]]
    assert np.cross(b - a, c - a)[2] > 0, "its outside faces the camera"


def test_under_the_head_the_colours_beside_it_go_on() -> None:
    person = np.zeros((SIZE, SIZE, 3), np.float32)
    person[:] = [0.2, 0.1, 0.05]
    person[np.isfinite(head())] = [0.8, 0.6, 0.5]
    share = np.zeros((SIZE, SIZE), np.float32)
    share[:, : SIZE // 2 + 30] = 1  # hair at the left and under the head, none at the right
    share[np.isfinite(head())] = 1
    texture = relief_texture(person, share, head(), SIZE)
    under_left, beside_right = texture[SIZE // 2, SIZE // 2 - 15], texture[SIZE // 2, -8]
    np.testing.assert_allclose(under_left, [0.2, 0.1, 0.05, 1], atol=0.05)
    assert beside_right[3] < 0.01
