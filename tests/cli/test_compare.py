"""anifacegan compare: a table, a sheet, a file and a verdict, all of them or none."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from anifacegan.evaluation.config import COMPARED, DEFINITIONS, OFFLINE, CompareConfig
from anifacegan.models.checkpoints import save_checkpoint
from anifacegan.runtime.image_files import read_image
from anifacegan.runtime.output_folders import MARKER
from tests.fixtures.commands import command, one_error_line
from tests.fixtures.judged_model import write_judge
from tests.fixtures.small_measurements import few_words
from tests.fixtures.small_models import small_checkpoint, write_small_model
from tests.fixtures.tiny_training_set import COUNT, SIZE

FEW = "--draws 40 --sheet-people 1 --sheet-size 10".split()


@pytest.fixture
def models(tmp_path: Path) -> tuple[str, str]:
    """An opaque model, and a copy whose deformation says more."""
    checkpoint = small_checkpoint()
    checkpoint.generator.template.sigma_heads[0].bias.data += 1.0  # so that there is a surface to compare
    save_checkpoint(tmp_path / "whole", checkpoint)
    weight = checkpoint.generator.deformation.head.weight
    weight.data += 0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(5))
    save_checkpoint(tmp_path / "damaged", checkpoint)
    return str(tmp_path / "whole"), str(tmp_path / "damaged")


@pytest.fixture
def common(tiny: Path, tmp_path: Path) -> list[str]:
    """Options of every run."""
    judge, face_model = write_judge(tmp_path / "judge"), tiny / "face_model.npz"
    named = f"--data {tiny / 'data'} --judge {judge} --face-model {face_model} --out {tmp_path / 'out'}"
    return [*named.split(), *FEW]


@pytest.fixture
def unjudged(common: list[str]) -> list[str]:
    """Options of a run whose metrics need no judge."""
    place = common.index("--judge")
    return common[:place] + common[place + 2 :]


def run(*arguments: str) -> None:
    assert command("compare", *arguments, *few_words(arguments, mesh_faces=4)) == 0


def written(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "comparison.json").read_text())


def test_everything_is_in_the_table_and_in_the_file(
    models: tuple[str, str], common: list[str], tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(*models, *common)
    printed, document = capsys.readouterr().out, written(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.name != MARKER) == [
        "comparison.json",
        "sheet.png",
        "table.md",
    ]
    assert printed == (tmp_path / "out" / "table.md").read_text()
    assert tuple(document["metrics"]) == OFFLINE and document["not_measured"] == {}
    for name, metric in document["metrics"].items():
        assert metric["definition"] == DEFINITIONS[name] and set(metric["compared"]) == set(COMPARED[name])
        assert metric["items"] and metric["draws"] == 40 and metric["a"].keys() == metric["b"].keys()
        features = metric["a"].get("features")
        title = name if features is None else f"{name} of {features}"
        for key, number in metric["compared"].items():
            assert f"| {title}: {key} | {number['better']} | {number['a']['value']:.4g}" in printed
            if key != "ratio_from_1":
                assert number["a"]["value"] == pytest.approx(metric["a"][key], rel=1e-5, abs=1e-9)
                assert number["b"]["value"] == pytest.approx(metric["b"][key], rel=1e-5, abs=1e-9)
    said = document["verdict"]
    assert printed.splitlines()[-1] == said["text"] and "deformation: error_interocular" in said["b_loses"]
    assert (
        f"B wins {len(said['b_wins'])} of {said['of']} metrics" in said["text"]
        and said["b_replaces_a"] is False
    )
    assert document["faces"] == {
        "drawn_by": "A's priors",
        "priors_are_equal": True,
        "expressions_from": "prior",
    }
    assert document["data"] == {"path": str(tiny / "data"), "images": COUNT, "size": SIZE}
    assert (
        document["settings"]["seed"] == 1
        and document["settings"]["size"] == 8
        and "torch" in document["versions"]
    )
    assert document["metrics"]["frechet"]["a"]["features"] == f"judge {document['judge']}"
    assert "tiny judge (sha256 " in document["judge"] and document["judge"] in document["embedder"]
    assert document["a"]["model"] != document["b"]["model"] and ", sha256 " in document["a"]["model"]
    sheet = read_image(tmp_path / "out" / "sheet.png")
    assert sheet.shape[0] > 2 * 10 and sheet.shape[1] > len(document["sheet"]["columns"]) * 10
    assert document["sheet"]["columns"] == ["neutral", "smile", "yaw -0.5", "yaw +0.5"]


def test_a_model_has_no_winner_over_its_copy(
    models: tuple[str, str], common: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(models[0], tmp_path / "copy")
    run(models[0], str(tmp_path / "copy"), *common, "--metrics", "deformation", "expression")
    numbers = [
        n for metric in written(tmp_path / "out")["metrics"].values() for n in metric["compared"].values()
    ]
    assert len(numbers) == 6
    for number in numbers:
        assert number["difference"] == {"value": 0, "low": 0, "high": 0} and number["ahead"] is None
    assert "no winner" in capsys.readouterr().out.splitlines()[-1]


def test_one_model_at_two_settings(models: tuple[str, str], common: list[str], tmp_path: Path) -> None:
    run(
        models[0],
        *common,
        "--psi_a",
        "0.5",
        "--psi_b",
        "0",
        "--metrics",
        "frechet",
        "deformation",
    )
    document = written(tmp_path / "out")
    assert (document["a"]["psi"], document["b"]["psi"]) == (0.5, 0.0)
    compared = {name: metric["compared"] for name, metric in document["metrics"].items()}
    assert compared["frechet"]["distance"]["difference"]["value"] != 0
    assert (
        compared["deformation"]["error_interocular"]["difference"]["value"] == 0
    )  # psi is the template's alone


def test_faces_of_their_own_are_drawn_on_request(
    models: tuple[str, str], unjudged: list[str], tmp_path: Path
) -> None:
    """A copy with another expression prior: without an expression, its field makes the same error."""
    checkpoint = small_checkpoint()
    for parameter in checkpoint.generator.expression_prior.parameters():
        parameter.data.mul_(1.5)
    save_checkpoint(tmp_path / "other", checkpoint)
    differences = {}
    for faces, source in (("shared", "prior"), ("own", "prior"), ("own", "data")):
        requested = f"--metrics deformation --faces {faces} --expressions_from {source}".split()
        run(models[0], str(tmp_path / "other"), *unjudged, *requested)
        document = written(tmp_path / "out")
        assert document["faces"]["priors_are_equal"] is False
        found = document["metrics"]["deformation"]["compared"]["error_interocular"]
        differences[faces, source] = found["difference"]["value"]
    assert differences["shared", "prior"] == differences["own", "data"] == 0 != differences["own", "prior"]


def test_an_interrupted_run_leaves_the_folder_as_it_was(
    models: tuple[str, str], unjudged: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("anifacegan.evaluation.compare_run.comparison_sheet", interrupted)
    for before in (None, "an earlier comparison"):
        if before is not None:
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "comparison.json").write_text(before)
        words = ["--metrics", "deformation", "--overwrite", "true"]
        assert command("compare", *models, *unjudged, *words, *few_words(words)) == 130
        left = {path.name: path.read_text() for path in (tmp_path / "out").glob("*")}
        assert left == ({} if before is None else {"comparison.json": before})
        assert (tmp_path / "out").exists() == (before is not None)


def test_a_metric_that_lacks_something_is_left_out_and_named(
    models: tuple[str, str],
    unjudged: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    run(*models, *unjudged, "--metrics", "inception", "deformation")
    printed = capsys.readouterr()
    assert list(written(tmp_path / "out")["not_measured"]) == ["inception"]
    assert "inception: not measured: " in printed.err and "| inception |  | not measured | " in printed.out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that a refused command prints."""
    assert command("compare", *arguments, *few_words(arguments, mesh_faces=4)) == 2
    return one_error_line(capsys)


def test_mistakes_are_one_line(
    models: tuple[str, str],
    common: list[str],
    unjudged: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    released = str(write_small_model(tmp_path / "released", face_model="bfm09"))

    def said(*arguments: str) -> str:
        return refused(capsys, *arguments)

    assert "A takes face model 'anifacegan-open-4', B takes 'bfm09'" in said(models[0], released, *common)
    unknown = said(*models, *common, "--metrics", "fid")
    assert all(name in unknown for name in ("'fid'", *DEFINITIONS))
    assert "expected only A B before the options" in said(*models, released, *common)
    assert "A is compared with itself" in said(models[0], *common)
    assert "A is compared with itself" in said(models[0], models[0], *common)
    assert "draws is 3, expected at least 20" in said(*models, *common, "--draws", "3")
    assert "psi_b is -1.0, expected at least 0" in said(*models, *common, "--psi_b", "-1")
    both = ["--psi_a", "0.5", "--psi_b", "0.6", "--psi", "0.7"]
    assert "psi is 0.7, expected no --psi with --psi_a and --psi_b" in said(*models, *common, *both)
    one = [models[0], *common, "--psi_b", "0.5", "--faces", "own"]
    assert "faces is own, expected no --faces without a second model" in said(*one)
    alone = said(*models, *unjudged, "--metrics", "inception")
    assert "draws is 40, expected no --draws with inception alone" in alone
    assert "none: no such file or folder" in said(models[0], str(tmp_path / "none"), *common)
    assert not (tmp_path / "out").exists()


def test_the_help_says_the_rule_and_the_exit_code() -> None:
    said = " ".join(str(CompareConfig.__doc__).split())
    assert "better in at least one number and worse in none" in said
    assert "The exit code is 0 whatever the verdict, 2 if an option or a file is wrong" in said
