"""anifacegan figure: one command for every kind, all of them on a page, and mistakes in one line."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from anifacegan.cli.figure import make
from anifacegan.cli.figure.command import KINDS, TOGETHER
from anifacegan.evaluation.figures import catalogue
from anifacegan.evaluation.figures.config import AblationConfig, DrivingConfig
from anifacegan.evaluation.figures.figure import FigureKind, WrittenFigure
from tests.fixtures.commands import command, one_error_line
from tests.fixtures.small_models import write_small_model


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("models") / "small")


def test_every_figure_is_in_the_list() -> None:
    assert list(KINDS) == [kind.name for kind in catalogue.FIGURES]


def test_the_list_of_figures_is_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("figure", "--help") == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text and sentence in text for name, sentence in (KINDS | TOGETHER).items())


@pytest.mark.parametrize(
    ("kind", "options", "part"),
    [
        ("truncation", ["--size", "4"], "expected 8 to 1024"),
        ("truncation", ["--expressions", "grin"], "'grin' is not known"),
        ("truncation", ["--expressions", "drawn:x"], "expected drawn: and a whole number"),
        ("truncation", ["--seeds", "1", "1"], "each once"),
        ("expression_views", ["--yaw", "2"], "farther from frontal"),
        ("interpolation", ["--seeds", "1"], "expected two or more"),
        ("interpolation", ["--steps", "1"], "2 to 1000"),
        ("manifolds", ["--x", "3"], "from -1 to 1"),
        ("driving", ["--driving", "nowhere"], "nowhere: no such"),
        ("driving", ["--poses"], "poses needs driving"),
        ("ablation", ["--results", "nowhere.json"], "no such file"),
        ("page", [], "holds no figures"),
        ("trunc", [], "unknown subcommand 'trunc', did you mean 'truncation'?"),
        ("all", ["--steps", "3"], "unknown option '--steps'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    kind: str,
    options: list[str],
    part: str,
    small: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = [] if kind in ("ablation", "page") else ["--model", small]
    assert command("figure", kind, *model, "--out", tmp_path / "out", *options) == 2
    assert part in one_error_line(capsys)
    assert not (tmp_path / "out").exists()


def test_all_figures_share_their_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figures are only recorded, not drawn."""
    made = {}
    results = tmp_path / "results.json"
    results.write_text("{}")
    checked = []

    def record(kind: FigureKind, config: Any) -> WrittenFigure:
        made[kind.name] = config
        return WrittenFigure([config.out / f"{kind.name}.json"], "")

    monkeypatch.setattr(make, "write_figure", record)
    monkeypatch.setattr(make, "require_drawable", lambda kind, config: checked.append(kind.name))
    monkeypatch.setattr(make, "write_page", lambda config: config.out / "index.html")
    monkeypatch.setattr(make, "find_spec", lambda name: None)
    options = [
        "--model",
        "demo",
        f"--out={tmp_path / 'figures'}",
        "--seeds",
        1,
        2,
        "--ablation",
        results,
        "--driving",
        "D",
    ]
    assert command("figure", "all", *options) == 0
    said = capsys.readouterr()
    drawn = [name for name in KINDS if name != "mesh"]
    assert "mesh: left out, " in said.err and list(made) == checked == drawn
    written = [*(f"{name}.json" for name in drawn), "index.html"]
    assert said.out.splitlines() == [str(tmp_path / "figures" / name) for name in written]
    assert made.pop("ablation") == AblationConfig(results, tmp_path / "figures")
    assert isinstance(made["driving"], DrivingConfig) and made["driving"].driving == Path("D")
    for config in made.values():
        assert (config.out, config.seeds) == (tmp_path / "figures", (1, 2)) and config.model.name == "demo"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seeds", 7], "seeds is [7], expected two or more"),
        (["--driving", "nowhere"], "nowhere: no such folder or file"),
        (
            ["--driving", "nowhere", "--expressions", "smile"],
            "expressions is smile, expected no --expressions",
        ),
        (["--ablation", "results.json"], "results.json: holds no variants"),
        ([], "truncation.png: is in the way"),
    ],
)
def test_what_one_figure_refuses_is_said_before_the_first_is_drawn(
    options: list[object],
    said: str,
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(make, "write_figure", None)
    Path("results.json").write_text("{}")
    if not options:
        (tmp_path / "figures").mkdir()
        (tmp_path / "figures" / "truncation.png").write_text("mine")
    assert command("figure", "all", "--model", small, "--out", "figures", *options) == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
    assert (tmp_path / "figures").exists() == (not options)


@pytest.mark.slow
def test_all_figures_of_a_model_and_their_page(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", small, f"--out={tmp_path}", "--size", 8, "--seeds", 1, 2]
    assert command("figure", "all", *options, "--ablation", tmp_path / "none.json") == 0
    error = capsys.readouterr().err
    assert "ablation: left out" in error
    page = (tmp_path / "index.html").read_text()
    has_mesh = importlib.util.find_spec("trimesh") and importlib.util.find_spec("skimage")
    made = set(KINDS) - {"ablation"} - (set() if has_mesh else {"mesh"})
    assert {path.stem for path in tmp_path.glob("*.png")} == made
    assert all(f'<img src="{name}.png"' in page for name in made)
