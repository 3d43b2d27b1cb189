"""A photograph's pixels land on the texels that it shows, and on no others."""

import numpy as np
import pytest
import torch

from anifacegan.capture.painting import SeenTexels, seen_texels
from anifacegan.geometry.cameras import Camera, orbit_camera
from anifacegan.geometry.rasterization.texels import TexelOwners, texel_owners

SIZE, TEXTURE = 64, 48


def camera(yaw: float = 0.0) -> Camera:
    """The generator's camera."""
    return orbit_camera(yaw=torch.tensor([yaw]).double(), pitch=torch.zeros(1).double(), size=SIZE)


def square(z: float, half: float) -> np.ndarray:
    """Corners of a square that faces the frontal camera: upper left, upper right, lower left, lower right."""
    return np.array([[x, y, z] for y in (half, -half) for x in (-half, half)], np.float32)


TRIANGLES = np.array([[0, 2, 1], [3, 1, 2]], np.int32)
TEXELS = np.array([[x, y] for y in (0, TEXTURE - 1) for x in (0, TEXTURE - 1)], np.float32)


def painted(
    vertices: np.ndarray, triangles: np.ndarray, texels: np.ndarray, yaw: float = 0.0
) -> tuple[TexelOwners, SeenTexels]:
    owners = texel_owners(texels, triangles, np.ones(len(vertices)), TEXTURE)
    return owners, seen_texels(owners, vertices, triangles, camera(yaw), TEXTURE)


@pytest.mark.parametrize("yaw", [0.0, 0.6])
def test_texels_of_a_square_read_its_place_in_the_photograph(yaw: float) -> None:
    vertices = square(0.0, 0.07)
    _, seen = painted(vertices, TRIANGLES, TEXELS, yaw)
    assert seen.seen[1:-1, 1:-1].all()
    np.testing.assert_allclose(seen.facing[5:-5, 5:-5], np.cos(yaw), atol=0.12)
    columns, rows = np.meshgrid(np.arange(SIZE), np.arange(SIZE))
    ramps = np.stack([columns, rows], axis=-1).astype(np.float32)
    texel = (seen.read(ramps)[20, 30]).astype(float)
    point = np.array([[-0.07 + 0.14 * 30 / (TEXTURE - 1), 0.07 - 0.14 * 20 / (TEXTURE - 1), 0.0]])
    expected = camera(yaw).project(torch.from_numpy(point)[None])[0, 0].numpy()
    np.testing.assert_allclose(texel, expected, atol=0.02)


def test_texels_behind_another_part_of_the_layer_are_not_seen() -> None:
    vertices = np.concatenate([square(0.0, 0.08), square(0.03, 0.03)])
    triangles = np.concatenate([TRIANGLES, TRIANGLES + 4])
    texels = np.concatenate([TEXELS * [0.5, 1], TEXELS * [0.4, 1] + [0.55 * TEXTURE, 0]])
    _, seen = painted(vertices, triangles, texels)
    back, front = seen.seen[:, : TEXTURE // 2], seen.seen[:, 28:44]
    assert front[2:-2, 2:-2].all()
    assert not back[TEXTURE // 2 - 4 : TEXTURE // 2 + 4, 10:13].any(), "hidden by the front square"
    assert back[3:8].all() and back[-8:-3].all()


def test_surfaces_that_face_away_are_not_seen() -> None:
    _, seen = painted(square(0.0, 0.07), TRIANGLES[:, ::-1].copy(), TEXELS)
    assert not seen.seen.any() and (seen.facing[5:-5, 5:-5] < -0.9).all()


def test_a_texel_of_two_triangles_belongs_to_the_one_with_priority() -> None:
    texels = np.concatenate([TEXELS, TEXELS])
    triangles = np.concatenate([TRIANGLES, TRIANGLES + 4])
    priority = np.repeat([1.0, 2.0], 4)
    owners = texel_owners(texels, triangles, priority, TEXTURE)
    assert (owners.corners >= 4).all()
    np.testing.assert_allclose(owners.shares.sum(axis=1), 1, atol=1e-12)
