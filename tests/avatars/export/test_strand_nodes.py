"""Hanging hair and lashes of a head: which strands become ribbons, how they move, and what the file says of them."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from anifacegan.avatars.avatar import Avatar
from anifacegan.avatars.export.config import GlbConfig
from anifacegan.avatars.export.glb_file import glb_bytes
from anifacegan.avatars.export.glb_head import glb_scene
from anifacegan.avatars.export.grown_strands import PersonStrands
from anifacegan.avatars.export.morph_targets import morph_targets
from anifacegan.avatars.export.painted_head import PaintedHead
from anifacegan.avatars.export.person_shape import PersonShape
from anifacegan.avatars.export.strand_nodes import CLEAR, HAIR_STEPS, LEAST_CLEAR, hair_mesh, strand_nodes
from anifacegan.runtime.errors import ConfigError
from tests.fixtures.drawn_glb import GlbReader
from tests.fixtures.tiny_person import SHAPES, tiny_avatar, tiny_shape
from tests.fixtures.tiny_strands import tiny_strands

pytest.importorskip("pygltflib", reason="pip install 'anifacegan[glb]'")
ORIGIN = np.zeros(3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("face_model")


@pytest.fixture(scope="module")
def shape(folder: Path) -> PersonShape:
    return tiny_shape(folder)


@pytest.fixture(scope="module")
def avatar(shape: PersonShape) -> Avatar:
    return tiny_avatar(shape)


@pytest.fixture(scope="module")
def head(shape: PersonShape) -> PaintedHead:
    rgb = np.broadcast_to([0.6, 0.3, 0.1], (64, 64, 3)).copy()
    return PaintedHead(shape, np.zeros_like(shape.neutral), rgb, 1.0)


@pytest.fixture(scope="module")
def long_hair(shape: PersonShape, folder: Path) -> PersonStrands:
    return tiny_strands(folder / "face_model.npz", "long")


@pytest.fixture(scope="module")
def targets(shape: PersonShape, avatar: Avatar) -> dict[str, np.ndarray]:
    names = {name: avatar.expressions.coefficients(name) for name in SHAPES}
    return morph_targets(shape, names, GlbConfig().least_move)


@pytest.fixture(scope="module", params=[True, False], ids=["unlit", "lit"])
def reader(
    request: pytest.FixtureRequest,
    avatar: Avatar,
    head: PaintedHead,
    targets: dict[str, np.ndarray],
    long_hair: PersonStrands,
    tmp_path_factory: pytest.TempPathFactory,
) -> GlbReader:
    path = tmp_path_factory.mktemp("head") / "tiny.glb"
    scene = glb_scene(
        avatar, head, targets, GlbConfig(hair_ribbons=300), strands=long_hair, unlit=request.param
    )
    path.write_bytes(glb_bytes(scene))
    return GlbReader(path)


def test_hair_hangs_clear_of_the_head_beside_the_face(long_hair: PersonStrands, head: PaintedHead) -> None:
    mesh = hair_mesh(long_hair, head, 120, ORIGIN, True)
    assert mesh is not None
    ribbons = mesh.points.reshape(-1, HAIR_STEPS, 2, 3)
    assert 20 <= len(ribbons) <= 120
    middle = ribbons.mean(axis=2)
    away, nearest = cKDTree(head.shape.neutral).query(middle)
    assert (away.max(axis=1) > CLEAR).all() and (away[:, 0] < away.max(axis=1)).all()
    assert (np.linalg.norm(np.diff(middle, axis=1), axis=2).sum(axis=1) > 0.8 * LEAST_CLEAR).all()
    over_face = (head.shape.parts.face_mask[nearest] > 0.5) & (away < 0.02)
    assert over_face[:, 1:].mean() < 0.25


@pytest.mark.parametrize("style", ["bald", "buzz"])
def test_people_without_hanging_hair_have_lashes_only(
    style: str, head: PaintedHead, targets: dict[str, np.ndarray], shape: PersonShape, folder: Path
) -> None:
    strands = tiny_strands(folder / "face_model.npz", style)
    nodes = strand_nodes(strands, head, targets, ORIGIN, GlbConfig(hair_ribbons=300))
    assert [node.name for node in nodes] == ["lashes"]


def test_numbers_of_ribbons_are_kept_and_zero_leaves_them_out(
    long_hair: PersonStrands, head: PaintedHead, targets: dict[str, np.ndarray]
) -> None:
    few = strand_nodes(long_hair, head, targets, ORIGIN, GlbConfig(hair_ribbons=7, lash_ribbons=5))
    assert [len(node.mesh.points) for node in few if node.mesh] == [7 * HAIR_STEPS * 2, 5 * 3 * 2]
    none = strand_nodes(long_hair, head, targets, ORIGIN, GlbConfig(hair_ribbons=0, lash_ribbons=0))
    assert none == ()
    with pytest.raises(ConfigError, match="hair_ribbons"):
        GlbConfig(hair_ribbons=-1)


def test_lashes_stand_on_the_lids_in_every_target(
    reader: GlbReader, long_hair: PersonStrands, head: PaintedHead, targets: dict[str, np.ndarray]
) -> None:
    place = reader.transforms()[reader.node("lashes")][:3, 3]
    names = reader.target_names("lashes")
    assert "blink" in names
    for name in [None, *names]:
        moved = head.shape.neutral + (targets[name] if name else 0)
        expected = cKDTree(long_hair.lashes(moved)[0][:, 0])
        points = place + reader.points("lashes", {name: 1.0} if name else None)
        roots = points.reshape(-1, 3, 2, 3)[:, 0].mean(axis=1)
        move = np.linalg.norm(targets[name], axis=1).max() if name else 0.0
        assert expected.query(roots)[0].max() < 0.013 * move + 1e-4, name


def test_hair_follows_the_head_and_no_target(reader: GlbReader) -> None:
    assert reader.target_names("hair") == []
    pivot = reader.transforms()[reader.node("head")][:3, 3]
    children = {reader.gltf.nodes[k].name for k in reader.gltf.nodes[reader.node("head")].children}
    assert {"hair", "lashes"} <= children
    turn = Rotation.from_rotvec([0.3, 0.2, 0.0])
    before, after = reader.posed(), reader.posed(None, {"head": turn.as_quat()})
    first = sum(len(reader.points(name)) for name in reader.mesh_nodes[: reader.mesh_nodes.index("hair")])
    hair = slice(first, first + len(reader.points("hair")))
    expected = (before.points[hair] - pivot) @ turn.as_matrix().T + pivot
    np.testing.assert_allclose(after.points[hair], expected, atol=1e-9)


def test_materials_are_cut_out_two_sided_and_in_the_colour_of_the_heads_hair(reader: GlbReader) -> None:
    hair, lashes, skin = (reader.material(name) for name in ("hair", "lashes", "skin"))
    assert hair.alphaMode == "MASK" and hair.doubleSided and lashes.doubleSided and not skin.doubleSided
    assert lashes.alphaMode == "OPAQUE" and len(reader.gltf.materials) == 3
    unlit = bool(reader.gltf.extensionsUsed)
    assert all(bool(material.extensions) == unlit for material in (hair, lashes, skin))
    factor = np.array(hair.pbrMetallicRoughness.baseColorFactor[:3])
    rgb = (factor * reader.attribute("hair", "COLOR_0")[:, :3]).mean(axis=0)
    texture = ((np.array([0.6, 0.3, 0.1]) + 0.055) / 1.055) ** 2.4
    np.testing.assert_allclose(rgb / rgb.sum(), texture / texture.sum(), atol=0.02)
    assert 0.5 < rgb.sum() / texture.sum() < 1.5


def test_lit_ribbons_have_normals(reader: GlbReader) -> None:
    unlit = bool(reader.gltf.extensionsUsed)
    for name in ("hair", "lashes"):
        (primitive,) = reader.gltf.meshes[reader.gltf.nodes[reader.node(name)].mesh].primitives
        assert (primitive.attributes.NORMAL is None) == unlit
        if not unlit:
            np.testing.assert_allclose(np.linalg.norm(reader.attribute(name, "NORMAL"), axis=1), 1, atol=1e-5)
