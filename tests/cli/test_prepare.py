"""'anifacegan prepare' lists, resumes and reports; with MediaPipe, raw photographs become a data set whose crop check
says 0."""

import io
import json
import os
import re
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import numpy as np
import pytest
import torch
from PIL import Image

from anifacegan.capture.crop import Crop
from anifacegan.capture.prepare import PreparedItem
from anifacegan.cli.main import run as run_command
from anifacegan.cli.prepare import record
from anifacegan.cli.prepare import run as prepare
from anifacegan.cli.prepare.config import PrepareConfig
from anifacegan.cli.prepare.run import Job
from anifacegan.data.config import DataConfig
from anifacegan.data.dataset import FaceDataset
from anifacegan.face_model.coefficients import (
    OPEN_FACE_MODEL,
    FaceCoefficients,
    read_coefficients,
    write_coefficients,
)
from anifacegan.face_model.face_mesh import face_mesh
from anifacegan.face_model.morphable import MorphableModel
from anifacegan.geometry.conventions import FOV_DEG
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.image_files import encoded_image
from anifacegan.training.crop_check import crop_check

SIZE = 32


def face(yaw: float) -> FaceCoefficients:
    """Neutral coefficients with a pose."""
    zero = {name: np.zeros(count, np.float32) for name, count in (("id", 80), ("exp", 64), ("tex", 80))}
    zero |= {name: np.zeros(count, np.float32) for name, count in (("angle", 3), ("gamma", 27), ("trans", 3))}
    return FaceCoefficients(
        **zero,
        lm68=np.full((68, 2), 111.5, np.float32),
        pose=np.array([0.1, yaw], np.float32),
        face_model=OPEN_FACE_MODEL,
    )


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder of photographs with folders in it, and files that are none."""
    for name in ("b10.jpg", "b2.PNG", "sub/a.webp", "sub/a.bmp", "broken.png", ".hidden.png", "notes.txt"):
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt" or name == "broken.png":
            path.write_text("text")
        else:
            Image.new("RGB", (20, 20), "grey").save(path)
    return tmp_path / "raw"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces detection and fit: a photograph becomes a grey image; returns the names that were prepared."""
    names: list[str] = []

    def prepared(config: PrepareConfig, jobs: list[Job]) -> Iterator[PreparedItem]:
        for job in jobs:
            names.append(job.photograph.name)
            if job.photograph.name == "broken.png":
                yield PreparedItem(job.photograph, "no face", f"{job.photograph}: no face found")
                continue
            job.target.parent.mkdir(parents=True, exist_ok=True)
            write_coefficients(Path(f"{job.target}.mat"), face(0.1 * len(names)))
            write_complete(Path(f"{job.target}.png"), encoded_image(np.full((SIZE, SIZE, 3), 128, np.uint8)))
            yield PreparedItem(job.photograph, several=True, offset=(0.1, -0.2, 1.01, 0.5))

    monkeypatch.setattr(prepare, "_prepared", prepared)
    monkeypatch.setattr(
        record, "checksums_of", lambda config: {"network": str(config.network), "face_model": "a"}
    )
    return names


def test_photographs_become_a_data_set_with_a_report(
    raw: Path,
    tmp_path: Path,
    asked: list[str],
    capsys: pytest.CaptureFixture[str],
    face_model: MorphableModel,
) -> None:
    config = PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=2)
    line = prepare.prepare_images(config)
    assert asked == ["b2.PNG", "b10.jpg", "broken.png", "a.bmp"]
    assert line.endswith("2 left out (1 no face, 1 repeated name)") and "3 images of 3" in line
    assert f"left out: {raw / 'broken.png'}: no face found" in capsys.readouterr().err
    assert len(FaceDataset(DataConfig(path=tmp_path / "data", size=SIZE))) == 3
    report = json.loads((tmp_path / "data-report" / "report.json").read_text())
    assert report["left out by reason"] == {"no face": 1, "repeated name": 1}
    assert sum(report["histograms"]["yaw, degrees"]["counts"]) == 3
    assert report["landmarks compared with the fits, medians"]["scale"] == 1.01
    assert "yaw, degrees: mean" in (tmp_path / "data-report" / "report.txt").read_text()
    assert Image.open(tmp_path / "data-report" / "sheet.png").width > 4 * SIZE


def test_images_that_are_not_read_are_counted(
    raw: Path, tmp_path: Path, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (raw / "sub" / "c.heic").write_bytes(b"")
    (raw / "d.png").symlink_to(raw / "d.png")
    prepare.prepare_images(PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=0))
    assert f"{raw}: left out: 1 .heic, 1 broken link (not read)\n" in capsys.readouterr().err
    assert "a.bmp" in asked


def test_a_sheet_goes_with_the_run_that_asked_for_it(
    raw: Path, tmp_path: Path, asked: list[str], face_model: MorphableModel
) -> None:
    """Without one, an earlier one would be taken for the new run's; a file of others of this name stays."""
    config = PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=2)
    sheet = tmp_path / "data-report" / "sheet.png"
    prepare.prepare_images(config)
    assert sheet.exists()
    prepare.prepare_images(replace(config, sheet=0))
    assert not sheet.exists()
    sheet.write_text("mine")
    prepare.prepare_images(replace(config, sheet=0))
    assert sheet.read_text() == "mine"
    with pytest.raises(InputError, match=r"sheet.png: is in the way"):
        prepare.prepare_images(config)
    assert sheet.read_text() == "mine"
    sheet.unlink()
    prepare.prepare_images(config)
    sheet.write_text("mine")  # in the place of this program's own
    prepare.prepare_images(replace(config, sheet=0))
    assert sheet.read_text() == "mine"


def test_a_swapped_image_is_neither_finished_nor_replaced(
    raw: Path, tmp_path: Path, asked: list[str]
) -> None:
    config = PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=0)
    prepare.prepare_images(config)
    swapped = tmp_path / "data" / "b10.png"
    Image.new("RGB", (SIZE, SIZE), "red").save(swapped)
    before = swapped.read_bytes()
    asked.clear()
    with pytest.raises(InputError, match=r"b10.png: is in the way and was not written by"):
        prepare.prepare_images(config)
    assert swapped.read_bytes() == before and asked == []
    prepare.prepare_images(replace(config, overwrite=True))
    assert asked == ["b10.jpg"] and swapped.read_bytes() != before
    prepare.prepare_images(config)
    assert asked == ["b10.jpg"]


def test_a_second_run_takes_up_what_is_missing(raw: Path, tmp_path: Path, asked: list[str]) -> None:
    config = PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=0)
    prepare.prepare_images(config)
    (tmp_path / "data" / "b10.png").unlink()
    leftover = tmp_path / "data" / "sub" / ".a.png.123.0123456789abcdef.tmp"
    leftover.write_text("of a killed process")
    with (tmp_path / "data-report" / "left_out.jsonl").open("a") as log:
        log.write('["torn')
    asked.clear()
    report = (tmp_path / "data-report" / "report.json").read_text()
    prepare.prepare_images(config)
    assert asked == ["b10.jpg"] and not leftover.exists()
    assert json.loads((tmp_path / "data-report" / "report.json").read_text()) == json.loads(report) | {
        "histograms": ANY  # the pretended fit depends on the order
    }
    assert "torn" not in (tmp_path / "data-report" / "left_out.jsonl").read_text()
    with pytest.raises(InputError, match="holds images with size 32, expected 64"):
        prepare.prepare_images(PrepareConfig(images=raw, out=tmp_path / "data", size=64))


@pytest.mark.parametrize("name", ["b2.png", "b2.mat"])
@pytest.mark.parametrize("kept", [0, 60])
def test_a_damaged_item_is_made_again(
    name: str,
    kept: int,
    raw: Path,
    tmp_path: Path,
    asked: list[str],
    capsys: pytest.CaptureFixture[str],
    face_model: MorphableModel,
) -> None:
    """A file that is empty or cut off, as after a full disk; the others are not fitted again."""
    config = PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=3)
    prepare.prepare_images(config)
    path = tmp_path / "data" / name
    whole = path.read_bytes()
    path.write_bytes(whole[:kept])
    asked.clear()
    capsys.readouterr()
    assert "3 images of 3" in prepare.prepare_images(config)
    assert asked == ["b2.PNG"] and path.read_bytes() == whole
    assert f"{path}: damaged, made again\n" in capsys.readouterr().err
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 255  # within the pixels, or a number
    asked.clear()
    if name.endswith(".png"):
        path.write_bytes(damaged)
        prepare.prepare_images(config)
        assert asked == ["b2.PNG"] and path.read_bytes() == whole


@pytest.mark.parametrize("name", ["b2.png", "b2.mat"])
def test_a_file_of_another_kind_is_not_what_is_left_of_an_item(
    name: str, raw: Path, tmp_path: Path, asked: list[str], face_model: MorphableModel
) -> None:
    config = PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE)
    prepare.prepare_images(config)
    path = tmp_path / "data" / name
    path.write_text("somebody's notes")
    with pytest.raises(InputError, match=f"{name}: is in the way"):
        prepare.prepare_images(config)
    assert path.read_text() == "somebody's notes"


def test_a_damaged_image_whose_photograph_is_gone_is_named(
    raw: Path, tmp_path: Path, asked: list[str], face_model: MorphableModel
) -> None:
    config = PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=3)
    prepare.prepare_images(config)
    (raw / "b2.PNG").unlink()
    path = tmp_path / "data" / "b2.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(
        InputError, match=rf"^{path}: cannot be read \(.*\), expected an image of the data set$"
    ):
        prepare.prepare_images(config)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InputError("the disk is full")])
def test_a_data_set_that_was_stopped_is_said_to_be_unfinished_until_it_is_continued(
    raw: Path,
    tmp_path: Path,
    asked: list[str],
    error: BaseException,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, prepared = tmp_path / "out", prepare._prepared

    def stopped(config: PrepareConfig, jobs: list[Job]) -> Iterator[PreparedItem]:
        yield from prepared(config, jobs[:2])
        raise error

    def said() -> str:
        capsys.readouterr()
        FaceDataset(DataConfig(out, SIZE))
        return capsys.readouterr().err

    config = PrepareConfig(raw, out, size=SIZE)
    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(prepare, "_prepared", stopped)
        prepare.prepare_images(config)
    assert f"{out}: unfinished, 2 images of 4 photographs; 'anifacegan prepare'" in said()
    prepare.prepare_images(config)
    assert said() == ""
    assert not any(".unfinished" in path.name for path in out.iterdir())


def test_what_was_written_but_not_noted_is_prepared_again(
    raw: Path, tmp_path: Path, asked: list[str]
) -> None:
    config = PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=0)
    prepare.prepare_images(config)
    noted = tmp_path / "data-report" / "prepared.jsonl"
    before = noted.read_text()
    noted.write_text("".join(before.splitlines(keepends=True)[:-1]))
    asked.clear()
    prepare.prepare_images(config)
    assert asked == ["a.bmp"] and noted.read_text() == before


def test_a_changed_photograph_is_fitted_again_and_a_mended_one_is_tried(
    raw: Path, tmp_path: Path, asked: list[str]
) -> None:
    config = PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=0)
    prepare.prepare_images(config)
    asked.clear()
    Image.new("RGB", (20, 20), "white").save(raw / "b10.jpg")
    os.utime(raw / "b10.jpg", (5, 5))
    (raw / "broken.png").write_text("another text")
    prepare.prepare_images(config)
    assert asked == ["b10.jpg", "broken.png"]
    asked.clear()
    prepare.prepare_images(config)
    assert asked == []
    (raw / "b2.PNG").rename(raw / "b2.png")  # the item's name is the same
    raw.rename(tmp_path / "moved")
    prepare.prepare_images(replace(config, images=tmp_path / "moved"))
    assert asked == ["b2.png", "broken.png"]


def test_photographs_of_one_size_and_time_that_were_swapped_are_fitted_again(
    raw: Path, tmp_path: Path, asked: list[str]
) -> None:
    for name, colour in (("x.bmp", "red"), ("y.bmp", "blue")):
        Image.new("RGB", (20, 20), colour).save(raw / name)
        os.utime(raw / name, (5, 5))
    config = PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=0)
    prepare.prepare_images(config)
    (raw / "x.bmp").rename(raw / "z")
    (raw / "y.bmp").rename(raw / "x.bmp")
    (raw / "z").rename(raw / "y.bmp")
    asked.clear()
    prepare.prepare_images(config)
    assert asked == ["x.bmp", "y.bmp"]
    asked.clear()
    os.utime(raw / "x.bmp", (7, 7))  # which changes no photograph
    prepare.prepare_images(config)
    assert asked == []


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_on_a_terminal_shows_how_many_photographs_were_read(
    raw: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    said = io.StringIO()
    monkeypatch.setattr(said, "isatty", lambda: terminal)
    monkeypatch.setattr("sys.stderr", said)
    found = [raw / "b2.PNG", raw / "a.bmp", raw / "gone.png"]
    assert record.stamps_of(found) == {path: record.stamp_of(path) for path in found}
    assert ("checksums" in said.getvalue()) == terminal and bool(said.getvalue()) == terminal


def test_fits_of_a_version_that_noted_times_stay_where_these_are_the_same_and_the_others_are_counted_once(
    raw: Path, tmp_path: Path, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    config = PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=0)
    prepare.prepare_images(config)
    notes = [tmp_path / "data-report" / name for name in ("prepared.jsonl", "left_out.jsonl")]
    today = [noted.read_text() for noted in notes]
    times = {path.name: path.stat().st_mtime_ns for path in raw.rglob("*.*")}
    for noted in notes:
        noted.write_text(
            re.sub(
                r'"(\S+) (\d+) sha256 \w+',
                lambda found: f'"{found[1]} {found[2]} {times[found[1]]}',
                noted.read_text(),
            )
        )
    assert "sha256" not in "".join(noted.read_text() for noted in notes)
    os.utime(raw / "b10.jpg", (5, 5))
    asked.clear()
    capsys.readouterr()
    prepare.prepare_images(config)
    assert asked == ["b10.jpg"]
    said = capsys.readouterr().err
    assert "1 photographs are fitted again: an earlier version noted no checksum of them, and another" in said
    for noted, before in zip(notes, today, strict=True):
        assert set(re.findall(r"sha256 \w+", noted.read_text())) == set(re.findall(r"sha256 \w+", before))
    asked.clear()
    for path in raw.rglob("*.*"):
        os.utime(path, (7, 7))  # content decides from now on
    prepare.prepare_images(config)
    assert asked == [] and "fitted again" not in capsys.readouterr().err


def test_photographs_behind_a_link_to_a_folder_are_prepared(
    raw: Path, tmp_path: Path, asked: list[str]
) -> None:
    raw.rename(tmp_path / "elsewhere")
    raw.mkdir()
    (raw / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "round").symlink_to(raw)
    prepare.prepare_images(PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=0))
    assert sorted(asked) == ["a.bmp", "b10.jpg", "b2.PNG", "broken.png"]
    assert (tmp_path / "data" / "linked" / "sub" / "a.png").is_file()


def test_what_could_not_be_read_is_tried_each_time(
    raw: Path, tmp_path: Path, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    config = PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=0)
    prepare.prepare_images(config)
    noted = tmp_path / "data-report" / "left_out.jsonl"
    noted.write_text(noted.read_text().replace('"no face"', '"not a readable image"'))
    asked.clear()
    prepare.prepare_images(config)
    assert asked == ["broken.png"]
    (raw / "broken.png").unlink()
    capsys.readouterr()
    assert "1 left out (1 repeated name)" in prepare.prepare_images(config)
    assert "broken.png" not in capsys.readouterr().err


def test_files_of_photographs_that_are_gone_stay_and_are_counted(
    raw: Path, tmp_path: Path, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    config = PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=0)
    prepare.prepare_images(config)
    (raw / "b10.jpg").unlink()
    for _ in range(2):
        capsys.readouterr()
        line = prepare.prepare_images(config)
        assert "3 images of 3 photographs (1 of them gone)" in line
        assert "files of 1 photographs stay that are gone" in capsys.readouterr().err
    report = json.loads((tmp_path / "data-report" / "report.json").read_text())
    assert (report["images"], report["photographs that are gone"]) == (3, 1)
    assert sum(report["histograms"]["yaw, degrees"]["counts"]) == 3
    for path in (tmp_path / "data").glob("b10.*"):
        path.unlink()
    assert "2 images of 2 photographs in" in prepare.prepare_images(config)


def test_fits_of_two_kinds_are_not_mixed(raw: Path, tmp_path: Path, asked: list[str]) -> None:
    config = PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=0, network=None)
    prepare.prepare_images(config)
    other = replace(config, network=Path("checkpoints/reconstruction"))
    asked.clear()
    with pytest.raises(InputError, match="holds images with network None, expected checkpoints/rec"):
        prepare.prepare_images(other)
    assert not asked
    prepare.prepare_images(replace(other, overwrite=True))
    assert len(asked) == 4
    asked.clear()
    prepare.prepare_images(other)
    assert not asked
    (raw / "b10.jpg").unlink()
    with pytest.raises(InputError, match=r"of 1 photographs that are gone \(the first is b10\.png\)"):
        prepare.prepare_images(replace(config, overwrite=True))
    assert not asked


def test_a_folder_of_an_earlier_version_is_refused(raw: Path, tmp_path: Path, asked: list[str]) -> None:
    config = PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=0)
    prepare.prepare_images(config)
    settings = {"size": SIZE, "camera": "generator", "mirror": False, "blur": 4.0}
    (tmp_path / "data-report" / "settings.json").write_text(json.dumps(settings))
    asked.clear()
    with pytest.raises(
        InputError, match=r"data is of an earlier version, which did not note network, face_model; "
    ):
        prepare.prepare_images(config)
    assert not asked


def test_a_name_of_a_file_and_a_folder_leaves_out_the_file(
    raw: Path, tmp_path: Path, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (raw / "b10.png").mkdir()
    Image.new("RGB", (20, 20)).save(raw / "b10.png" / "c.png")
    line = prepare.prepare_images(PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=0))
    assert "3 images of 3" in line and "2 repeated name" in line
    assert (tmp_path / "data" / "b10.png" / "c.png").is_file()
    assert f"b10.jpg: its file {tmp_path / 'data' / 'b10.png'} would have the place of a folder" in (
        capsys.readouterr().err
    )
    (raw / "b10.png" / "c.png").unlink()  # the folder in the data set stays
    assert "3 images of 3" in prepare.prepare_images(
        PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=0)
    )


def test_a_folder_with_the_name_of_an_earlier_file_is_left_out(
    raw: Path, tmp_path: Path, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    config = PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=0)
    prepare.prepare_images(config)
    (raw / "b10.png" / "sub").mkdir(parents=True)
    Image.new("RGB", (20, 20)).save(raw / "b10.png" / "c.png")
    Image.new("RGB", (20, 20)).save(raw / "b10.png" / "sub" / "d.png")
    assert "3 images of 3 photographs in" in prepare.prepare_images(config)
    assert f"its folder {tmp_path / 'data' / 'b10.png'} would have the place of" in capsys.readouterr().err


def test_a_fit_depends_on_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {name: tmp_path / name for name in ("network", "face_model", "person_model")}
    for path in files.values():
        path.write_text("first")
    monkeypatch.setattr(record, "landmark_model_bytes", lambda path: (path, b"landmarks"))
    config = PrepareConfig(images=tmp_path, out=tmp_path / "data", masks=True, **files)
    first = record.checksums_of(config)
    assert set(first) - set(record.checksums_of(replace(config, masks=False, person_model=None))) == {
        "person_model"
    }
    assert record.checksums_of(replace(config, network=None)) == first | {"network": None}
    for name, path in files.items():
        path.write_text("second")
        changed = record.checksums_of(config)
        assert {key for key in first if changed[key] != first[key]} == {name}
        path.write_text("first")
    with pytest.raises(InputError, match="nothing"):
        record.checksums_of(replace(config, face_model=tmp_path / "nothing"))


def test_masks_are_beside_the_data_set_and_made_up_for(raw: Path, tmp_path: Path, asked: list[str]) -> None:
    config = PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=0, masks=True)
    jobs, _ = prepare.photographs_of(config)
    assert {job.mask for job in jobs} == {
        tmp_path / "data-masks" / name for name in ("b2", "b10", "broken", "sub/a")
    }
    prepare.prepare_images(replace(config, masks=False))
    asked.clear()
    with pytest.raises(
        InputError, match="no usable photograph"
    ):  # the images are there, and no mask is written
        prepare.prepare_images(config)
    assert asked == ["b2.PNG", "b10.jpg", "a.bmp"]
    assert not list((tmp_path / "data-masks").glob("*.png"))


@pytest.fixture
def masked(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """As ``asked``, with masks and a checksum of the network that they come from."""
    without_masks = prepare._prepared

    def prepared(config: PrepareConfig, jobs: list[Job]) -> Iterator[PreparedItem]:
        for job, item in zip(jobs, without_masks(config, jobs), strict=True):
            if item.reason is None and job.mask is not None:
                job.mask.parent.mkdir(parents=True, exist_ok=True)
                write_complete(Path(f"{job.mask}.png"), encoded_image(np.full((SIZE, SIZE), 255, np.uint8)))
            yield item

    def checksums(config: PrepareConfig) -> dict[str, str]:
        return {"network": "a"} | ({"person_model": str(config.person_model)} if config.masks else {})

    monkeypatch.setattr(prepare, "_prepared", prepared)
    monkeypatch.setattr(record, "checksums_of", checksums)
    return asked


def test_masks_of_two_networks_do_not_mix(raw: Path, tmp_path: Path, masked: list[str]) -> None:
    first = Path("first.tflite")
    config = PrepareConfig(
        images=raw, out=tmp_path / "data", size=SIZE, sheet=0, masks=True, person_model=first
    )
    prepare.prepare_images(config)
    prepare.prepare_images(replace(config, masks=False, person_model=None))  # the note of the masks stays
    masked.clear()
    prepare.prepare_images(config)
    assert not masked
    Image.new("RGB", (20, 20)).save(raw / "new.png")
    other = replace(config, person_model=Path("second.tflite"))
    with pytest.raises(
        InputError, match=r"holds images with person_model first.tflite, expected second.tflite; "
    ):
        prepare.prepare_images(other)
    assert not masked
    prepare.prepare_images(replace(other, overwrite=True))
    assert len(masked) == 5


def test_masks_of_other_images_are_made_again(raw: Path, tmp_path: Path, masked: list[str]) -> None:
    """Images were made again with other settings and without masks: the masks of the images before are gone."""
    config = PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=0, masks=True)
    prepare.prepare_images(config)
    prepare.prepare_images(replace(config, blur=3.0, masks=False, overwrite=True))
    assert not list((tmp_path / "data-masks").rglob("*.png"))
    masked.clear()
    prepare.prepare_images(replace(config, blur=3.0))
    assert masked == ["b2.PNG", "b10.jpg", "a.bmp"]


def test_a_mask_goes_with_the_image_that_it_belongs_to(raw: Path, tmp_path: Path, masked: list[str]) -> None:
    """A photograph takes another's place, and is prepared without a mask first. Masks of other images, and files of
    others, stay."""
    config = PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=0, masks=True)
    prepare.prepare_images(config)
    masks = tmp_path / "data-masks"
    before = {path.relative_to(masks).as_posix() for path in masks.rglob("*.png")}
    (masks / "mine.png").write_text("mine")
    Image.new("RGB", (24, 24), "red").save(raw / "b10.jpg")
    prepare.prepare_images(replace(config, masks=False))
    after = {path.relative_to(masks).as_posix() for path in masks.rglob("*.png")}
    assert after == before - {"b10.png"} | {"mine.png"} and len(before) > 2
    masked.clear()
    prepare.prepare_images(config)
    assert masked == ["b10.jpg"] and (masks / "b10.png").is_file()


def test_wrong_folders_are_refused(raw: Path, tmp_path: Path, asked: list[str]) -> None:
    with pytest.raises(InputError, match="no such folder"):
        prepare.prepare_images(PrepareConfig(images=tmp_path / "nothing", out=tmp_path / "data"))
    with pytest.raises(InputError, match="expected another one"):
        prepare.prepare_images(PrepareConfig(images=raw, out=raw))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no photographs in the folder"):
        prepare.prepare_images(PrepareConfig(images=tmp_path / "empty", out=tmp_path / "data"))
    (tmp_path / "fitted" / "faces").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "fitted" / "faces" / "me.png")
    with pytest.raises(
        InputError,
        match=r"holds images \(the first is faces/me.png\) .* fitted-report, by which it knows its own, is missing",
    ):
        prepare.prepare_images(PrepareConfig(images=raw, out=tmp_path / "fitted"))
    with pytest.raises(InputError, match="holds images .the first is a.png. that would be items"):
        (tmp_path / "other").mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / "other" / "a.png")
        prepare.prepare_images(PrepareConfig(images=raw, out=tmp_path / "other"))
    assert not asked


def test_files_of_others_stay(raw: Path, tmp_path: Path, asked: list[str]) -> None:
    config = PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=0)
    for name in ("data/sub/a.mat", "data-report/report.json"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("mine")
        with pytest.raises(InputError, match=r"is in the way and was not written by"):
            prepare.prepare_images(config)
        assert (tmp_path / name).read_text() == "mine" and not asked
        (tmp_path / name).unlink()
    prepare.prepare_images(config)
    (raw / "new.png").write_bytes((raw / "b2.PNG").read_bytes())
    (tmp_path / "data" / "new.png").write_text("mine")
    with pytest.raises(InputError, match=r"new\.png: is in the way"):
        prepare.prepare_images(config)


def test_an_item_that_somebody_made_for_a_photograph_that_was_left_out_is_not_replaced(
    raw: Path, tmp_path: Path, asked: list[str]
) -> None:
    config = PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=0)
    prepare.prepare_images(config)
    (tmp_path / "data" / "broken.png").write_text("mine")
    for overwrite in (False, True, False):  # with overwrite it may be replaced, but it is left out again
        with nullcontext() if overwrite else pytest.raises(InputError, match=r"broken\.png: is in the way"):
            prepare.prepare_images(replace(config, overwrite=overwrite))
        assert (tmp_path / "data" / "broken.png").read_text() == "mine"


def test_a_folder_without_a_usable_photograph_leaves_no_trace(tmp_path: Path, asked: list[str]) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "broken.png").write_text("text")
    with pytest.raises(InputError, match=r"no usable photograph of 1; the first: .*no face found"):
        prepare.prepare_images(PrepareConfig(images=tmp_path / "raw", out=tmp_path / "data", size=SIZE))
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_a_mirror_image_does_not_take_the_name_of_a_photograph(
    raw: Path, tmp_path: Path, asked: list[str]
) -> None:
    (raw / "b2_mirrored.png").write_bytes((raw / "b2.PNG").read_bytes())
    jobs, repeated = prepare.photographs_of(PrepareConfig(images=raw, out=tmp_path / "data", mirror=True))
    assert [path.name for path in repeated] == ["b2_mirrored.png", "a.webp"]
    assert len(jobs) == 4


@pytest.mark.parametrize("damage", ['[[1], 2, 3]\n{"a": 1}\n5\n', "\udc80[[[[", "[" * 5000])
def test_a_damaged_list_of_what_was_left_out_is_begun_anew(
    raw: Path, tmp_path: Path, asked: list[str], damage: str
) -> None:
    config = PrepareConfig(images=raw, out=tmp_path / "data", size=SIZE, sheet=0)
    prepare.prepare_images(config)
    (tmp_path / "data-report" / "left_out.jsonl").write_text(damage, errors="surrogateescape")
    asked.clear()
    prepare.prepare_images(config)
    assert asked == ["broken.png"]


@pytest.mark.slow  # compiles the renderer
def test_raw_photographs_become_a_data_set_whose_crop_check_says_0(
    real_renderer: object, face_model: MorphableModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mediapipe", reason="pip install 'anifacegan[photo]'")
    from anifacegan.data.synthetic.renderer import render_item

    truth = []
    for k, (place, roll) in enumerate((((310.0, 200.0), 0.3), ((190.0, 240.0), -0.2))):
        image, known = render_item(real_renderer, 8123, 2 * k + 1, 192, 1)
        canvas = np.random.default_rng(k).integers(0, 256, (12, 15, 3), np.uint8)
        canvas = np.asarray(Image.fromarray(canvas).resize((500, 400), Image.Resampling.BICUBIC)).copy()
        rows, columns = np.mgrid[:400, :500]
        unit = Crop(*place, 230.0, roll).to_unit(np.stack([columns, rows], axis=-1).astype(np.float64))
        inside = np.abs(unit).max(axis=-1) <= 0.5
        pixel = np.rint((unit + 0.5).clip(0, 1) * 191).astype(int)
        canvas[inside] = image[pixel[..., 1], pixel[..., 0]][inside]
        (tmp_path / "raw").mkdir(exist_ok=True)
        Image.fromarray(canvas).save(tmp_path / "raw" / f"{k}.jpg", quality=95)
        truth.append(known)
    words = ["--images", str(tmp_path / "raw"), "--out", str(tmp_path / "data"), "--size", str(SIZE)]
    try:
        run_command(["prepare", *words, "--network", "null", "--processes", "1", "--mirror", "true"])
    except InputError as error:
        pytest.skip(str(error)) if "face_landmarker" in str(error) else pytest.fail(str(error))
    assert "4 images of 2 photographs" in capsys.readouterr().out
    for k, known in enumerate(truth):
        found = read_coefficients(tmp_path / "data" / f"{k}.mat")
        assert found.pose is not None and known.pose is not None and found.lm68 is not None
        assert np.abs(found.pose - known.pose).max() < 0.15
        assert known.lm68 is not None and np.abs(found.lm68 - known.lm68).mean() < 5.0
    dataset = FaceDataset(DataConfig(path=tmp_path / "data", size=SIZE))
    check = crop_check(face_mesh(face_model), dataset.load_coefficients(), FOV_DEG)
    assert check is not None
    assert max(abs(check.right_px), abs(check.up_px), abs(check.scale - 1), check.rest_px) < 0.05
    assert torch.isfinite(dataset.load_coefficients().exp).all()
