"""No command replaces a file that it did not write, unless that is asked for; what is its own, it replaces."""

import json
import zipfile
from pathlib import Path

import pytest

from tests.fixtures.commands import command, one_error_line
from tests.fixtures.released_layout import write_released
from tests.fixtures.small_models import small_generator, write_small_model
from tests.fixtures.tiny_head import write_tiny_file


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("foreign") / "model")


@pytest.fixture(scope="module")
def face_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("face") / "face_model.npz"
    write_tiny_file(path)
    return path


def render(model: Path, out: Path, *further: str) -> int:
    words = (
        "--model",
        model,
        "--size",
        8,
        "--frames",
        1,
        "--seeds",
        1,
        "--renderer",
        "adaptive",
        "--video",
        "false",
    )
    return command("render", *words, "--expression", "jawOpen", "--grid", "false", "--out", out, *further)


@pytest.mark.parametrize("name", ["manifest.json", "seed1.npz", "seed1/frame_000.png", "seed1"])
def test_render_replaces_no_file_of_others(
    name: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    assert render(model, tmp_path) == 2
    assert str(tmp_path / name) in one_error_line(capsys)
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["mine"]


def test_render_replaces_its_own_files_and_others_on_request(model: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("mine")
    assert render(model, tmp_path, "--overwrite") == 0
    assert render(model, tmp_path) == 0
    assert json.loads((tmp_path / "manifest.json").read_text())["people"]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("evaluate", "--data", "/nowhere"), "table.md"),
        (("compare", "--b", "demo", "--data", "/nowhere"), "comparison.json"),
        (("figure", "truncation"), "truncation.png"),
        (("figure", "depth_normals"), "depth_normals.json"),
    ],
)
def test_a_file_in_the_way_is_noticed_before_anything_is_computed(
    words: tuple[str, ...], name: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / name).write_text("mine")
    model_option = "--a" if words[0] == "compare" else "--model"
    assert command(*words, model_option, model, "--out", tmp_path) == 2
    assert f"{tmp_path / name}: is in the way" in one_error_line(capsys)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("name", ["model.safetensors", "card.yaml"])
def test_import_replaces_no_model_of_others(name: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    released = write_released(tmp_path / "released", small_generator())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    assert command("import-released", "--released", released, "--out", tmp_path / "out") == 2
    assert f"{name}: is in the way" in one_error_line(capsys)
    assert [path.read_text() for path in (tmp_path / "out").iterdir()] == ["mine"]


@pytest.mark.parametrize("name", ["000000.mat", "000000.png", "7.PNG", "sub/me.jpg"])
def test_a_data_set_is_not_mixed_with_files_of_others(
    name: str, face_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "set" / name).parent.mkdir(parents=True)
    (tmp_path / "set" / name).write_text("mine")
    words = ("--count", 1, "--size", 16, "--processes", 1, "--face-model", face_file)
    assert command("dataset", "--out", tmp_path / "set", *words) == 2
    assert "holds images but no dataset.json" in one_error_line(capsys)
    assert [path.read_text() for path in (tmp_path / "set").rglob("*") if path.is_file()] == ["mine"]


def test_an_archive_of_others_is_not_replaced(
    face_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("dataset.json", "{}")
    before = (tmp_path / "set.zip").read_bytes()
    words = ("--count", 1, "--size", 16, "--processes", 1, "--face-model", face_file, "--zip")
    assert command("dataset", "--out", tmp_path / "set", *words) == 2
    assert "set.zip: is in the way" in one_error_line(capsys)
    assert (tmp_path / "set.zip").read_bytes() == before and not (tmp_path / "set").exists()


def test_a_file_that_is_no_face_model_is_not_replaced(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "mine.npz").write_text("mine")
    assert command("face-model", "--out", tmp_path / "mine.npz") == 2
    assert "is in the way and no face model" in one_error_line(capsys)
    assert (tmp_path / "mine.npz").read_text() == "mine"
