"""A run folder has one writer, who touches nothing that the run did not write."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.locks import LOCK, FolderLock
from anifacegan.runtime.output_folders import MARKER, filled_when_complete
from anifacegan.training.durable_run import DurableRun
from anifacegan.training.logging import RunLog


@dataclass
class Schedule:
    steps: int = 3


@dataclass
class Intervals:
    log_every: int = 1
    snapshot_every: int = 1
    keep_snapshots: int = 2


@dataclass
class Config:
    out: Path
    schedule: Schedule = field(default_factory=Schedule)
    reporting: Intervals = field(default_factory=Intervals)

    def image_count(self, step: int) -> int:
        return 1


class Counter:
    """A state that counts its steps."""

    def __init__(self) -> None:
        self.step = 0
        self.learning: dict[str, float] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step}

    def load_state_dict(self, content: dict[str, Any]) -> None:
        self.step = content["step"]


def train(out: Path, until: int = 3, previews: bool = False, fails: bool = False) -> Counter:
    """Train to a step, as the loops of training do; with ``fails``, a refusal comes before the first one."""

    def show(log: RunLog, step: int) -> None:
        if previews:
            log.image(step, "preview", np.full((2, 2, 3), step, np.uint8))

    durable, state = DurableRun(Config(out), {"seed": 0}), Counter()
    with durable:
        durable.resume(state)
        if fails:
            raise InputError("late")
        with durable.reporting(state, lambda log: show(log, state.step), 1 if previews else 10) as report:
            while state.step < until:
                state.step += 1
                report(state, {"loss": 1.0})
    return state


def contents(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_a_run_goes_on_in_its_own_folder_and_leaves_no_lock(tmp_path: Path) -> None:
    train(tmp_path / "run", until=2)
    assert train(tmp_path / "run").step == 3
    assert not (tmp_path / "run" / LOCK).exists()
    snapshots = sorted(path.name for path in (tmp_path / "run").glob("*.pt"))
    assert snapshots == ["snapshot_00000002.pt", "snapshot_00000003.pt"]


@pytest.mark.parametrize(
    "name", ["config.yaml", "stats.jsonl", "preview.png", "model/model.safetensors", "model/card.yaml"]
)
def test_a_new_run_replaces_no_file_of_others(name: str, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    expected = (
        f"{name}: is in the way and was not written by anifacegan, expected another --out, or that file moved"
    )
    with pytest.raises(InputError, match=expected):  # training has no --overwrite
        train(tmp_path)
    assert contents(tmp_path) == {name: b"mine"}


def without_snapshots(out: Path) -> dict[str, bytes]:
    """Remove what a run would go on from; return what is left."""
    for path in out.glob("snapshot_*.pt"):
        path.unlink()
    return contents(out)


def test_a_new_run_replaces_the_files_of_an_earlier_one(tmp_path: Path) -> None:
    train(tmp_path, until=1, previews=True)
    without_snapshots(tmp_path)
    assert train(tmp_path, until=1, previews=True).step == 1


@pytest.mark.parametrize("name", ["config.yaml", "stats.jsonl", "preview.png"])
def test_a_new_run_replaces_no_file_of_an_earlier_one_that_somebody_has_changed(
    name: str, tmp_path: Path
) -> None:
    train(tmp_path, previews=True)
    (tmp_path / name).write_text("mine")
    before = without_snapshots(tmp_path)
    with pytest.raises(InputError, match=f"{name}: is in the way and was not written by anifacegan"):
        train(tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["stats.jsonl", "preview.png"])
def test_a_new_run_replaces_no_file_of_a_name_that_an_earlier_one_did_not_come_to_write(
    name: str, tmp_path: Path
) -> None:
    train(tmp_path, until=0)
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match=f"{name}: is in the way and was not written by anifacegan"):
        train(tmp_path)


@pytest.mark.parametrize("name", ["config.yaml", "stats.jsonl", "preview.png", "yaw.png", "model/card.yaml"])
def test_a_resumed_run_replaces_no_file_that_somebody_has_changed_or_put_there(
    name: str, tmp_path: Path
) -> None:
    train(tmp_path, until=2, previews=True)
    with filled_when_complete(tmp_path / "model", last="card.yaml") as folder:
        for written in ("card.yaml", "model.safetensors"):
            (folder / written).write_text("ours")
    (tmp_path / name).write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(InputError, match=f"{name}: is in the way and was not written by anifacegan"):
        train(tmp_path)
    assert contents(tmp_path) == before
    (tmp_path / name).unlink()
    assert train(tmp_path).step == 3


def test_a_configuration_that_somebody_has_edited_stays_if_the_run_has_its_options(tmp_path: Path) -> None:
    train(tmp_path, until=2)
    edited = "# mine\n" + (tmp_path / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(edited)
    assert train(tmp_path).step == 3 and (tmp_path / "config.yaml").read_text() == edited


def test_a_run_without_a_list_of_its_files_goes_on(tmp_path: Path) -> None:
    train(tmp_path, until=2, previews=True)
    (tmp_path / MARKER).unlink()
    assert train(tmp_path).step == 3  # no preview is drawn again
    assert train(tmp_path, previews=True).step == 3


def test_a_run_that_is_refused_late_leaves_no_trace(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="late"):
        train(tmp_path / "new" / "run", fails=True)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="late"):
        train(tmp_path / "run", fails=True)
    assert contents(tmp_path) == {"run/notes.txt": b"mine"}
    train(tmp_path / "run", until=2)
    before = contents(tmp_path)
    with pytest.raises(InputError, match="late"):
        train(tmp_path / "run", fails=True)
    assert contents(tmp_path) == before


def test_files_of_others_with_similar_names_stay(tmp_path: Path) -> None:
    mine = [
        ".config.yaml.7.tmp",
        "notes.tmp",
        "snapshot_best.pt",
        "model/unfinished-1-abcdefgh/model.safetensors",
    ]
    for name in mine:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("mine")
    train(tmp_path)
    found = contents(tmp_path)
    assert all(found[name] == b"mine" for name in mine)


def test_a_second_run_in_one_folder_is_refused(tmp_path: Path) -> None:
    train(tmp_path / "run", until=1)
    lock = FolderLock(tmp_path / "run")
    lock.take()
    before = contents(tmp_path / "run")
    with pytest.raises(InputError, match="is writing here, expected its end, or another --out"):
        train(tmp_path / "run")
    assert contents(tmp_path / "run") == before
    lock.release()
    train(tmp_path / "run")


@pytest.mark.parametrize(
    "content",
    [
        [],
        3,
        {},
        {"step": "x"},
        {"step": 1},
        {"step": 1, "fixed": 3, "log": {}},
        {"step": 1, "fixed": {}, "log": []},
    ],
)
def test_an_odd_snapshot_is_one_line(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "snapshot_00000001.pt")
    before = contents(tmp_path)
    with pytest.raises(InputError):
        train(tmp_path)
    assert contents(tmp_path) == before and not (tmp_path / MARKER).exists()
