"""anifacegan train: the key task of the configuration selects what is trained."""

from pathlib import Path

import pytest

from anifacegan.cli.train import CONFIGS
from anifacegan.runtime.errors import InputError
from anifacegan.runtime.typed_config import read_one_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "arguments, name",
    [
        (["--config", "configs/demo.yaml"], "generator"),
        (["--config", "configs/reconstruction.yaml"], "reconstruction"),
        (["--config=configs/judge.yaml", "--out", "x"], "reconstruction"),
        (["--config", "configs/prior_identity.yaml"], "prior"),
        (["--config", "configs/judge.yaml", "--task", "reconstruction"], "reconstruction"),
        (["--task=generator", "--out", "x", "--data.path", "y", "--data.size", "64"], "generator"),
    ],
)
def test_the_file_or_the_option_says_the_task(
    arguments: list[str], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    config = read_one_of(CONFIGS, "task", arguments, "train")
    assert type(config) is CONFIGS[name]() and config.task == name


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("task: drawing\n", "task is drawing, expected one of generator, reconstruction, prior"),
        ("[1, 2]", "odd.yaml: holds a list"),
        ("task: [", "odd.yaml: not readable as YAML"),
        ("\xff", "odd.yaml: not readable as YAML"),
    ],
)
def test_what_says_no_task_is_refused(content: str, part: str, tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError) as caught:
        read_one_of(CONFIGS, "task", ["--config", str(tmp_path / "odd.yaml")], "train")
    assert part in str(caught.value)
