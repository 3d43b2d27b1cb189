"""Images of the mesh for dual discrimination: what they show, how soft they are, and that a mirror image is one."""

import dataclasses

import numpy as np
import pytest
import torch

from anifacegan.data.synthetic.surface.head import head_geometry
from anifacegan.face_model.face_mesh import FaceMesh
from anifacegan.face_model.mesh_images import CHANNELS, FaceCodes, MeshImages, coarse_texture, softened
from tests.fixtures.tiny_head import tiny_model, tiny_parts

SIZE = 48


@pytest.fixture(scope="module")
def mesh() -> FaceMesh:
    model = tiny_model()
    return head_geometry(model, tiny_parts(model))


def codes(yaw: float = 0.2, mirrored: bool = False, expression: float = 0.0) -> FaceCodes:
    z_exp = torch.full((1, 64), expression)
    return FaceCodes(torch.zeros(1, 80), z_exp, torch.tensor([[0.1, yaw]]), torch.tensor([mirrored]))


def drawn(mesh: FaceMesh, faces: FaceCodes, blur: float = 1e-4) -> torch.Tensor:
    return MeshImages(mesh, 12.0, "numba", blur).images(faces, SIZE)[0]


def test_normals_are_unit_vectors_towards_the_camera_and_nothing_is_beside_the_face(mesh: FaceMesh) -> None:
    image = drawn(mesh, codes())
    assert image.shape == (CHANNELS, SIZE, SIZE)
    length = image[:3].norm(dim=0)
    shown = length > 0
    assert 0.05 < shown.float().mean() < 0.95 and (image[:, ~shown] == 0).all()
    assert (length[shown] <= 1 + 1e-5).all() and length[
        shown
    ].mean() > 0.9  # interpolated between unit vectors
    assert (image[2][shown] > 0).float().mean() > 0.9
    rows, columns = shown.nonzero(as_tuple=True)
    across = image[0][rows, columns]
    assert (
        np.corrcoef(columns.numpy(), across.numpy())[0, 1] > 0.5
    )  # on a ball normals lead away from the middle
    assert np.corrcoef(rows.numpy(), image[1][rows, columns].numpy())[0, 1] < -0.5


def test_a_mirror_image_is_that_of_the_image_with_the_normals_turned(mesh: FaceMesh) -> None:
    plain, mirrored = drawn(mesh, codes()), drawn(mesh, codes(mirrored=True))
    signs = torch.tensor([-1.0, 1.0, 1.0, 1.0, 1.0, 1.0])[:, None, None]
    torch.testing.assert_close(mirrored, signs * plain.flip(-1), atol=1e-6, rtol=0)


def test_expressions_and_poses_change_the_image(mesh: FaceMesh) -> None:
    plain = drawn(mesh, codes())
    for other in (codes(yaw=-0.2), codes(expression=0.5)):
        assert (drawn(mesh, other) - plain).abs().max() > 0.05


def test_the_texture_marks_brows_eyes_and_mouth_and_is_the_same_for_all(mesh: FaceMesh) -> None:
    texture = coarse_texture(mesh)
    for channel, part in enumerate((slice(17, 27), slice(36, 48), slice(48, 68))):
        assert (texture[mesh.landmark_vertices[part], channel] == 1).all()
    assert texture.min() >= 0 and texture.mean() < 0.5
    other = dataclasses.replace(mesh, basis=2 * mesh.basis)
    assert np.array_equal(coarse_texture(other), texture)


def test_softening_keeps_sums_and_has_the_asked_width() -> None:
    point = torch.zeros(1, 2, 41, 41)
    point[0, :, 20, 20] = 1.0
    blurred = softened(point, 2.0)
    torch.testing.assert_close(blurred.sum((2, 3)), torch.ones(1, 2))
    place = torch.arange(41.0) - 20
    for axis in (2, 3):
        variance = (blurred[0, 0].sum(axis - 3 if axis == 3 else 1) * place.square()).sum()
        assert variance.sqrt().item() == pytest.approx(2.0, rel=0.03)
