"""While one process writes into a place, every other command that would write there is refused."""

import os
from pathlib import Path

import numpy as np
import pytest

from anifacegan.cli.main import run
from anifacegan.evaluation.figures.config import PageConfig
from anifacegan.evaluation.figures.figure import Drawing, FigureKind, write_figure
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.locks import LOCK, FileLock, FolderLock
from tests.fixtures.released_layout import write_released
from tests.fixtures.small_models import small_checkpoint, write_small_model
from tests.fixtures.tiny_head import write_tiny_file

FOLDERS = {
    "render": "render --model MODEL --size 8 --frames 1 --seeds 1 --renderer adaptive --expression jawOpen",
    "render stills": "render --model MODEL --size 8 --seeds 1 --stills",
    "figure": "figure truncation --model MODEL",
    "animate": "animate IMAGE --size 64",
    "expressions": "expressions --face-model FACES",
    "import-released": "import-released --released RELEASED",
    "dataset": "dataset --count 1 --size 16 --face-model FACES",
}
FILES = {
    "a.safetensors": "bake --model MODEL --bake.texture 32 --expressions jawOpen",
    "a.html": "export web no.safetensors",
    "a.glb": "export glb --model MODEL --seed 1",
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("inputs")
    write_small_model(folder / "model")
    write_tiny_file(folder / "faces.npz")
    write_released(folder / "released", small_checkpoint().generator)
    places = {"MODEL": "model", "FACES": "faces.npz", "RELEASED": "released", "IMAGE": "a.png"}
    return {name: str(folder / place) for name, place in places.items()}


def refused(words: str, inputs: dict[str, str], out: Path) -> str:
    with pytest.raises(InputError) as error:
        run([*(inputs.get(word, word) for word in words.split()), "--out", str(out)])
    return str(error.value)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_has_one_writer(name: str, inputs: dict[str, str], tmp_path: Path) -> None:
    with FolderLock(tmp_path):
        line = refused(FOLDERS[name], inputs, tmp_path)
        assert f"{tmp_path}: process {os.getpid()} on" in line and "is writing here" in line
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]


@pytest.mark.parametrize("name", FILES)
def test_a_file_has_one_writer(name: str, inputs: dict[str, str], tmp_path: Path) -> None:
    with FileLock(tmp_path / name):
        line = refused(FILES[name], inputs, tmp_path / name)
        assert f"{tmp_path / name}: process {os.getpid()} on" in line and "is writing here" in line
        assert [path.name for path in tmp_path.iterdir()] == [f".{name}{LOCK}"]


def test_a_figure_is_written_at_once_and_its_description_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (order.append(Path(b).name), replace(a, b))[1])

    def draw(config: PageConfig) -> Drawing:
        with pytest.raises(InputError, match="is writing here"):
            write_figure(FigureKind("b", "", "", draw), config)
        return Drawing(np.zeros((4, 4, 3), np.uint8), {}, {".ply": lambda path: path.write_text("mesh")})

    written = write_figure(FigureKind("a", "", "", draw), PageConfig(tmp_path / "out"))
    names = ["a.png", "a.yaml", "a.ply", "a.json"]
    assert [path.name for path in written.paths] == names
    assert order[-1] == "a.json" and sorted(order[-4:]) == sorted(names)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*names, ".anifacegan.json"}
