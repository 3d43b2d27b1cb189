"""A head read back from its file: shape, targets, nodes, closed border, animation and facts."""

import dataclasses
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from anifacegan.avatars.avatar import Avatar
from anifacegan.avatars.export.config import GlbConfig
from anifacegan.avatars.export.glb_checksum import GENERATOR
from anifacegan.avatars.export.glb_file import glb_bytes, require_room_for_glb
from anifacegan.avatars.export.glb_head import (
    glb_scene,
    require_exportable,
    sequence_animation,
)
from anifacegan.avatars.export.glb_parts import GlbScene
from anifacegan.avatars.export.morph_targets import arkit_units, morph_targets
from anifacegan.avatars.export.painted_head import PaintedHead
from anifacegan.avatars.export.person_shape import PersonShape
from anifacegan.avatars.export.unit_weights import UnitSequence, head_rotations
from anifacegan.face_model.parts import LOWER_TEETH, SKIN
from anifacegan.runtime.errors import ConfigError, InputError
from tests.fixtures.drawn_glb import GlbReader
from tests.fixtures.tiny_person import SHAPES, tiny_avatar, tiny_shape

pytest.importorskip("pygltflib", reason="pip install 'anifacegan[glb]'")
FRAMES = 5


@pytest.fixture(scope="module")
def shape(tmp_path_factory: pytest.TempPathFactory) -> PersonShape:
    """The tiny person with a tooth, which turns about the jaw."""
    shape = tiny_shape(tmp_path_factory.mktemp("face_model"))
    part = shape.parts.part.copy()
    part[np.argsort(np.linalg.norm(shape.model.mean.numpy() - [0.0, -0.4, 0.7], axis=1))[:9]] = LOWER_TEETH
    return dataclasses.replace(shape, parts=dataclasses.replace(shape.parts, part=part))


@pytest.fixture(scope="module")
def avatar(shape: PersonShape) -> Avatar:
    return tiny_avatar(shape)


@pytest.fixture(scope="module")
def targets(shape: PersonShape, avatar: Avatar) -> dict[str, np.ndarray]:
    return morph_targets(
        shape, {name: avatar.expressions.coefficients(name) for name in SHAPES}, GlbConfig().least_move
    )


@pytest.fixture(scope="module")
def head(shape: PersonShape) -> PaintedHead:
    rgb = np.random.default_rng(0).random((64, 64, 3))
    return PaintedHead(shape, np.zeros_like(shape.neutral), rgb, 1.0)


@pytest.fixture(scope="module")
def scene(avatar: Avatar, head: PaintedHead, targets: dict[str, np.ndarray]) -> GlbScene:
    angles = np.linspace(0.0, 0.4, FRAMES)
    weights = {"jawOpen": np.linspace(0, 1, FRAMES), "tongueOut": np.zeros(FRAMES)}
    sequence = UnitSequence(weights, head_rotations(yaw=angles, pitch=-angles), 0.0)
    return glb_scene(avatar, head, targets, GlbConfig(), animation=sequence_animation("talk", sequence, 25.0))


@pytest.fixture(scope="module")
def reader(scene: GlbScene, tmp_path_factory: pytest.TempPathFactory) -> GlbReader:
    path = tmp_path_factory.mktemp("head") / "tiny.glb"
    path.write_bytes(glb_bytes(scene))
    return GlbReader(path)


def test_the_skin_has_every_unit_and_the_named_expressions(shape: PersonShape, reader: GlbReader) -> None:
    assert reader.target_names("skin") == [*arkit_units(shape), *SHAPES]
    assert all(not name.startswith("mouth-") for name in reader.target_names("skin"))


def test_every_target_moves_as_its_unit_within_two_percent(shape: PersonShape, reader: GlbReader) -> None:
    """Lids are placed by the face model, so its lids and what follows them are left out here."""
    lids = np.unique(np.concatenate([np.append(eye.lids, eye.closing.followers) for eye in shape.model.eyes]))
    triangles = shape.triangles[(shape.parts.part[shape.triangles] == SKIN).all(axis=1)]
    vertex = triangles.ravel()  # each corner has its own place in the tiny head's layout
    still = reader.points("skin")[: len(vertex)]
    own = ~np.isin(vertex, lids)
    for name in arkit_units(shape):
        unit = 0.1 * shape.rig.unit_displacements[shape.rig.unit_names.index(name)].astype(float)[vertex]
        moved = reader.points("skin", {name: 1.0})[: len(vertex)] - still
        error = np.linalg.norm(moved - unit, axis=1)[own].max()
        assert error < 0.02 * np.linalg.norm(unit, axis=1).max(), name


def test_expressions_move_as_the_face_model_does(
    shape: PersonShape, avatar: Avatar, targets: dict[str, np.ndarray]
) -> None:
    for name in SHAPES:
        expected = shape.vertices(avatar.expressions.coefficients(name)) - shape.neutral
        error = np.linalg.norm(targets[name] - expected, axis=1).max()
        assert error < 0.02 * np.linalg.norm(expected, axis=1).max()


def test_targets_leave_out_vertices_that_hardly_move(shape: PersonShape) -> None:
    wide = morph_targets(shape, {}, 0.1)
    for name, move in wide.items():
        exact = np.linalg.norm(shape.unit_displacement(name), axis=1)
        length = np.linalg.norm(move, axis=1)
        assert (length[exact < 0.1 * exact.max()] == 0).all() and (length <= exact + 1e-12).all()
        assert np.abs(length - exact).max() <= 0.1 * exact.max() + 1e-12


def test_parts_stand_at_their_pivots(shape: PersonShape, reader: GlbReader) -> None:
    transforms = reader.transforms()
    for name, label, pivot in (("left_eye", 1, "left_eye"), ("lower_teeth", LOWER_TEETH, "jaw")):
        place = transforms[reader.node(name)][:3, 3]
        np.testing.assert_allclose(place, shape.pivot(pivot), atol=1e-6)
        chosen = (shape.parts.part[shape.triangles] == label).all(axis=1)
        expected = shape.neutral[np.unique(shape.triangles[chosen])]
        found = reader.points(name) + place
        for point in expected:
            assert np.linalg.norm(found - point, axis=1).min() < 1e-6
    children = {reader.gltf.nodes[k].name for k in reader.gltf.nodes[reader.node("head")].children}
    assert {"left_eye", "right_eye", "lower_teeth"} <= children


def test_the_neutral_head_stands_where_the_person_is(shape: PersonShape, reader: GlbReader) -> None:
    points = reader.posed().points
    for vertex in range(0, len(shape.neutral), 37):
        assert np.linalg.norm(points - shape.neutral[vertex], axis=1).min() < 1e-5


def test_a_turned_head_takes_its_parts_along_and_leaves_the_bust(reader: GlbReader) -> None:
    turn = Rotation.from_rotvec([0.3, 0.2, 0.0])
    pivot = reader.transforms()[reader.node("head")][:3, 3]
    before, after = reader.posed(), reader.posed(None, {"head": turn.as_quat()})
    expected = (before.points - pivot) @ turn.as_matrix().T + pivot
    weight = reader.attribute("skin", "WEIGHTS_0")[:, 1] / 255
    skin = len(before.points) - len(weight)  # the last of the scene's meshes
    assert reader.mesh_nodes[-1] == "skin"
    np.testing.assert_allclose(after.points[:skin], expected[:skin], atol=1e-9)
    for chosen, where in ((weight == 1, expected), (weight == 0, before.points)):
        assert chosen.any()
        np.testing.assert_allclose(after.points[skin:][chosen], where[skin:][chosen], atol=1e-6)


@pytest.mark.parametrize("name", ["skin", "left_eye", "right_eye"])
def test_a_part_is_closed(reader: GlbReader, name: str) -> None:
    points, triangles = np.round(reader.points(name), 6), reader.triangles(name)
    _, welded = np.unique(points, axis=0, return_inverse=True)
    triangles = welded.reshape(-1)[triangles]
    triangles = triangles[
        (triangles[:, 0] != triangles[:, 1])
        & (triangles[:, 1] != triangles[:, 2])
        & (triangles[:, 2] != triangles[:, 0])
    ]
    ways = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges, counts = np.unique(ways, axis=0, return_counts=True)
    back, back_counts = np.unique(ways[:, ::-1], axis=0, return_counts=True)
    assert np.array_equal(edges, back) and np.array_equal(counts, back_counts)


def test_the_animation_has_weights_and_the_heads_rotation(reader: GlbReader) -> None:
    (animation,) = reader.gltf.animations
    assert animation.name == "talk"
    found = {}
    for channel in animation.channels:
        sampler = animation.samplers[channel.sampler]
        name = reader.gltf.nodes[channel.target.node].name
        found[name, channel.target.path] = reader.values(sampler.output)
        np.testing.assert_allclose(reader.values(sampler.input)[:, 0], np.arange(FRAMES) / 25, atol=1e-6)
    assert found["head", "rotation"].shape == (FRAMES, 4)
    weights = found["skin", "weights"].reshape(FRAMES, -1)
    jaw = reader.target_names("skin").index("jawOpen")
    np.testing.assert_allclose(weights[:, jaw], np.linspace(0, 1, FRAMES), atol=1e-6)
    assert (np.delete(weights, jaw, axis=1) == 0).all()


@pytest.mark.parametrize("photograph", [False, True])
def test_the_file_says_that_it_is_synthetic(
    shape: PersonShape, head: PaintedHead, targets: dict[str, np.ndarray], photograph: bool
) -> None:
    avatar = tiny_avatar(shape, baking={"photograph": "me.jpg"} if photograph else {}, licence="mine")
    scene = glb_scene(avatar, head, targets, GlbConfig())
    assert scene.copyright == "mine"
    assert ("photograph" in scene.extras["description"]) == photograph
    assert "Synthetic" in scene.extras["description"]
    assert "description" not in glb_scene(avatar, head, targets, GlbConfig(), mark_synthetic=False).extras


def test_an_unlit_material_has_no_normals_and_a_lit_one_has(
    avatar: Avatar, head: PaintedHead, targets: dict[str, np.ndarray], reader: GlbReader, tmp_path: Path
) -> None:
    assert reader.gltf.extensionsUsed == ["KHR_materials_unlit"]
    assert "KHR_materials_unlit" in reader.gltf.materials[0].extensions
    (tmp_path / "lit.glb").write_bytes(glb_bytes(glb_scene(avatar, head, targets, GlbConfig(), unlit=False)))
    lit = GlbReader(tmp_path / "lit.glb")
    assert not lit.gltf.extensionsUsed and not lit.gltf.materials[0].extensions
    np.testing.assert_allclose(np.linalg.norm(lit.attribute("skin", "NORMAL"), axis=1), 1, atol=1e-5)
    assert reader.gltf.meshes[0].primitives[0].attributes.NORMAL is None


def test_the_file_is_the_same_every_time(scene: GlbScene) -> None:
    assert glb_bytes(scene) == glb_bytes(scene)


def test_avatars_of_other_face_models_or_without_identity_are_refused(shape: PersonShape) -> None:
    with pytest.raises(InputError, match="'tiny' is of face model 'bfm09', expected"):
        require_exportable(tiny_avatar(shape, face_model="bfm09"))
    with pytest.raises(InputError, match="'tiny' does not say its identity.*make it again"):
        require_exportable(tiny_avatar(shape, identity=()))


def test_only_files_of_this_program_are_replaced(scene: GlbScene, tmp_path: Path) -> None:
    path = tmp_path / "me.glb"
    path.write_bytes(glb_bytes(scene))
    require_room_for_glb(path)
    for content in (
        b"",
        b"glTF somebody's",
        b"glTF" + bytes(16) + GENERATOR.encode(),
        renamed(scene, b"Blender"),
    ):
        path.write_bytes(content)
        require_room_for_glb(path, overwrite=True)
        with pytest.raises(InputError, match="me.glb: is in the way and no head as this program wrote it"):
            require_room_for_glb(path)


def renamed(scene: GlbScene, name: bytes) -> bytes:
    """A file of ours that another program has written again, which took over our name as the author's."""
    content = glb_bytes(scene)
    before, _, after = content.partition(b'"generator":"' + GENERATOR.encode() + b'"')
    assert after
    added = b'"generator":"' + name + b'","author":"' + GENERATOR.encode() + b'"'
    length = int.from_bytes(content[12:16], "little") + len(added) - len(GENERATOR) - 14
    return before[:12] + length.to_bytes(4, "little") + before[16:] + added + after


@pytest.mark.parametrize(
    ("old", "new"), [(b'"name":"head"', b'"name":"mine"'), (b'"checksum":"', b'"checksum":"0')]
)
def test_a_head_that_somebody_has_edited_is_kept(
    old: bytes, new: bytes, scene: GlbScene, tmp_path: Path
) -> None:
    path, content = tmp_path / "me.glb", glb_bytes(scene)
    assert content.count(old) == 1
    for edited in (content.replace(old, new), content[:-1] + bytes([content[-1] ^ 1]), content + b"more"):
        path.write_bytes(edited)
        with pytest.raises(InputError, match="me.glb: is in the way and no head as this program wrote it"):
            require_room_for_glb(path)


def test_heads_of_earlier_versions_have_no_checksum(scene: GlbScene, tmp_path: Path) -> None:
    path = tmp_path / "me.glb"
    path.write_bytes(re.sub(b'"checksum":"([0-9a-f]+)"', b'"checksun":"\\1"', glb_bytes(scene)))
    require_room_for_glb(path)


def test_a_missing_library_is_one_line_with_advice(scene: GlbScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pygltflib", None)
    with pytest.raises(InputError, match=r"pygltflib: not installed.*pip install 'anifacegan\[glb\]'"):
        glb_bytes(scene)


@pytest.mark.parametrize("changes", [{"texture": 8}, {"view": 1}, {"quality": 0}, {"least_move": 0.5}])
def test_options_out_of_range_are_refused(changes: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        GlbConfig(**changes)
