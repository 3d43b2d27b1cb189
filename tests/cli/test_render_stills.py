"""anifacegan render --stills: one image a person, whose pose and expression belong to the seed."""

import json
from pathlib import Path

import numpy as np
import pytest

from anifacegan.models.latent_files import read_people
from anifacegan.rendering.images import to_bytes
from anifacegan.rendering.model import load_model
from anifacegan.runtime.image_files import read_image
from anifacegan.runtime.output_folders import MANIFEST, MARKER
from tests.fixtures.commands import command, one_error_line
from tests.fixtures.small_models import write_small_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("models") / "small")


def stills(model: Path, out: Path, *options: object) -> list[dict]:
    assert command("render", "--stills", "--model", model, "--size", 12, "--out", out, *options) == 0
    return json.loads((out / MANIFEST).read_text())["stills"]


def test_a_range_of_seeds_becomes_a_folder_of_images(model: Path, tmp_path: Path) -> None:
    entries = stills(model, tmp_path / "set", "--seeds", "8-11", "--cameras")
    assert [entry["file"] for entry in entries] == [f"seed{k:02}.png" for k in (8, 9, 10, 11)]
    assert len({entry["yaw"] for entry in entries}) == 4
    labels = json.loads((tmp_path / "set" / "dataset.json").read_text())["labels"]
    assert [label[0] for label in labels] == [entry["file"] for entry in entries]
    assert {path.name for path in (tmp_path / "set").iterdir()} == {
        MARKER, MANIFEST, "dataset.json", "latents.npz", *(entry["file"] for entry in entries),
    }  # fmt: skip


def test_a_still_is_the_seed_with_the_pose_and_expression_of_the_manifest(
    model: Path, tmp_path: Path
) -> None:
    entries = stills(model, tmp_path / "set", "--seeds", "3", "5", "--views.neutral_ratio", 0)
    alone = stills(model, tmp_path / "alone", "--seeds", "5", "--views.neutral_ratio", 0)
    assert entries[1] == alone[0] and any(entries[1]["z_exp"])
    loaded = load_model(model)
    z_exp = np.array(entries[1]["z_exp"], np.float32)
    face = loaded.face(seed=5, expression=z_exp, psi=0.7)
    expected = to_bytes(face.render(yaw=entries[1]["yaw"], pitch=entries[1]["pitch"], size=12))
    found = read_image(tmp_path / "set" / "seed5.png")
    assert np.abs(found.astype(int) - expected).max() <= 2  # the manifest has rounded numbers
    z_id, _ = read_people(tmp_path / "set" / "latents.npz")
    np.testing.assert_allclose(z_id[1], loaded.person(5)[0][0], atol=1e-6)


@pytest.mark.parametrize("name", ["seed11.png", "latents.npz", "dataset.json", MANIFEST])
def test_a_file_in_the_way_is_said_before_anything_is_rendered(
    name: str,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("anifacegan.cli.render.stills.load_model", None)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / name).write_text("mine")
    words = ("--stills", "--model", model, "--seeds", "8-11", "--cameras", "--out", tmp_path / "set")
    assert command("render", *words) == 2
    assert f"{name}: is in the way and was not written by anifacegan" in one_error_line(capsys)


def test_the_distribution_of_poses_is_the_options(model: Path, tmp_path: Path) -> None:
    options = ("--views.yaw_deviation", 0.01, "--views.pitch_deviation", 0, "--views.neutral_ratio", 1)
    entries = stills(model, tmp_path / "set", "--seeds", "0-19", *options)
    yaw = np.array([entry["yaw"] for entry in entries])
    assert 0.004 < yaw.std() < 0.02 and all(entry["pitch"] == 0 for entry in entries)
    assert not any(any(entry["z_exp"]) for entry in entries)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--seeds", "9-3"), "expected a whole number, or a range of at most 1000000 such as 0-999"),
        (("--seeds", "a"), "expected a whole number, or a range of at most 1000000 such as 0-999"),
        (("--seeds", "1-3", "2"), "each once"),
        (("--views.poses", "data"), "gaussian poses"),
        (("--views.neutral_ratio", "2"), "neutral_ratio"),
        (("--yaw", "0.2"), "yaw is 0.2, expected no --yaw with --stills"),
        (("--pitch", "0.2"), "pitch is 0.2, expected no --pitch with --stills"),
        (("--expression", "smile"), "expression is smile, expected no --expression with --stills"),
        (("--strength", "0.5"), "strength is 0.5, expected no --strength with --stills"),
        (("--frames", "4"), "frames is 4, expected no --frames with --stills"),
        (("--pose_from_mat",), "pose_from_mat is True, expected no --pose_from_mat with --stills"),
        (("--latents", "people.npz"), "latents is people.npz, expected no --latents with --stills"),
        (("--depth",), "depth is True, expected no --depth with --stills"),
        (("--fps", "30"), "fps is 30, expected no --fps with --stills"),
        (("--grid_size", "64"), "grid_size is 64, expected no --grid_size with --stills"),
        (("--renderer", "baked"), "renderer is baked, expected adaptive or auto with --stills"),
    ],
)
def test_wrong_options_are_refused(
    options: tuple[str, ...], expected: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert command("render", "--stills", "--model", model, "--size", 12, "--out", out, *options) == 2
    assert expected in one_error_line(capsys) and not out.exists()
