"""Seen texels have the avatar's colour, others go on smoothly; hair moves out to where views see past it."""

import dataclasses

import numpy as np
import pytest

from anifacegan.avatars.avatar import Avatar
from anifacegan.avatars.export.hair_volume import TALLEST, hair_thickness, scalp_of
from anifacegan.avatars.export.head_texture import HeadTexture, head_texture, neutral_views, posed_views
from anifacegan.avatars.export.person_shape import PersonShape
from anifacegan.avatars.export.shading_removal import without_shading
from anifacegan.geometry.normals import vertex_normals_numpy
from tests.fixtures.tiny_person import colour_at, tiny_avatar, tiny_shape

TEXTURE, VIEW = 256, 128


@pytest.fixture(scope="module")
def shape(tmp_path_factory: pytest.TempPathFactory) -> PersonShape:
    return tiny_shape(tmp_path_factory.mktemp("face_model"))


@pytest.fixture(scope="module")
def avatar(shape: PersonShape) -> Avatar:
    return tiny_avatar(shape)


@pytest.fixture(scope="module")
def texture(shape: PersonShape, avatar: Avatar) -> HeadTexture:
    views = neutral_views(avatar, VIEW)
    return head_texture(shape, posed_views(avatar, shape, np.zeros_like(shape.neutral), views), TEXTURE)


def places(shape: PersonShape, texture: HeadTexture) -> np.ndarray:
    return (shape.neutral[texture.owners.corners] * texture.owners.shares[..., None]).sum(axis=1)


def test_seen_texels_have_the_avatars_colours(shape: PersonShape, texture: HeadTexture) -> None:
    found = texture.rgb.reshape(-1, 3)[texture.owners.flat]
    expected = colour_at(places(shape, texture))
    front = texture.seen & (places(shape, texture)[:, 2] > 0.045)
    assert front.sum() > 500
    assert np.abs(found - expected)[front].max() < 0.04
    assert np.sqrt(np.mean((found - expected)[front] ** 2)) < 0.01


def test_the_back_is_not_seen_and_goes_on_smoothly(shape: PersonShape, texture: HeadTexture) -> None:
    back = places(shape, texture)[:, 2] < -0.07
    found = texture.rgb.reshape(-1, 3)[texture.owners.flat]
    assert not texture.seen[back].any()
    assert (found[back] > 0.02).all() and (found[back] < 0.98).all()


def test_no_texel_of_the_image_is_empty(texture: HeadTexture) -> None:
    assert (texture.rgb.sum(axis=2) > 0.05).all()


def test_an_expression_that_cannot_be_made_is_left_out_and_said(
    shape: PersonShape, avatar: Avatar, capsys: pytest.CaptureFixture[str]
) -> None:
    z_exp = np.zeros((0, 64), np.float32)
    mesh = dataclasses.replace(
        avatar.layered_mesh, z_exp=z_exp, blendshapes=avatar.layered_mesh.blendshapes[:0], shades=None,
        texel_offsets=np.zeros((0, 1, 0, 2), np.float32),
    )  # fmt: skip
    still = dataclasses.replace(avatar, layered_mesh=mesh)
    views = neutral_views(avatar, 32)
    assert len(posed_views(still, shape, np.zeros_like(shape.neutral), views)) == len(views)
    lines = capsys.readouterr().err.splitlines()
    assert (
        len(lines) == 2
        and "not baked with jaw_open: the colours of the inside of the mouth are guessed" in lines[0]
    )


def test_a_bald_head_has_no_hair(shape: PersonShape, avatar: Avatar) -> None:
    assert hair_thickness(shape, neutral_views(avatar, VIEW)).max() < 0.002


def test_hair_moves_the_scalp_out_to_what_the_views_see(shape: PersonShape, avatar: Avatar) -> None:
    """An avatar whose scalp is 1 cm further out than the face model's, in the middle of the hair."""
    scalp = scalp_of(shape)
    thick = np.where(scalp, 0.01, 0.0)
    vertices = shape.neutral + thick[:, None] * shape.parts.hair_dir
    mesh = dataclasses.replace(avatar.layered_mesh, vertices=vertices.astype(np.float32))
    found = hair_thickness(shape, neutral_views(dataclasses.replace(avatar, layered_mesh=mesh), VIEW))
    assert (found[~scalp] == 0).all() and found.max() < TALLEST
    middle = scalp & (shape.neutral[:, 1] > 0.07) & (shape.neutral[:, 2] > 0)
    assert middle.sum() > 10
    assert abs(np.median(found[middle]) - 0.01) < 0.002


def test_shading_is_removed_and_the_mean_colour_stays(shape: PersonShape, texture: HeadTexture) -> None:
    """The face model's albedo is one grey; lit from the side and above, the texture must become even again."""
    owners = texture.owners
    normals = vertex_normals_numpy(shape.neutral, shape.triangles)
    ways = (normals[owners.corners] * owners.shares[..., None]).sum(axis=1)
    image = np.full((TEXTURE * TEXTURE, 3), 0.5)
    image[owners.flat] = 0.5 * (0.8 + ways @ [0.25, 0.15, 0.1])[:, None] * [1.0, 0.8, 0.6]
    lit = dataclasses.replace(texture, rgb=image.reshape(TEXTURE, TEXTURE, 3))
    even = without_shading(shape, lit).reshape(-1, 3)[owners.flat]
    face = texture.seen & (places(shape, texture)[:, 2] > 0.04)
    before, after = image[owners.flat][face], even[face]
    assert (after.std(axis=0) < 0.15 * before.std(axis=0)).all()
    np.testing.assert_allclose(after.mean(axis=0), before.mean(axis=0), rtol=0.05)
