"""Every code block of README.md and docs/ runs: as it stands, but with small sizes.

Blocks marked ``bash`` and ``python`` are run in their order, those of one document in one folder. Blocks without a mark
need what only a user has (FFHQ, BFM, the released weights, GPUs): their commands are parsed, with every option.
"""

import functools
import re
import shlex
import shutil
import textwrap
from pathlib import Path

import pytest

from anifacegan.cli.main import run

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
MOST_LINES = 1_150
"""Lines of docs/ together."""
SETS_UP = ("./render.sh", "./scripts/test.sh")
"""Commands that install packages; tests/repository/test_environment.py runs them."""

ITEMS, PIXELS = 12, 32
SMALL_DATA = f"--count {ITEMS} --size {PIXELS} --processes 1"
SMALL = {
    "render --stills": "--size 32",
    "render": "--frames 2 --size 32 --grid_yaw 0",
    "bake": "--bake.texture 64 --bake.grid 24 --bake.inbetweens 1",
    "figure": "--size 16",
    "dataset": SMALL_DATA,
    "evaluate": f"--size {PIXELS} --count 4 --people 2 --expressions 2",
    "measure": f"--data.size {PIXELS}",
    "compare": f"--size {PIXELS} --count 4 --draws 20 --sheet_people 1 --sheet_size 16",
    "train --config configs/demo.yaml": f"""
        --data.size {PIXELS} --schedule.warm_up_deform 1 --schedule.near_surface 1 --schedule.complete 1
        --schedule.batch 2 --schedule.rays 4 --schedule.mesh_faces 2 --schedule.mesh_points 8 --manifold_init.steps 2
        --priors.steps 2 --reporting.held_out 2 --reporting.preview_size 8 --reporting.sheet_size 8
        """,
    "train --config configs/reconstruction.yaml": f"""
        --data.size {PIXELS} --network.size 24 --network.border 4 --network.channels 8 16 --schedule.steps 1
        --schedule.batch 2 --reporting.held_out 2
        """,
}
"""Options that make a command small, by how its words begin."""


def blocks(document: Path) -> list[tuple[str, str]]:
    """Language and text of the fenced blocks of a Markdown file, in their order."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", document.read_text(), re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """Words of every command of a shell block, without comments."""
    return [words for line in text.splitlines() if (words := shlex.split(line, comments=True))]


def small(words: list[str]) -> list[str]:
    """The arguments of an ``anifacegan`` command with the options that make it small."""
    arguments = words[1:]
    if arguments[:2] in (["figure", "page"], ["face-model"]):
        return arguments
    line = " ".join(arguments)
    options = next((options for start, options in SMALL.items() if line.startswith(start)), "")
    return arguments + options.split()


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the documents take for granted: a data set, a judged one, and a second model."""
    folder = tmp_path_factory.mktemp("given")
    for name, seed in (("demo", 1), ("judged", 9)):
        run(["dataset", "--out", str(folder / "data" / name), "--seed", str(seed), *SMALL_DATA.split()])
    shutil.copytree(ROOT / "checkpoints" / "demo", folder / "runs" / "new" / "model")
    return folder


@pytest.mark.parametrize(
    "document",
    [pytest.param(path, marks=() if path.parent == ROOT else pytest.mark.slow) for path in DOCUMENTS],
    ids=lambda path: path.name,
)
def test_every_block_runs(
    document: Path, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [(language, text) for language, text in blocks(document) if language]
    if not found:
        return
    if "data/" in "".join(text for _, text in found):
        request.getfixturevalue("face_model")  # skips where it is not built
        shutil.copytree(request.getfixturevalue("given"), tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for language, text in found:
        assert language in ("bash", "python"), f"{document.name}: a block marked {language}"
        if language == "python":
            exec(compile(textwrap.dedent(text), document.name, "exec"), {})
            continue
        for words in commands(text):
            assert words[0] in ("anifacegan", *SETS_UP), words
            if words[0] == "anifacegan":
                run(small(words))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_options_of_blocks_that_need_a_users_files_are_known(
    document: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for language, text in blocks(document):
        for words in commands(text) if not language else []:
            if "train.py" in words:  # torchrun ... train.py OPTIONS
                words = ["anifacegan", "train", *words[words.index("train.py") + 1 :]]
            if words[0] == "anifacegan" and words[1:] != ["face-model"]:
                with pytest.raises(SystemExit) as end:
                    run([*words[1:], "--print_config"])
                assert end.value.code in (0, None)
                assert capsys.readouterr().out


def test_the_docs_are_short() -> None:
    lines = sum(len(path.read_text().splitlines()) for path in (ROOT / "docs").glob("*.md"))
    assert lines <= MOST_LINES


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_and_links_of_the_docs_exist(document: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), f"{document.name}: {target}"
    for name in re.findall(r"`((?:[a-z_]+/)+[a-z_]+\.(?:py|yaml))`", text):
        places = (ROOT, ROOT / "anifacegan", ROOT / "anifacegan" / "avatars" / "baking")
        assert any((place / name).exists() for place in places), f"{document.name}: {name}"
    files = {path.name for path in sources()}
    for name in re.findall(r"`([a-z_]+\.py)`", text):
        assert name in files, f"{document.name}: {name}"


@functools.cache
def sources() -> list[Path]:
    """All Python files of the project."""
    folders = ("anifacegan", "benchmarks", "scripts", "tests")
    return [*ROOT.glob("*.py"), *(path for folder in folders for path in (ROOT / folder).rglob("*.py"))]


@functools.cache
def defined_names() -> set[str]:
    """Names of functions and classes, of fields with annotations or values, and of variables, in all sources."""
    code = "\n".join(path.read_text() for path in sources())
    code += "\n".join(path.read_text() for path in (ROOT / "anifacegan").rglob("*.js"))
    found = re.findall(r"\b(?:def|class|function) (\w+)\b|^ +(\w+)[:,]|\b(\w+) = ", code, re.MULTILINE)
    return {name for names in found for name in names if name}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_functions_that_the_docs_call_are_defined(document: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    called = set(re.findall(r"`(?:[A-Za-z_.]+\.)?([A-Za-z_]+)\([^`]*\)`", text))
    assert not called - defined_names(), document.name
