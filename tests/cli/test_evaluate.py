"""anifacegan evaluate: a table and a file that say what was measured, and what was not and why."""

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anifacegan.cli.evaluate.run import EvaluateConfig
from anifacegan.data.image_contents import dataset_image_size
from anifacegan.evaluation.config import METRICS, OFFLINE
from anifacegan.face_model.coefficients import read_coefficients, write_coefficients
from anifacegan.runtime.provenance import without_nan
from anifacegan.runtime.typed_config import read_config
from tests.fixtures.commands import command, one_error_line
from tests.fixtures.judged_model import write_judge
from tests.fixtures.one_line import assert_one_line
from tests.fixtures.small_measurements import few_words
from tests.fixtures.small_models import write_small_model
from tests.fixtures.tiny_training_set import COUNT, SIZE


def run(*arguments: object) -> int:
    return command("evaluate", *few_words(arguments), *arguments)


def everything(tiny: Path, folder: Path) -> list[str]:
    model, judge = write_small_model(folder / "model"), write_judge(folder / "judge")
    face_model = tiny / "face_model.npz"
    return (
        f"--model {model} --data {tiny / 'data'} --judge {judge} --face-model {face_model} --out {folder / 'out'}"
    ).split()


def test_every_number_is_in_the_table_and_in_the_file(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without Inception weights, and too small for a detector: a line each gives the reason; all others are there."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    run(*everything(tiny, tmp_path))
    printed = capsys.readouterr()
    document = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert printed.out == (tmp_path / "out" / "table.md").read_text()
    assert tuple(document["metrics"]) == METRICS
    assert "values" not in document["metrics"]["inception"] and "inception: not measured: " in printed.err
    assert "values" not in document["metrics"]["detection"] and "detection: size is 8" in printed.err
    judge = document["judge"]
    for name in OFFLINE:
        for key, value in document["metrics"][name]["values"].items():
            if isinstance(value, float):
                of = {"frechet": f" of judge {judge}", "embedding_frechet": f" of {document['embedder']}"}
                assert f"| {name}{of.get(name, '')}: {key} | {value:.4g} |" in printed.out
        assert document["metrics"][name]["definition"] in printed.out
    assert document["metrics"]["expression"]["values"]["count"] == 4
    assert document["settings"]["seed"] == 1 and document["settings"]["size"] == 8
    assert document["data"] == {"path": str(tiny / "data"), "images": COUNT, "size": SIZE}
    assert "tiny judge (sha256 " in document["judge"] and document["judge"] in document["embedder"]
    assert document["model"].startswith("small (") and "torch" in document["versions"]


def test_one_metric_alone_needs_no_judge(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where none is shipped."""
    monkeypatch.setattr("anifacegan.evaluation.setup.shipped_root", lambda: tmp_path)
    model, face_model = write_small_model(tmp_path / "model"), tiny / "face_model.npz"
    arguments = f"--model {model} --data {tiny / 'data'} --face-model {face_model} --out {tmp_path / 'out'}"
    run(*arguments.split(), "--metrics", "deformation", "identity")
    document = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert list(document["metrics"]) == ["deformation", "identity"]
    assert "values" in document["metrics"]["deformation"]
    assert "--judge FOLDER" in document["metrics"]["identity"]["not_measured"]
    assert "| identity | not measured | no judge given" in capsys.readouterr().out


def test_expressions_of_the_data_are_named_in_table_and_file(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And are those of the model's own face model, or nothing is measured."""
    model, out = write_small_model(tmp_path / "model"), tmp_path / "out"
    arguments = (
        f"--model {model} --data {tiny / 'data'} --face-model {tiny / 'face_model.npz'} --out {out}".split()
    )
    requested = [*arguments, "--metrics", "deformation", "--expressions_from", "data"]
    run(*arguments, "--metrics", "deformation")
    assert "expressions_from: prior\n" in capsys.readouterr().out
    run(*requested)
    assert "expressions_from: data\n" in capsys.readouterr().out
    assert json.loads((out / "metrics.json").read_text())["expressions_from"] == "data"
    shutil.copytree(tiny / "data", tmp_path / "others")
    for path in (tmp_path / "others").glob("*.mat"):
        write_coefficients(path, dataclasses.replace(read_coefficients(path), face_model="bfm09"))
    assert run(*requested, "--data", str(tmp_path / "others")) == 2
    assert "expressions_from: " in (error := one_error_line(capsys))
    assert "others belongs to face model 'bfm09', expected the model's 'anifacegan-open-4'" in error


def test_camera_labels_of_eg3d_suffice_unless_expressions_are_requested(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tiny / "data", tmp_path / "eg3d", ignore=shutil.ignore_patterns("*.mat", "dataset.json"))
    frontal = [1, 0, 0, 0, 0, -1, 0, 0, 0, 0, -1, 2.7, 0, 0, 0, 1, 4.26, 0, 0.5, 0, 4.26, 0.5, 0, 0, 1]
    labels = [[path.name, frontal] for path in (tmp_path / "eg3d").glob("*.png")]
    (tmp_path / "eg3d" / "dataset.json").write_text(json.dumps({"labels": labels}))
    arguments = [*everything(tiny, tmp_path), "--data", str(tmp_path / "eg3d")]
    run(*arguments, "--metrics", "frechet", "embedding_frechet", "expression")
    capsys.readouterr()
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())["metrics"]
    assert "values" in metrics["frechet"] and "values" in metrics["expression"]
    assert "camera pose only" in metrics["embedding_frechet"]["not_measured"]
    assert run(*arguments, "--metrics", "frechet", "--expressions_from", "data") == 2
    assert ".png: has a camera pose only, expected a .mat of that name" in one_error_line(capsys)


def test_an_image_from_the_side_is_refused_by_name(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The generator's camera would see nothing that it has learnt."""
    shutil.copytree(tiny / "data", tmp_path / "others")
    path = sorted((tmp_path / "others").glob("*.mat"))[2]
    face = read_coefficients(path)
    assert face.pose is not None
    write_coefficients(path, dataclasses.replace(face, pose=np.array([0.0, 1.5])))
    assert run(*everything(tiny, tmp_path), "--data", str(tmp_path / "others")) == 2
    line = one_error_line(capsys)
    assert f"{path.with_suffix('.png').name}: yaw 1.5 and pitch 0 are farther from frontal" in line
    assert not (tmp_path / "out").exists()


def test_mistakes_are_one_line(tiny: Path) -> None:
    def read(*arguments: str) -> Any:
        return read_config(
            EvaluateConfig, [*few_words(arguments), f"--data={tiny / 'data'}", *arguments], "evaluate"
        )

    for names in (["frechet"], ["frechet", "identity"]):
        assert read("--metrics", *names).evaluation(8).metrics == tuple(names)
    assert_one_line(lambda: read("--metrics", "fid", "frechet"), "'fid'", "inception, frechet")
    assert_one_line(lambda: read("--people", "1"), "people is 1", "at least 2")
    assert_one_line(lambda: read("--count", "1"), "count is 1", "at least 2")
    assert_one_line(lambda: read("--frames", "2"), "frames is 2", "at least 3")
    assert_one_line(lambda: read("--cuont", "2"), "cuont")
    assert_one_line(lambda: read("--seed", "-1"), "evaluate: seed is -1", "at least 0")
    assert_one_line(lambda: read("--seed", str(2**64)), "evaluate: seed is", "at most")
    assert_one_line(lambda: read("--size", "1"), "evaluate: size is 1", "at least 2")
    assert_one_line(lambda: read("--psi", "nan"), "evaluate: psi is nan")


@pytest.mark.parametrize(
    ("metrics", "option", "value"),
    [
        ("expression", "embedder", "nope"),
        ("expression identity", "inception_weights", "nope"),
        ("expression", "inception_count", "9"),
        ("expression deformation", "people", "9"),
        ("expression", "expressions", "3"),
        ("expression", "ramps", "3"),
        ("expression", "frames", "7"),
        ("expression", "bootstrap", "7"),
        ("expression", "mesh_faces", "7"),
        ("identity", "consistency_faces", "7"),
        ("identity", "count", "4"),
        ("inception", "detected_people", "4"),
        ("inception", "detected_expressions", "4"),
        ("deformation", "embedder", "dlib"),
        ("deformation", "psi", "0.5"),
        ("deformation", "size", "32"),
        ("deformation view_consistency", "batch", "8"),
        ("inception view_consistency deformation detection", "judge", "folder"),
        ("detection", "expressions_from", "data"),
        ("recognition", "trust_torchscript", "true"),
    ],
)
def test_an_option_that_no_chosen_metric_uses_is_refused(metrics: str, option: str, value: str) -> None:
    def read(*more: str) -> EvaluateConfig:
        return read_config(EvaluateConfig, ["--data=data", f"--{option}", value, *more], "evaluate")

    shown = "True" if value == "true" else value
    assert_one_line(lambda: read("--metrics", *metrics.split()), f"evaluate: {option} is {shown}, expected ")
    if option != "trust_torchscript":
        read()  # some metric uses it
    else:
        read("--embedder", "network.pt")


def test_the_shipped_judge_judges_where_none_is_named(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("anifacegan.evaluation.setup.shipped_root", lambda: tmp_path)
    write_judge(tmp_path / "checkpoints" / "judge")
    write_small_model(tmp_path / "model")
    arguments = (
        f"--model {tmp_path / 'model'} --data {tiny / 'data'} --face-model {tiny / 'face_model.npz'}".split()
    )

    def judge(*more: str) -> Any:
        run(*arguments, *more, "--metrics", "deformation", "--out", str(tmp_path / "out"))
        return json.loads((tmp_path / "out" / "metrics.json").read_text())["judge"]

    assert "tiny judge (sha256 " in judge()
    write_small_model(tmp_path / "released", face_model="bfm09")
    assert judge("--model", str(tmp_path / "released")) is None
    write_judge(tmp_path / "checkpoints" / "judge", face_model="another")
    assert judge() is None and "the shipped judge is not used: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "name", "metric", "said"),
    [
        ("--embedder", "wrong.pt", "recognition", "wrong.pt: is TorchScript"),
        ("--embedder", "none.onnx", "disentanglement", "none.onnx: no such file"),
        ("--inception-weights", "none.pth", "inception", "none.pth: no such file"),
        ("--inception-weights", "wrong.pt", "inception", "wrong.pt: not readable as weights"),
    ],
)
def test_a_wrong_file_of_the_users_ends_the_command_before_anything_is_rendered(
    option: str,
    name: str,
    metric: str,
    said: str,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("anifacegan.evaluation.image_sets.render_views", None)
    (tmp_path / "wrong.pt").write_text("no network")
    named = ("--metrics", "smoothness", metric, option, tmp_path / name)
    assert run(*everything(tiny, tmp_path), *named) == 2
    assert said in one_error_line(capsys)
    assert not (tmp_path / "out").exists()


def test_a_judge_of_other_faces_is_refused(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_small_model(tmp_path / "model", face_model="bfm09")
    arguments = (
        f"--model {tmp_path / 'model'} --data {tiny / 'data'} --judge {write_judge(tmp_path / 'judge')}"
    )
    assert run(*arguments.split(), "--out", tmp_path / "out") == 2
    assert one_error_line(capsys).startswith("error: judge: model 'small' takes 'bfm09'")


def test_a_wrong_face_model_is_said_once(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not that the shipped judge is at fault."""
    write_small_model(tmp_path / "model")
    named = ("--model", tmp_path / "model", "--data", tiny / "data", "--face_model", tmp_path / "nope")
    assert run(*named, "--out", tmp_path / "out") == 2
    assert one_error_line(capsys).startswith(f"error: {tmp_path / 'nope'}: no face model here")


def test_what_is_no_number_is_null() -> None:
    plain = without_nan({"a": [1.0, math.nan], "b": {"c": math.inf}, "d": (2, "x")})
    assert plain == {"a": [1.0, None], "b": {"c": None}, "d": [2, "x"]}


def test_a_data_sets_image_size_is_that_of_its_first_image(tiny: Path, tmp_path: Path) -> None:
    assert dataset_image_size(tiny / "data") == SIZE
    assert_one_line(lambda: dataset_image_size(tmp_path), "no images")
    (tmp_path / "a.png").write_text("no image")
    assert_one_line(lambda: dataset_image_size(tmp_path), "a.png: not a readable image")
