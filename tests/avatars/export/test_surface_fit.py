"""The skin follows the surface that the views show, except where parts of the face have a shape of their own."""

import dataclasses

import numpy as np
import pytest

from anifacegan.avatars.export.hair_volume import scalp_of
from anifacegan.avatars.export.head_texture import neutral_views
from anifacegan.avatars.export.person_shape import PersonShape
from anifacegan.avatars.export.surface_fit import FARTHEST, surface_offset
from anifacegan.face_model.parts import SKIN
from anifacegan.geometry.normals import vertex_normals_numpy
from tests.fixtures.tiny_person import tiny_avatar, tiny_shape


@pytest.fixture(scope="module")
def shape(tmp_path_factory: pytest.TempPathFactory) -> PersonShape:
    return tiny_shape(tmp_path_factory.mktemp("face_model"))


@pytest.mark.parametrize("moved", [0.003, -0.003])
def test_the_skin_moves_to_the_avatars_surface(shape: PersonShape, moved: float) -> None:
    """An avatar that is larger, or smaller, than the mesh by the same length everywhere; near the scalp, which stays,
    vertices of this coarse mesh move less."""
    normals = vertex_normals_numpy(shape.neutral, shape.triangles)
    avatar = tiny_avatar(shape)
    vertices = (shape.neutral + moved * normals).astype(np.float32)
    mesh = dataclasses.replace(avatar.layered_mesh, vertices=vertices)
    offset = surface_offset(shape, neutral_views(dataclasses.replace(avatar, layered_mesh=mesh), 128))
    along = (offset * normals).sum(axis=1)
    parts = shape.parts
    masks = np.stack([parts.lids_mask, parts.lips_mask, parts.mouth_mask]).max(axis=0)
    free = (parts.part == SKIN) & ~scalp_of(shape) & (masks == 0)
    front = free & (normals[:, 2] > 0.7)
    assert front.sum() > 50
    assert np.median(np.abs(along - moved)[front]) < 0.3 * abs(moved)
    np.testing.assert_allclose(offset, along[:, None] * normals, atol=1e-9)
    assert np.abs(along).max() <= FARTHEST
    assert (offset[parts.part != SKIN] == 0).all() and (offset[masks == 1] == 0).all()
    assert (offset[scalp_of(shape)] == 0).all()
