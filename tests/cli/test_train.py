"""train.py finds out from its arguments what to train."""

from pathlib import Path

import pytest

from anifacegan.cli.train import TASKS, select_task
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.typed_config import read_config

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "arguments, name",
    [
        (["--config", "configs/demo.yaml"], "generator"),
        (["--config", "configs/reconstruction.yaml"], "reconstruction"),
        (["--config=configs/judge.yaml", "--out", "x"], "reconstruction"),
        (
            ["--config", "configs/reconstruction.yaml", "--config", "configs/render_orbit.yaml"],
            "reconstruction",
        ),
        (["--config", "configs/demo.yaml", "--task", "reconstruction"], "reconstruction"),
        (["--task=generator"], "generator"),
        (["--config", "nowhere.yaml"], "generator"),
        (["--config"], "generator"),
        ([], "generator"),
    ],
)
def test_the_file_or_the_option_says_the_task(
    arguments: list[str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert select_task(arguments) is TASKS[name]


def test_a_task_that_is_said_is_an_option_of_its_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for name, file in (("generator", "demo"), ("reconstruction", "judge")):
        arguments = ["--config", f"configs/{file}.yaml", "--task", name]
        assert read_config(select_task(arguments).config, arguments, "train.py").task == name


def test_an_unknown_task_is_refused(tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text("task: drawing\n")
    with pytest.raises(InputError, match="task is drawing, expected one of generator, reconstruction"):
        select_task(["--config", str(tmp_path / "odd.yaml")])


@pytest.mark.parametrize("content", ["[1, 2]", "task: [", "\xff"])
def test_a_file_that_is_no_configuration_is_left_to_the_reader(content: str, tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_bytes(content.encode("latin-1"))
    assert select_task(["--config", str(tmp_path / "odd.yaml")]) is TASKS["generator"]
