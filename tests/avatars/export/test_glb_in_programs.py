"""A head in other programs: Khronos' validator, three.js and Blender; each skips where it is missing."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from anifacegan.avatars.export.config import GlbConfig
from anifacegan.avatars.export.glb_file import glb_bytes
from anifacegan.avatars.export.glb_head import (
    glb_scene,
    sequence_animation,
)
from anifacegan.avatars.export.morph_targets import arkit_units, morph_targets
from anifacegan.avatars.export.painted_head import PaintedHead
from anifacegan.avatars.export.unit_weights import UnitSequence, head_rotations
from tests.fixtures.node_programs import loaded_by_three, validation
from tests.fixtures.tiny_person import SHAPES, tiny_avatar, tiny_shape
from tests.fixtures.tiny_strands import tiny_strands

pytest.importorskip("pygltflib", reason="pip install 'anifacegan[glb]'")
BLENDER = """
import bpy, json, sys
bpy.ops.object.select_all(action="SELECT")
bpy.ops.object.delete()
# its default shading asks numpy for a type that Debian's numpy has no more
bpy.ops.import_scene.gltf(filepath=sys.argv[-1], import_shading="SMOOTH")
# by the names of their meshes: a skinned object with an animation gets another name beside an empty of its own
keys = {o.data.name: [k.name for k in o.data.shape_keys.key_blocks] if o.data.shape_keys else []
        for o in bpy.data.objects if o.type == "MESH"}
size = [max(v.co[k] for v in bpy.data.meshes["skin"].vertices) for k in range(3)]
print("FOUND" + json.dumps({"keys": keys, "size": size, "actions": len(bpy.data.actions)}))
"""


@pytest.fixture(scope="module", params=[True, False], ids=["unlit", "lit"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("head")
    shape = tiny_shape(folder)
    avatar = tiny_avatar(shape)
    rgb = np.random.default_rng(0).random((64, 64, 3))
    turn = head_rotations(yaw=np.array([0.0, 0.3]), pitch=np.zeros(2))
    sequence = UnitSequence({"jawOpen": np.array([0.0, 1.0])}, turn, 0.0)
    shades = {"jaw_open": np.full_like(shape.neutral, -0.3)} if request.param else {}
    scene = glb_scene(
        avatar,
        PaintedHead(shape, np.zeros_like(shape.neutral), rgb, 1.0, shades),
        morph_targets(shape, {name: avatar.expressions.coefficients(name) for name in SHAPES}, 0.01),
        GlbConfig(hair_ribbons=300),
        strands=tiny_strands(folder / "face_model.npz", "long"),
        unlit=request.param,
        animation=sequence_animation("talk", sequence, 30.0),
    )
    (folder / "tiny.glb").write_bytes(glb_bytes(scene))
    return folder / "tiny.glb"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return [*arkit_units(tiny_shape(tmp_path_factory.mktemp("face_model"))), *SHAPES]


def test_the_validator_finds_no_error_and_no_warning(path: Path) -> None:
    issues = validation(path)
    assert issues["numErrors"] == 0 and issues["numWarnings"] == 0, issues["messages"]


def test_three_js_finds_all_keys_nodes_and_tracks(path: Path, keys: list[str]) -> None:
    found = loaded_by_three(path)
    assert found["meshes"]["skin"]["keys"] == keys and found["meshes"]["skin"]["skinned"]
    assert {"bust", "head", "left_eye", "right_eye"} <= set(found["nodes"])
    assert {"hair", "lashes"} <= set(found["meshes"]) and "blink" in found["meshes"]["lashes"]["keys"]
    ((name, tracks),) = found["animations"]
    assert name == "talk" and {"skin.morphTargetInfluences", "head.quaternion"} <= set(tracks)


@pytest.mark.slow
def test_blender_finds_all_keys(path: Path, keys: list[str]) -> None:
    program = shutil.which("blender")
    if program is None:
        pytest.skip("needs Blender (on Debian: apt-get install blender python3-numpy)")
    words = [
        program,
        "-b",
        "--factory-startup",
        "--python-exit-code",
        "1",
        "--python-expr",
        BLENDER,
        "--",
        str(path),
    ]
    done = subprocess.run(words, capture_output=True, text=True, timeout=500)
    lines = [line[5:] for line in done.stdout.splitlines() if line.startswith("FOUND")]
    assert lines, done.stdout[-2000:] + done.stderr[-2000:]
    found = json.loads(lines[0])
    assert found["keys"]["skin"] == ["Basis", *keys] and found["actions"] > 0
    assert "blink" in found["keys"]["lashes"] and found["keys"]["hair"] == []
    assert 0.05 < max(found["size"]) < 0.3  # metres
