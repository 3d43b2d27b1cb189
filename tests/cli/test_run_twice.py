"""Every command that writes files, run twice into the same folder: nothing is lost, left half, or silently another's.

One table: a command on small inputs, and options of a second run. What a second run leaves of the first is said in one
line on standard error, with its count; a refusal leaves the folder as it was. Training runs, whose folder is one run,
are in tests/training; evaluate, compare, ablate and animate, which need a minute, in their own tests.
"""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from anifacegan.avatars.avatar import save_avatar
from anifacegan.cli.dataset import writer
from anifacegan.cli.fit import run as fit_run
from anifacegan.runtime.output_folders import MARKER
from tests.cli.test_fit import Fitter
from tests.cli.test_prepare import asked  # noqa: F401
from tests.fixtures.ball_avatars import ball_avatar
from tests.fixtures.commands import command, one_error_line
from tests.fixtures.loaded_renderers import loaded_once
from tests.fixtures.released_layout import write_released
from tests.fixtures.small_models import small_checkpoint, write_small_model
from tests.fixtures.tiny_head import write_tiny_file
from tests.fixtures.tiny_person import tiny_avatar, tiny_shape

TIMED = {"manifest.json", "unfinished.json"}
"""Files that hold how long a run took, or when it began."""


@dataclass(frozen=True)
class Case:
    """A command and what is changed when it is run again."""

    words: str
    """The command without its output; words in capital letters are inputs."""
    changes: tuple[str, ...]
    """Options of second runs, each alone; an option that the command has already gets another value."""
    out: str = "out"
    """Name of the folder or file that is written."""
    foreign: tuple[str, ...] = ()
    """Names of outputs, relative to the working folder, in whose place a file of others is put."""
    more: tuple[str, ...] = ()
    """Names of further outputs, of which the folder's list knows after a first run."""
    resumes: bool = False
    """Whether the folder grows: finished parts of an earlier run, which are other items, stay as they are."""
    slow: bool = False

    @property
    def listed(self) -> tuple[str, ...]:
        """Outputs that the folder's own list names: files beside the folder, and data sets, have no such list."""
        in_folders = (*self.foreign, *self.more) if not self.words.startswith("dataset") else ()
        return tuple(name for name in in_folders if "/" in name)


FEW = "--mesh-faces 1 --device cpu"
SMALL = "--model MODEL --size 8 --seeds 1"
CASES = {
    "render": Case(
        f"render {SMALL} --frames 3 --renderer adaptive --expression jawOpen --grid false --fps 20",
        (
            "--seeds 2",
            "--frames 2",
            "--size 10",
            "--depth",
            "--cameras",
            "--transparent",
            "--video false --fps 25",
        ),
        foreign=("out/manifest.json", "out/seed1/frame_002.png", "out/seed1.mp4"),
    ),
    "render stills": Case(
        f"render --stills {SMALL} --cameras",
        ("--seeds 2", "--seeds 8-11", "--size 10", "--cameras false", "--psi 0.5"),
        foreign=("out/manifest.json", "out/seed1.png", "out/latents.npz", "out/dataset.json"),
    ),
    "figure": Case(
        "figure truncation --model MODEL --size 8 --seeds 1",
        ("--seeds 2", "--size 10", "--psis 0,1"),
        foreign=("out/truncation.png", "out/truncation.json", "out/truncation.yaml"),
    ),
    "bake": Case(
        "bake --model MODEL --bake.texture 32 --bake.grid 24 --bake.inbetweens 1 --expressions jawOpen",
        ("--seed 2",),
        out="a.safetensors",
        foreign=("a.safetensors",),
    ),
    "export web": Case("export web AVATAR", ("--web.quality 50",), out="a.html", foreign=("a.html",)),
    "expressions": Case(
        "expressions --face-model FACES", (), foreign=("out/README.md", "out/smile.mat", "out/blink.mat")
    ),
    "import-released": Case(
        "import-released --released RELEASED", (), foreign=("out/model.safetensors", "out/card.yaml")
    ),
    "dataset": Case(
        "dataset --count 2 --size 16 --processes 1 --face-model FACES --zip",
        ("--count 1", "--count 3", "--size 24", "--seed 5", "--zip false"),
        foreign=("out/000000.png", "out/000001.mat", "out/checksums.txt", "out.zip"),
        resumes=True,
    ),
    "fit": Case(
        "fit --photographs PHOTOGRAPHS",
        ("--size 64", "--photographs PHOTOGRAPHS/a.png", "--photographs PHOTOGRAPHS/a.png --size 64"),
        foreign=("out/faces/a.mat", "out/faces/b.png", "out/overlays/a.png"),
        resumes=True,
    ),
    "prepare": Case(
        "prepare --images PHOTOGRAPHS --size 32 --sheet 0 --processes 1",
        ("--size 64", "--blur 3", "--mirror"),
        foreign=("out/a.png", "out/b.mat", "out-report/report.json"),
        more=("out-report/report.txt",),
        resumes=True,
    ),
    "export glb": Case(
        "export glb --avatar TINY --face_model HEADS --glb.texture 64 --glb.view 64",
        ("--expressions jaw_open", "--glb.texture 128"),
        out="a.glb",
        foreign=("a.glb",),
        slow=True,
    ),
    "evaluate": Case(
        f"evaluate --model MODEL --data DATA --face-model DATAFACES {FEW} --metrics deformation",
        ("--seed 3", "--metrics pose"),
        foreign=("out/metrics.json", "out/table.md", "out/unfinished-metrics.json"),
        slow=True,
    ),
    "compare": Case(
        "compare --a MODEL --b MODEL --data DATA --face-model DATAFACES --draws 20 --sheet-people 1 "
        f"--sheet-size 10 {FEW} --metrics deformation",
        ("--seed 3", "--metrics pose"),
        foreign=("out/comparison.json", "out/table.md", "out/sheet.png"),
        slow=True,
    ),
    "train a prior": Case(
        "train --task prior --kind identity --data.path DATA --data.size 24 --priors.steps 2 --priors.batch 4 "
        "--network.hidden_dim 8 --network.layers 2 --network.latent_dim 4",
        ("--seed 3", "--kind expression", "--priors.steps 3"),
        foreign=("out/config.yaml", "out/model/card.yaml", "out/model/model.safetensors"),
        slow=True,
    ),
}


def named(*items: tuple[str, ...]) -> list[object]:
    """The parameters of a test, of which the first is the name of a case."""
    return [pytest.param(*item, marks=[pytest.mark.slow] if CASES[item[0]].slow else []) for item in items]


@pytest.fixture(scope="module")
def inputs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Paths of the inputs, by their names in CASES."""
    folder = tmp_path_factory.mktemp("inputs")
    write_small_model(folder / "model")
    write_tiny_file(folder / "faces.npz")
    write_released(folder / "released", small_checkpoint().generator)
    save_avatar(folder / "ball.safetensors", ball_avatar())
    (folder / "photographs").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (64, 64), "grey").save(folder / "photographs" / name)
    places = {"MODEL": "model", "FACES": "faces.npz", "RELEASED": "released", "AVATAR": "ball.safetensors"}
    found = {name: folder / place for name, place in (places | {"PHOTOGRAPHS": "photographs"}).items()}
    if any(item.get_closest_marker("slow") for item in request.session.items if item.path == request.path):
        tiny = request.getfixturevalue("tiny")
        found |= {"DATA": tiny / "data", "DATAFACES": tiny / "face_model.npz"}
        found["HEADS"] = folder / "heads" / "face_model.npz"
        (folder / "heads").mkdir()
        found["TINY"] = folder / "tiny.safetensors"
        save_avatar(found["TINY"], tiny_avatar(tiny_shape(folder / "heads")))
    return {name: str(path) for name, path in found.items()}


@pytest.fixture(autouse=True)
def _quick(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:  # noqa: F811
    """Renderers are loaded once; faces are found in every photograph, without MediaPipe."""
    monkeypatch.setattr(writer, "load_synthetic_renderer", loaded_once)
    monkeypatch.setattr(fit_run, "FaceFitter", Fitter)
    monkeypatch.setattr(fit_run, "overlay_image", lambda *_: np.zeros((8, 8, 3), np.uint8))
    yield


def words_of(case: Case, inputs: dict[str, str], change: str = "") -> list[str]:
    """The words of a command, with the changed options in the place of its own."""
    own, changed = case.words.split(), change.split()
    for word in [word for word in changed if word.startswith("--") and word in own]:
        start = own.index(word)
        end = next((k for k in range(start + 1, len(own)) if own[k].startswith("--")), len(own))
        del own[start:end]
    replaced = [re.sub("^[A-Z]{4,}", lambda match: inputs[match[0]], word) for word in own + changed]
    return [*replaced, "--out", case.out]


def tree(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def results(files: dict[str, bytes]) -> dict[str, bytes]:
    """Those files whose content depends on the command alone."""
    return {name: content for name, content in files.items() if Path(name).name not in {MARKER, *TIMED}}


@pytest.fixture(scope="module")
def made(inputs: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each command that was run once, filled when it is first needed."""
    return {name: tmp_path_factory.mktemp("made") for name in CASES}


def first_run(name: str, made: dict[str, Path], inputs: dict[str, str], work: Path) -> dict[str, bytes]:
    """Copy what a first run of a command writes into ``work``, the working folder."""
    if not any(made[name].iterdir()):
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(made[name])
            assert command(*words_of(CASES[name], inputs)) == 0
    shutil.copytree(made[name], work, dirs_exist_ok=True, copy_function=shutil.copy2)
    return tree(work)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.mark.parametrize("name", named(*((name,) for name in CASES)))
def test_the_same_command_again_gives_the_same_files(
    name: str, made: dict[str, Path], inputs: dict[str, str], work: Path
) -> None:
    before = first_run(name, made, inputs, work)
    assert command(*words_of(CASES[name], inputs)) == 0
    after = tree(work)
    assert after.keys() == before.keys() and results(after) == results(before)


@pytest.mark.parametrize(
    ("name", "change"), named(*((name, change) for name, case in CASES.items() for change in case.changes))
)
def test_another_option_gives_its_own_files_or_is_refused(
    name: str,
    change: str,
    made: dict[str, Path],
    inputs: dict[str, str],
    work: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = first_run(name, made, inputs, work)
    words = words_of(CASES[name], inputs, change)
    capsys.readouterr()
    code = command(*words)
    if code != 0:
        assert code == 2 and one_error_line(capsys)
        assert tree(work) == before
        return
    said, after = capsys.readouterr().err, tree(work)
    (tmp_path / "alone").mkdir()
    monkeypatch.chdir(tmp_path / "alone")
    assert command(*words) == 0
    alone = tree(tmp_path / "alone")
    stay = sorted(after.keys() - alone.keys())
    assert not alone.keys() - after.keys()
    if CASES[name].resumes:
        items = {file for file in alone if Path(file).suffix in (".png", ".mat")}
        assert all(after[file] == before[file] for file in stay)
        if name != "prepare":  # whose pretended faces depend on how many were asked for before
            assert {file: after[file] for file in items} == {file: alone[file] for file in items}
        return
    assert {file: after[file] for file in results(alone)} == results(alone)
    counted = re.search(r"(\d+) (?:files )?of an earlier run stay", said)
    assert (int(counted[1]) if counted else 0) == len(stay), (stay, said)


@pytest.mark.parametrize(
    ("name", "file"), named(*((name, file) for name, case in CASES.items() for file in case.foreign))
)
def test_a_file_of_others_is_in_the_way(
    name: str, file: str, inputs: dict[str, str], work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (work / file).parent.mkdir(exist_ok=True, parents=True)
    (work / file).write_text("mine")
    assert command(*words_of(CASES[name], inputs)) == 2
    assert one_error_line(capsys)
    assert tree(work) == {file: b"mine"}


@pytest.mark.parametrize(
    ("name", "file"), named(*((name, file) for name, case in CASES.items() for file in case.listed))
)
def test_what_somebody_put_in_the_place_of_a_result_stays(
    name: str,
    file: str,
    made: dict[str, Path],
    inputs: dict[str, str],
    work: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its name is in the list of what the first run wrote; it was replaced."""
    first_run(name, made, inputs, work)
    (work / file).write_text("mine")
    before = tree(work)
    capsys.readouterr()
    assert command(*words_of(CASES[name], inputs)) == 2
    assert f"{file}: is in the way and was not written by anifacegan" in one_error_line(capsys)
    assert tree(work) == before
