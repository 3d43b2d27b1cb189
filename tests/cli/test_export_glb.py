"""``anifacegan export glb``: what it writes, and what it refuses in one line."""

from pathlib import Path

import numpy as np
import pytest

from anifacegan.avatars.avatar import load_avatar, save_avatar
from tests.fixtures.commands import command, one_error_line
from tests.fixtures.drawn_glb import GlbReader
from tests.fixtures.tiny_person import tiny_avatar, tiny_shape

pytest.importorskip("pygltflib", reason="pip install 'anifacegan[glb]'")
SMALL = ("--glb.texture", 64, "--glb.view", 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an avatar and its face model."""
    folder = tmp_path_factory.mktemp("avatar")
    save_avatar(folder / "tiny.safetensors", tiny_avatar(tiny_shape(folder)))
    return folder


def export(folder: Path, out: Path, *options: object) -> int:
    files = ("--avatar", folder / "tiny.safetensors", "--face_model", folder / "face_model.npz")
    return command("export", "glb", *files, "--out", out, *SMALL, *options)


def test_an_avatar_becomes_a_head(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "talk.csv").write_text("jawOpen,eyeBlinkLeft\n0,0\n1,0.5\n")
    out = tmp_path / "tiny.glb"
    options = ("--sequence", tmp_path / "talk.csv", "--fps", 10, "--expressions", "jaw_open", "mouthSmile")
    assert export(folder, out, *options) == 0
    assert "no meshes of hair and lashes: the avatar does not say which it has" in capsys.readouterr().out
    reader = GlbReader(out)
    assert reader.target_names("skin")[-2:] == ["jaw_open", "mouthSmile"]
    assert reader.gltf.animations[0].name == "talk" and reader.gltf.asset.copyright == "CC0"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["talk.csv", "tiny.glb"]
    assert export(folder, out, "--albedo") == 0  # its own file is replaced
    assert GlbReader(out).attribute("skin", "NORMAL").shape[1] == 3


@pytest.mark.parametrize("options", [(), ("--glb.lash_ribbons", 0)])
def test_an_avatar_with_appearance_latents_has_lashes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[object, ...]
) -> None:
    avatar = tiny_avatar(tiny_shape(folder), appearance=tuple(np.zeros(80).tolist()))
    save_avatar(tmp_path / "known.safetensors", avatar)
    assert load_avatar(tmp_path / "known.safetensors").card.appearance == (0.0,) * 80
    words = ("--avatar", tmp_path / "known.safetensors", "--face_model", folder / "face_model.npz")
    assert command("export", "glb", *words, "--out", tmp_path / "me.glb", *SMALL, *options) == 0
    said = capsys.readouterr().out
    assert ("no meshes of hair and lashes, as asked" in said) == bool(options)
    assert ("lashes" in GlbReader(tmp_path / "me.glb").mesh_nodes) == (not options)


def test_appearance_latents_of_another_length_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_avatar(tmp_path / "odd.safetensors", tiny_avatar(tiny_shape(folder), appearance=(1.0, 2.0)))
    assert (
        command("export", "glb", "--avatar", tmp_path / "odd.safetensors", "--out", tmp_path / "me.glb") == 2
    )
    assert "card.appearance has 2 numbers, expected 80" in one_error_line(capsys)


def test_an_avatar_file_keeps_the_identity(folder: Path) -> None:
    assert len(load_avatar(folder / "tiny.safetensors").card.identity) == 80


@pytest.mark.parametrize(
    ("out", "options", "expected"),
    [
        ("me.gltf", (), "NAME.glb"),
        ("missing/me.glb", (), "expected a file in a folder that exists"),
        ("me.glb", ("--glb.quality", "0"), "from 1 to 100"),
        ("me.glb", ("--fps", "0"), "fps is 0"),
        ("me.glb", ("--fps", "24"), "fps is 24.0, expected no --fps without --sequence FILE"),
        ("me.glb", ("--fps", "1e-320"), "expected 0.01 to 1000"),
        ("me.glb", ("--expressions", "a/jaw.mat", "b/jaw.mat"), "are both called 'jaw'"),
        ("me.glb", ("--expressions", "jaw_open", "jawOpen"), "is one of ARKit's movements"),
        ("me.glb", ("--seed", "7"), "got avatar and seed, expected one of"),
        ("me.glb", ("--psi", "0.3"), "got avatar and psi, but an avatar is baked already"),
        ("me.glb", ("--model", "demo"), "expected model with --seed or --latents"),
        ("me.glb", ("--bake.texture", "64"), "got avatar and bake"),
        ("me.glb", ("--sequence", "absent.mat"), "absent.mat"),
        ("me.glb", ("--expressions", "grimace"), "expression 'grimace' is not known"),
    ],
)
def test_wrong_options_are_refused_and_nothing_is_written(
    out: str,
    options: tuple[str, ...],
    expected: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert export(folder, tmp_path / out, *options) == 2
    assert expected in one_error_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_sequence_that_is_no_file_is_refused_before_a_person_is_baked(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anifacegan.cli.bake.run.baked_avatar", None)
    words = ("--seed", "7", "--model", "demo", "--sequence", folder, "--out", tmp_path / "me.glb")
    assert command("export", "glb", *words) == 2
    line = one_error_line(capsys)
    assert f"{folder}: " in line and "expected a .mat with face coefficients, or a .csv or .json" in line


def test_nobody_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("export", "glb", "--out", tmp_path / "me.glb") == 2
    assert "got nobody, expected one of --avatar, --seed and --latents" in one_error_line(capsys)


def test_an_avatar_without_identity_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_avatar(tmp_path / "old.safetensors", tiny_avatar(tiny_shape(folder), identity=()))
    words = ("--avatar", tmp_path / "old.safetensors", "--out", tmp_path / "me.glb")
    assert command("export", "glb", *words) == 2
    assert "does not say its identity coefficients: make it again" in one_error_line(capsys)
