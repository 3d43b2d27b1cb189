"""anifacegan dataset: images and coefficient files that depend on (seed, index) alone, and runs that are continued."""

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from anifacegan.cli.dataset import finished, writer
from anifacegan.data.config import DataConfig
from anifacegan.data.dataset import FaceDataset
from anifacegan.data.synthetic.renderer import render_item
from anifacegan.face_model.coefficients import read_coefficients
from anifacegan.runtime.errors import InputError
from tests.fixtures.commands import command, one_error_line
from tests.fixtures.loaded_renderers import loaded_once
from tests.fixtures.tiny_head import write_tiny_file

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", autouse=True)
def _renderers_are_loaded_once() -> Iterator[None]:
    """By the commands in this process; those of a process of its own, below, give the same bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer, "load_synthetic_renderer", loaded_once)
        yield


@pytest.fixture(scope="module")
def face_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("face") / "face_model.npz"
    write_tiny_file(path)
    return path


def arguments(out: Path, face_file: Path, **changes: object) -> list[str]:
    options = {
        "out": out,
        "count": 6,
        "size": 24,
        "seed": 2,
        "processes": 1,
        "face-model": face_file,
    } | changes
    return [text for name, value in options.items() for text in (f"--{name}", str(value))]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def made(face_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "set"
    assert command("dataset", *arguments(out, face_file), "--zip") == 0
    return out


def test_the_command_writes_an_image_and_a_coefficient_file_each(made: Path, face_file: Path) -> None:
    names = [f"{i:06d}.{kind}" for i in range(6) for kind in ("mat", "png")]
    names += ["checksums.txt", "dataset.json"]
    assert list(contents(made)) == names
    renderer = loaded_once(face_file)
    _, face = render_item(renderer, 2, 4, 24)
    written = read_coefficients(made / "000004.mat")
    assert np.array_equal(written.noise, face.noise) and np.array_equal(written.pose, face.pose)
    description = json.loads((made / "dataset.json").read_text())
    assert description["count"] == 6 and description["seed"] == 2
    assert description["coefficients_sha256"] == renderer.head.coefficients_sha256()
    assert description["texture_sha256"] == renderer.head.texture_sha256()
    assert (made.parent / "set.zip").is_file()


def test_the_command_says_who_is_in_the_set(
    made: Path, face_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("dataset", *arguments(made, face_file)) == 0  # complete already
    said = capsys.readouterr().err
    assert (
        f"{made}: sexes: female 50.0 %, male 50.0 %; ages: 18 to 35 " in said and "descents: african " in said
    )


def test_what_was_killed_is_continued_to_the_same_result(made: Path, face_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    assert command("dataset", *arguments(out, face_file, count=4)) == 0
    (out / "000002.png").unlink()  # killed between the two files of an item
    (out / "000003.mat").unlink()
    (out / ".000001.png.99.0123456789abcdef.tmp").write_bytes(b"half")
    (out / ".notes.tmp").write_bytes(b"mine")
    written_ns = (out / "000000.png").stat().st_mtime_ns
    assert command("dataset", *arguments(out, face_file), "--zip") == 0
    assert (out / ".notes.tmp").read_bytes() == b"mine"
    (out / ".notes.tmp").unlink()
    assert contents(out) == contents(made)
    assert (out / "000000.png").stat().st_mtime_ns == written_ns
    assert (tmp_path / "set.zip").read_bytes() == (made.parent / "set.zip").read_bytes()


@pytest.mark.parametrize("kind", ["png", "mat"])
@pytest.mark.parametrize("length", [0, 20, -1, -400])
def test_a_damaged_file_is_made_again(
    made: Path, face_file: Path, tmp_path: Path, kind: str, length: int
) -> None:
    """Empty, or cut off in its beginning or near its end; it counted as finished, and was archived."""
    out = tmp_path / "set"
    shutil.copytree(made, out)
    damaged = out / f"000001.{kind}"
    damaged.write_bytes(damaged.read_bytes()[:length])
    assert command("dataset", *arguments(out, face_file), "--zip") == 0
    assert contents(out) == contents(made)
    assert (tmp_path / "set.zip").read_bytes() == (made.parent / "set.zip").read_bytes()


def as_of_an_older_version(out: Path) -> None:
    (out / "checksums.txt").unlink()


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("kind", ["png", "mat"])
def test_a_file_that_is_damaged_in_its_middle_is_made_again(
    made: Path, face_file: Path, tmp_path: Path, kind: str, older: bool
) -> None:
    """Only the coefficient files of older versions do not show it."""
    out = tmp_path / "set"
    shutil.copytree(made, out)
    if older:
        as_of_an_older_version(out)
    damaged = out / f"000001.{kind}"
    content = bytearray(damaged.read_bytes())
    content[-200] ^= 1
    damaged.write_bytes(content)
    assert command("dataset", *arguments(out, face_file)) == 0
    assert (contents(out) == contents(made)) != (older and kind == "mat")


def test_an_image_of_another_set_is_refused_by_name(
    made: Path, face_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is of the right name and size, and whole; also where an image was not made yet."""
    for name in ("000001.png", "000007.png"):
        out = tmp_path / name
        shutil.copytree(made, out)
        shutil.copy(made / "000002.png", out / name)
        before = contents(out)
        assert command("dataset", *arguments(out, face_file, count=8)) == 2
        expected = f"{name}: is in the way and not of this data set, expected the image that was made there"
        assert expected in one_error_line(capsys)
        assert contents(out) == before
        assert command("dataset", *arguments(out, face_file), "--overwrite", "true") == 0
        assert (out / "000001.png").read_bytes() == (made / "000001.png").read_bytes()
        capsys.readouterr()


def test_a_set_of_an_older_version_gets_its_checksums(made: Path, face_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    shutil.copytree(made, out)
    as_of_an_older_version(out)
    written_ns = (out / "000005.png").stat().st_mtime_ns
    assert command("dataset", *arguments(out, face_file, count=2)) == 0
    assert contents(out) == contents(made) and (out / "000005.png").stat().st_mtime_ns == written_ns


def test_checksums_are_those_of_the_files_and_of_a_killed_runs(
    made: Path, face_file: Path, tmp_path: Path
) -> None:
    """A killed run has the line of each file that it wrote, in any order, perhaps of one that it did not write, and
    the beginning of another."""
    subprocess.run(["sha256sum", "-c", "--quiet", "checksums.txt"], cwd=made, check=True)
    out = tmp_path / "set"
    shutil.copytree(made, out)
    title, *lines = (made / "checksums.txt").read_text().splitlines(keepends=True)
    (out / "checksums.txt").write_text(
        "".join([title, *reversed(lines), "0" * 64 + "  000009.png\n", "01ab"])
    )
    assert command("dataset", *arguments(out, face_file, count=10)) == 0
    assert len((out / "checksums.txt").read_text().splitlines()) == 1 + 2 * 10
    subprocess.run(["sha256sum", "-c", "--quiet", "checksums.txt"], cwd=out, check=True)


def test_checksums_of_others_are_refused(
    made: Path, face_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    shutil.copytree(made, out)
    (out / "checksums.txt").write_text("mine")
    assert command("dataset", *arguments(out, face_file)) == 2
    assert "checksums.txt: is in the way and not of this data set" in one_error_line(capsys)
    assert (out / "checksums.txt").read_text() == "mine"


def file_of_others(kind: str, made: Path) -> tuple[str, bytes]:
    """Name and content of a file that is in an item's place."""
    if kind == "another item":
        return "000001.mat", (made / "000002.mat").read_bytes()
    content = io.BytesIO()
    if kind == "MATLAB":
        scipy.io.savemat(content, {"id": np.zeros((1, 80), np.float32)})
        return "000001.mat", content.getvalue()
    mode, size, ending = {
        "another size": ("RGB", 256, "png"),
        "grey": ("L", 24, "png"),
        "JPEG": ("RGB", 24, "jpeg"),
    }[kind]
    Image.new(mode, (size, size)).save(content, ending)
    return "000001.png", content.getvalue()


@pytest.mark.parametrize("kind", ["another size", "grey", "JPEG", "MATLAB", "another item"])
def test_a_file_of_others_in_an_items_place_is_refused_before_anything_is_made(
    made: Path, face_file: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    shutil.copytree(made, out)
    name, content = file_of_others(kind, made)
    (out / name).write_bytes(content)
    (out / "000000.png").unlink()
    (out / "000001.png" if name.endswith("mat") else out / "000001.mat").unlink()
    before = contents(out)
    assert command("dataset", *arguments(out, face_file, count=8)) == 2
    assert f"{name}: is in the way and not of this data set, expected " in one_error_line(capsys)
    assert contents(out) == before
    assert command("dataset", *arguments(out, face_file), "--overwrite", "true") == 0
    assert contents(out) == contents(made)


@pytest.mark.filterwarnings("ignore:Duplicate name")  # zipfile warns of what the test does
@pytest.mark.parametrize("name", ["mine.txt", "holiday/000001.png", "000001.png"])
def test_an_archive_with_a_file_of_others_in_it_stays(
    name: str, made: Path, face_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, archive = tmp_path / "set", tmp_path / "set.zip"
    shutil.copytree(made, out)
    shutil.copy(made.parent / "set.zip", archive)
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(name, "mine")
    before = archive.read_bytes()
    capsys.readouterr()
    assert command("dataset", *arguments(out, face_file), "--zip") == 2
    assert f"set.zip: is in the way, '{name}' in it is no file of this data set" in one_error_line(capsys)
    assert archive.read_bytes() == before and contents(out) == contents(made)
    assert command("dataset", *arguments(out, face_file), "--zip", "--overwrite", "true") == 0
    assert archive.read_bytes() == (made.parent / "set.zip").read_bytes()


def exchanged(archive: Path, name: str, content: bytes, kind: int = zipfile.ZIP_STORED) -> bytes:
    """Write an archive anew, with another content of one file, or of one more; return its bytes."""
    with zipfile.ZipFile(archive) as opened:
        files = {entry: opened.read(entry) for entry in opened.namelist()}
    with zipfile.ZipFile(archive, "w") as opened:
        for entry, before in (files | {name: content}).items():
            opened.writestr(entry, content if entry == name else before, kind if entry == name else None)
    return archive.read_bytes()


@pytest.mark.parametrize("name", ["000001.png", "000004.mat", "000009.png", "checksums.txt"])
@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_archive_in_which_somebody_exchanged_a_file_stays(
    name: str, kind: int, made: Path, face_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, archive = tmp_path / "set", tmp_path / "set.zip"
    shutil.copytree(made, out)
    shutil.copy(made.parent / "set.zip", archive)
    (out / "000002.png").unlink()
    after, folder = exchanged(archive, name, b"mine", kind), contents(out)
    assert command("dataset", *arguments(out, face_file), "--zip") == 2
    assert f"set.zip: is in the way, '{name}' in it is not what was made for this data set" in one_error_line(
        capsys
    )
    assert archive.read_bytes() == after and contents(out) == folder  # refused before any image is drawn


def test_an_archive_of_what_was_made_is_replaced(made: Path, face_file: Path, tmp_path: Path) -> None:
    """Also if the folder has lost an image by now, which is made again."""
    out, archive = tmp_path / "set", tmp_path / "set.zip"
    shutil.copytree(made, out)
    shutil.copy(made.parent / "set.zip", archive)
    (out / "000002.png").unlink()
    assert command("dataset", *arguments(out, face_file), "--zip") == 0
    assert archive.read_bytes() == (made.parent / "set.zip").read_bytes()


def test_fewer_images_leave_the_archive_of_all(made: Path, face_file: Path, tmp_path: Path) -> None:
    """It had two of six images, with a description of six."""
    whole = (made.parent / "set.zip").read_bytes()
    assert command("dataset", *arguments(made, face_file, count=2), "--zip") == 0
    assert (made.parent / "set.zip").read_bytes() == whole
    out = tmp_path / "set"
    shutil.copytree(made, out)
    (out / "000003.png").unlink()  # as where a longer run was stopped
    assert command("dataset", *arguments(out, face_file, count=2), "--zip") == 0
    with zipfile.ZipFile(tmp_path / "set.zip") as archive:
        assert json.loads(archive.read("dataset.json"))["count"] == 3
        assert len(archive.namelist()) == 2 + 2 * 3
        listed = archive.read("checksums.txt").decode()
    made_of = (made / "checksums.txt").read_text().splitlines(keepends=True)
    assert listed == "".join(made_of[: 1 + 2 * 3])


def test_a_swap_within_an_archive_is_refused_when_it_is_read(made: Path, tmp_path: Path) -> None:
    archive = tmp_path / "set.zip"
    shutil.copy(made.parent / "set.zip", archive)
    dataset = FaceDataset(DataConfig(archive, 24))
    assert len(dataset) == 6
    exchanged(archive, "000001.png", (made / "000002.png").read_bytes())
    with pytest.raises(InputError, match=r"000001\.png: is not the file that was made there"):
        FaceDataset(DataConfig(archive, 24)).load_images()


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"count": 0}, "count is 0, expected at least 1"),
        ({"size": 4}, "size is 4, expected 16 to 2048"),
        ({"processes": 0}, "processes is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"count": "many"}, "count is many, expected a whole number"),
        ({"colour": "red"}, "unknown option '--colour'"),
        ({"face-model": "nowhere.npz"}, "nowhere.npz: no face model here, build it"),
    ],
)
def test_bad_options_are_one_line_and_leave_nothing(
    face_file: Path, tmp_path: Path, changes: dict, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("dataset", *arguments(tmp_path / "set", face_file, **changes)) == 2
    assert message in one_error_line(capsys)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("length", [0, 1000, -30])
def test_a_broken_face_model_is_one_line_before_processes_start(
    face_file: Path, tmp_path: Path, length: int, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.npz"
    broken.write_bytes(face_file.read_bytes()[:length])
    assert command("dataset", *arguments(tmp_path / "set", broken, processes=2)) == 2
    assert "broken.npz: " in one_error_line(capsys)
    assert not (tmp_path / "set").exists()


def test_a_face_model_without_hair_is_one_line_before_processes_start(
    face_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with np.load(face_file) as file:
        np.savez(
            tmp_path / "bald.npz", **{name: file[name] for name in file.files if not name.startswith("hair")}
        )
    assert command("dataset", *arguments(tmp_path / "set", tmp_path / "bald.npz", processes=2)) == 2
    assert "bald.npz: no 'hair" in one_error_line(capsys)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("changes", [{"seed": 9}, {"size": 32}])
def test_a_folder_with_another_data_set_is_refused(
    made: Path, face_file: Path, changes: dict, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(made)
    assert command("dataset", *arguments(made, face_file, **changes)) == 2
    assert f"holds a data set with {next(iter(changes))}" in one_error_line(capsys)
    assert contents(made) == before


@pytest.mark.parametrize("count", [100_000_000_000, True, -5, 2.5, "6", None])
def test_a_description_whose_count_is_none_is_refused(
    count: object, made: Path, face_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    shutil.copytree(made, out)
    as_of_an_older_version(out)
    description = json.loads((out / "dataset.json").read_text())
    (out / "dataset.json").write_text(json.dumps(description | {"count": count}))
    before = contents(out)
    assert command("dataset", *arguments(out, face_file)) == 2
    assert f"dataset.json: count is {count!r}, expected a whole number, at most" in one_error_line(capsys)
    assert contents(out) == before


def test_a_large_count_looks_at_the_images_that_are_there(
    made: Path, face_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at each of the ten million that a damaged description may name."""
    out, looked = tmp_path / "set", []
    shutil.copytree(made, out)
    as_of_an_older_version(out)
    description = json.loads((out / "dataset.json").read_text())
    (out / "dataset.json").write_text(json.dumps(description | {"count": 10_000_000}))
    monkeypatch.setattr(
        finished, "is_finished", lambda config, parts, index, known: looked.append(index) or True
    )
    assert command("dataset", *arguments(out, face_file)) == 0
    assert looked == list(range(6))


def test_a_data_set_of_an_older_format_is_refused(
    made: Path,
    face_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # lines of more than 300 characters are cut, and test folders have long names
    out = Path("set")
    shutil.copytree(made, out)
    description = json.loads((out / "dataset.json").read_text())
    (out / "dataset.json").write_text(json.dumps(description | {"format": 1}))
    before = contents(out)
    assert command("dataset", *arguments(out, face_file)) == 2
    line = one_error_line(capsys)
    assert f"{out / 'dataset.json'}: synthetic data set of format 1, expected 4" in line
    assert line.endswith(f"make it again: anifacegan dataset --out {out} --count 6 --size 24 --seed 2")
    assert contents(out) == before


def test_processes_make_the_same_bytes(made: Path, face_file: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    out = tmp_path / "set"
    dataset = [sys.executable, "-m", "anifacegan.cli", "dataset"]
    subprocess.run([*dataset, *arguments(out, face_file, processes=2)], check=True, env=environment)
    assert contents(out) == contents(made)
