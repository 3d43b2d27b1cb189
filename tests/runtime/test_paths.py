"""Paths as users write them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from anifacegan.capture.landmark_model import landmark_model_bytes
from anifacegan.capture.person_mask import person_model_bytes
from anifacegan.capture.photographs import read_photograph
from anifacegan.cli.dataset.config import DatasetConfig
from anifacegan.cli.dataset.writer import require_room_for_archive
from anifacegan.data.file_sources import FolderFiles, ZipFiles
from anifacegan.face_model.blendshape_files import read_blendshapes
from anifacegan.face_model.coefficients import read_coefficients
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.npz_files import read_npz
from anifacegan.runtime.output_folders import MARKER, own_files
from anifacegan.runtime.paths import exists, paths_below, require_file, user_path
from anifacegan.runtime.resources import found, located, located_model
from anifacegan.runtime.structured_text import read_json, read_yaml
from anifacegan.runtime.tensor_files import read_pytorch, read_safetensors
from anifacegan.training.snapshots import load_snapshot


@pytest.mark.parametrize("text", ["", "a\0b", "~no-such-user-here/a", "x" * 300, "x/" * 3000, "a\ud800"])
def test_what_is_no_path_is_one_line(text: str) -> None:
    for read in (user_path, found, located, located_model):
        with pytest.raises(InputError):
            read(text)


def test_a_name_that_is_too_long_is_one_line() -> None:
    with pytest.raises(InputError, match="cannot be looked up .File name too long"):
        exists(Path("x" * 5000))


def test_the_home_folder_is_found() -> None:
    assert user_path("~/a") == Path.home() / "a" and user_path(Path("b")) == Path("b")


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("a.yaml", lambda path: read_yaml(path, "a card")),
        ("a.json", lambda path: read_json(path, "a list")),
        ("a.npz", lambda path: read_npz(path, "arrays")),
        ("a.pth", lambda path: read_pytorch(path, "weights")),
        ("a.safetensors", lambda path: read_safetensors(path, "weights")),
        ("a.mat", read_coefficients),
        ("a.csv", lambda path: read_blendshapes(path, ("jawOpen",))),
        ("a.png", read_photograph),
        ("a.task", landmark_model_bytes),
        ("a.whl", landmark_model_bytes),
        ("a.tflite", person_model_bytes),
        ("a.zip", ZipFiles),
        ("b.png", lambda path: FolderFiles(path.parent).read(path.name)),
        ("snapshot_00000003.pt", lambda path: load_snapshot(path.parent, 3)),
        ("set.zip", lambda path: require_room_for_archive(DatasetConfig(path.with_suffix(""), 1))),
    ],
)
def test_no_reader_waits_for_a_pipe(name: str, read: Callable[[Path], object], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="pipe, socket or device"):
        read(tmp_path / name)


def test_devices_and_folders_are_no_files_and_the_pipe_of_a_shell_is(tmp_path: Path) -> None:
    for path in (Path("/dev/zero"), tmp_path, tmp_path / "nothing"):
        with pytest.raises(InputError, match="expected a card"):
            require_file(path, "a card")
    read, write = os.pipe()
    os.write(write, b"a: 1")
    os.close(write)
    assert read_yaml(Path(f"/dev/fd/{read}"), "a card") == {"a": 1}
    os.close(read)


def test_a_marker_that_is_a_pipe_says_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / MARKER)
    assert own_files(tmp_path) == set()


def test_what_is_behind_links_to_folders_is_found_once(tmp_path: Path) -> None:
    """Links in a circle end, and a link to what is found anyway finds nothing twice."""
    root, other = tmp_path / "root", tmp_path / "other"
    for folder in (root / "a" / "b", other / "c", root / ".hidden"):
        folder.mkdir(parents=True)
        (folder / "file").write_text("")
    (root / "out").symlink_to(other)
    (root / "again").symlink_to(other / "c")
    (root / "a" / "up").symlink_to(root)
    (root / "inside").symlink_to(root / "a")
    (root / "shown").symlink_to(root / ".hidden")
    (other / "back").symlink_to(root / "a" / "b")
    (other / "c" / "round").symlink_to(other)
    files = {path.relative_to(root).as_posix() for path in paths_below(root) if path.is_file()}
    assert files == {"a/b/file", "again/file", "shown/file"}
    assert FolderFiles(root).names == ["a/b/file", "again/file", "shown/file"]


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "file").write_text("")
    scan = os.scandir

    def refusing(place: str) -> object:
        if str(place).endswith("closed"):
            raise PermissionError(13, "Permission denied", place)
        return scan(place)

    monkeypatch.setattr(os, "scandir", refusing)
    assert [path.name for path in paths_below(tmp_path)] == ["closed", "file"]
    said = capsys.readouterr().err
    assert said == f"{tmp_path / 'closed'}: left out, the folder cannot be read (Permission denied)\n"
