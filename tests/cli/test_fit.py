"""``anifacegan fit``: what is written, replaced and kept, with a fitter that needs no MediaPipe."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anifacegan.capture.crop import Photograph
from anifacegan.capture.face_fitter import FaceFitter, FittedFace
from anifacegan.capture.landmarks import DetectedFace
from anifacegan.capture.light import Colours
from anifacegan.cli.fit import results, run
from anifacegan.face_model.coefficients import read_coefficients
from anifacegan.runtime import growing_folders
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.growing_folders import GrowingFolder
from anifacegan.runtime.image_files import read_image
from anifacegan.runtime.output_folders import MARKER, own_files
from tests.capture.test_face_fitter import fit_with
from tests.fixtures.commands import command, one_error_line
from tests.fixtures.small_disk import files_of_at_most


class Fitter(FaceFitter):
    """Finds a face in every photograph that is not black, and the same fit."""

    def __init__(self, *files: object) -> None:
        self.model = None

    def __enter__(self) -> "Fitter":
        return self

    def __exit__(self, *failure: object) -> None:
        pass

    def select(self, photograph: Photograph, label: Path, number: int | None) -> tuple[DetectedFace, int]:
        if not photograph.any():
            raise InputError(f"{label}: no face found")
        return DetectedFace(np.zeros((478, 2))), 1

    def fit(
        self, photograph: Photograph, detected: DetectedFace, label: Path, identity: object = None
    ) -> FittedFace:
        return FittedFace(
            detected, fit_with(), Colours(np.zeros(80), np.zeros(27), 0.0), np.zeros((68, 2)), 1.0
        )


@pytest.fixture
def photograph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(run, "FaceFitter", Fitter)
    monkeypatch.setattr(run, "overlay_image", lambda *_: np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "in").mkdir()
    Image.new("RGB", (64, 64), "grey").save(tmp_path / "in" / "a.png")
    return tmp_path / "in" / "a.png"


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_a_fit_is_written_and_may_be_repeated(photograph: Path, tmp_path: Path) -> None:
    for _ in range(2):
        assert command("fit", photograph, "--out", tmp_path / "out", "--size", 64) == 0
    assert {name for name in files(tmp_path / "out") if not name.startswith(".")} == {
        "faces/a.mat",
        "faces/a.png",
        "overlays/a.png",
    }
    assert read_image(tmp_path / "out/faces/a.png").shape == (64, 64, 3)
    assert read_coefficients(tmp_path / "out/faces/a.mat").exp.shape == (64,)


@pytest.mark.parametrize("name", ["faces/a.png", "faces/a.mat", "overlays/a.png", "faces"])
def test_files_of_others_stay(
    photograph: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    assert command("fit", photograph, "--out", tmp_path / "out") == 2
    assert str(path) in one_error_line(capsys)
    assert files(tmp_path / "out") == {name: b"mine"}
    if path.suffix:
        assert command("fit", photograph, "--out", tmp_path / "out", "--overwrite") == 0
        assert path.read_bytes() != b"mine"


def test_a_photograph_is_never_replaced_by_its_crop(
    photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "faces").mkdir()
    original = photograph.rename(tmp_path / "faces" / "a.png")
    before = original.read_bytes()
    for words in ((), ("--overwrite",)):
        assert command("fit", tmp_path / "faces", "--out", tmp_path, *words) == 2
        assert "faces, an input, expected a folder for the results alone" in one_error_line(capsys)
    assert original.read_bytes() == before


def test_without_a_face_nothing_is_made(
    photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (64, 64)).save(photograph)
    assert command("fit", photograph, "--out", tmp_path / "deep" / "out") == 2
    assert "no face found" in one_error_line(capsys)
    assert not (tmp_path / "deep").exists()


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--overlays", "false", "overlays is False, expected true for photographs"),
        ("--crops", "true", "crops is True, expected false for photographs"),
    ],
)
def test_options_of_films_are_refused_for_photographs(
    option: str,
    value: str,
    expected: str,
    photograph: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command("fit", photograph, "--out", tmp_path / "out", option, value) == 2
    assert expected in one_error_line(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [(), ("--same_person", "true")], ids=["each", "one person"])
def test_a_refused_photograph_says_that_its_earlier_face_stays(
    options: tuple[str, ...], photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, other = tmp_path / "out", photograph.with_name("b.png")
    Image.new("RGB", (64, 64), "white").save(other)
    assert command("fit", photograph.parent, "--out", out, "--size", 64) == 0
    assert "stays" not in capsys.readouterr().err
    Image.new("RGB", (64, 64)).save(other)
    assert command("fit", photograph.parent, "--out", out, "--size", 64, *options) == 0
    said = f"refused: {other}: no face found (faces/b.png of an earlier run stays)"
    assert said in capsys.readouterr().err.splitlines()
    (out / "faces" / "b.png").unlink()
    assert command("fit", photograph.parent, "--out", out, "--size", 64, *options) == 0
    assert "(faces/b.mat of an earlier run stays)" in capsys.readouterr().err


def test_files_are_claimed_many_at_a_time_and_those_of_a_refused_photograph_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is a file of another program, in their place, said to be of an earlier run."""
    listed: list[int] = []
    note = growing_folders.note_claims

    def counted(path: Path, noted: dict) -> None:
        listed.append(len(noted))
        note(path, noted)

    monkeypatch.setattr(growing_folders, "note_claims", counted)
    monkeypatch.setattr(results, "CLAIMED_AT_ONCE", 2)
    files = [tmp_path / f"{name}.jpg" for name in "abcde"]

    def fit(file: Path) -> Path:
        if file.stem == "b":
            raise InputError(f"{file}: no face found")
        return file

    with GrowingFolder(tmp_path / "out", overwrite=True) as folder:
        names = [results.result_names(file) for file in files]
        other = tmp_path / "out" / names[1][2]
        other.parent.mkdir(parents=True)
        other.write_bytes(b"of another program")

        def write(file: Path, _: Path) -> None:
            for name in results.result_names(file):
                write_complete(folder.file(name), b"ours")

        assert results.each_photograph(folder, files, fit, write) == (4, 1)
        assert listed == [6, 6, 3]
        error = InputError("no face found")
        assert results.refusal(folder, files[1], error) == "no face found"
    assert own_files(tmp_path / "out") == {name for k in (0, 2, 3, 4) for name in names[k]}
    assert other.read_bytes() == b"of another program"


@pytest.mark.parametrize("options", [(), ("--same_person", "true")], ids=["each", "one person"])
def test_faces_of_photographs_that_are_gone_stay_and_are_counted(
    options: tuple[str, ...], photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are items of the data set in faces, and would be trained on."""
    out, other = tmp_path / "out", photograph.with_name("b.png")
    Image.new("RGB", (64, 64), "white").save(other)
    assert command("fit", photograph.parent, "--out", out, "--size", 64) == 0
    assert "earlier runs" not in capsys.readouterr().err
    other.unlink()
    assert command("fit", photograph.parent, "--out", out, "--size", 64, *options) == 0
    expected = f"{out}: 1 faces of earlier runs stay beside the new ones, the first is faces/b"
    assert expected in capsys.readouterr().err.splitlines()
    for ending in ("png", "mat"):
        (out / "faces" / f"b.{ending}").unlink()
    assert command("fit", photograph.parent, "--out", out, "--size", 64, *options) == 0
    assert "earlier runs" not in capsys.readouterr().err


def test_a_full_disk_ends_the_fit_in_one_line_and_keeps_what_was_there(
    photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert command("fit", photograph, "--out", out, "--size", 64) == 0
    before = files(out)
    capsys.readouterr()
    with files_of_at_most(200):
        assert command("fit", photograph, "--out", out, "--size", 128) == 2
    assert "cannot be written (File too large)" in one_error_line(capsys)
    assert set(files(out)) == set(before)
    assert {name for name in before if files(out)[name] != before[name]} <= {MARKER}  # too full for its notes
    with files_of_at_most(20):
        assert command("fit", photograph, "--out", tmp_path / "new") == 2
    assert not (tmp_path / "new").exists()
    assert command("fit", photograph, "--out", out, "--size", 128) == 0
    assert read_image(out / "faces/a.png").shape == (128, 128, 3)


def test_crops_of_one_folder_have_one_size(
    photograph: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All are made again in another size, or none is."""
    Image.new("RGB", (64, 64), "grey").save(photograph.with_name("b.png"))
    out = tmp_path / "out"
    assert command("fit", photograph.parent, "--out", out, "--size", 96) == 0
    assert command("fit", photograph.parent, "--out", out, "--size", 64) == 0
    assert {read_image(out / "faces" / name).shape for name in ("a.png", "b.png")} == {(64, 64, 3)}
    before = files(out)
    capsys.readouterr()
    assert command("fit", photograph, "--out", out, "--size", 96) == 2
    assert "faces/b.png: is of 64 x 64 px and stays, expected --size 64" in one_error_line(capsys)
    assert files(out) == before
    assert command("fit", photograph, "--out", out, "--size", 64) == 0
