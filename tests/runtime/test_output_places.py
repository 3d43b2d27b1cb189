"""What is no place for results is refused when options are read."""

import errno
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

import anifacegan
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.output_folders import filled_when_complete
from anifacegan.runtime.output_places import ImageFolder, OutputFile, OutputFolder, SavedFolder
from anifacegan.runtime.typed_config import read_config

REPOSITORY = Path(anifacegan.__file__).parents[1]


@dataclass(frozen=True)
class Nested:
    data: Path | None = None


@dataclass(frozen=True)
class DataSet:
    path: ImageFolder = Path("nowhere")


@dataclass(frozen=True)
class Options:
    out: OutputFolder = Path("results")
    file: OutputFile | None = None
    images: tuple[Path, ...] = ()
    nested: Nested = field(default_factory=Nested)
    set: DataSet = field(default_factory=DataSet)


def refused(*words: object) -> str:
    with pytest.raises(InputError) as error:
        read_config(Options, [str(word) for word in words], "test")
    return str(error.value)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here" / "data").mkdir(parents=True)
    (tmp_path / "here" / "data" / "a.png").write_text("mine")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.mark.parametrize("out", ["/", "/..", "//", "data/../../../../../../../../../.."])
def test_the_root_is_refused(out: str) -> None:
    assert "the root of the file system" in refused("--out", out)


@pytest.mark.parametrize("out", [REPOSITORY, REPOSITORY.parent, REPOSITORY / "anifacegan"])
def test_the_program_is_no_place(out: Path) -> None:
    assert "holds this program" in refused("--out", out)


@pytest.mark.parametrize("out", [".", "..", "data/..", "../../"])
def test_the_current_folder_is_no_place(out: str) -> None:
    assert "holds the current folder" in refused("--out", out)


@pytest.mark.parametrize(
    "words", [("--images", "data/a.png"), ("--nested.data", "data/a.png"), ("--images", "data")]
)
def test_an_input_s_folder_is_no_place(words: tuple[str, ...], tmp_path: Path) -> None:
    assert f"holds {words[1]}, an input" in refused("--out", "data", *words)
    (tmp_path / "link").symlink_to(tmp_path / "here" / "data")
    assert "an input" in refused("--out", tmp_path / "link", *words)


def test_a_folder_of_our_own_results_is_a_place_wherever_it_is() -> None:
    with filled_when_complete(Path()) as folder:
        (folder / "a.txt").write_text("ours")
    assert read_config(Options, ["--out", ".", "--images", "data"], "test").out == Path()


def test_a_current_folder_that_was_removed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert "out: the current folder has been removed, expected an absolute path" in refused("--out", "out")
    assert read_config(Options, ["--out", str(tmp_path / "new")], "test").out == tmp_path / "new"


def test_files_and_folders_are_not_confused() -> None:
    assert "a file, expected a folder" in refused("--out", "data/a.png")
    assert "expected a file in a folder" in refused("--file", "data")
    assert "expected a file in a folder" in refused("--file", "nowhere/a.glb")
    Path("link.glb").symlink_to("nowhere.glb")
    assert "a link to nowhere" in refused("--file", "link.glb")
    assert read_config(Options, ["--file", "data/a.glb", "--out", "new/folder"], "test").out == Path(
        "new/folder"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into every folder")
def test_a_folder_that_cannot_be_written_is_refused_when_it_is_filled(tmp_path: Path) -> None:
    (tmp_path / "here" / "data").chmod(0o500)
    with pytest.raises(InputError, match="cannot be written"), filled_when_complete(Path("data/new")):
        pass


def test_what_is_inside_a_file_is_refused_when_it_is_filled() -> None:
    with pytest.raises(InputError, match=r"data/a\.png: is a file, so that new cannot be in it"):
        with filled_when_complete(Path("data/a.png/new")):
            pass


def test_a_folder_among_images_is_no_place_for_results(in_a_folder: Path) -> None:
    """Images that a run writes would belong to its data set when it goes on."""
    (in_a_folder / "link").symlink_to("here/data")
    for out in ("data/run", "data/a/b", "../link/run", "data/../data/run"):
        assert "among the images in data" in refused("--out", out, "--set.path", "data")
    config = read_config(Options, ["--out", "data/run", "--nested.data", "data"], "test")
    assert config.out == Path("data/run")  # what is read there is not all that lies there
    with filled_when_complete(Path("data/run")) as folder:
        (folder / "manifest.json").write_text("{}")
    read_config(Options, ["--out", "data/run", "--set.path", "data"], "test")  # of this program before


@dataclass(frozen=True)
class Saving:
    out: SavedFolder = Path("results")


def test_a_full_disk_is_noticed_before_anything_is_computed(
    in_a_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("enough", "silent"):
        Path(name).mkdir()
    disks = {Path(): (10**9, 16_000_000), Path("enough"): (10**9, 17_000_000), Path("silent"): (0, 0)}
    asked = []

    def usage(place: Path) -> SimpleNamespace:
        asked.append(place)
        total, free = disks[place]
        return SimpleNamespace(total=total, free=free)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    on_another = ("--out", "enough/new")
    assert (
        refused(*on_another, "--file", "a.bin")
        == "file is a.bin, where 16.0 MB are free, expected at least 17 MB"
    )
    assert "out is new/results, where 16.0 MB are free" in refused(
        "--out", "new/results", "--file", "enough/a"
    )
    read_config(Options, [*on_another, "--file", "silent/a"], "test")
    assert asked[-2:] == [Path("enough"), Path("silent")]
    assert read_config(Saving, [], "test").out == Path("results"), "it may never be written"
    assert {path.name for path in in_a_folder.rglob("*")} == {"here", "data", "enough", "silent", "a.png"}


def test_where_the_disk_cannot_be_asked_the_writer_says_what_is_wrong(
    in_a_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def usage(place: Path) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(shutil, "disk_usage", usage)
    read_config(Options, ["--file", "avatar.safetensors"], "test")
