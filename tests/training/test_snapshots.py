"""Snapshots: complete or not at all, the newest readable one is found."""

import json
import os
import socket
from pathlib import Path

import pytest
import torch

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.output_folders import MARKER
from anifacegan.training.snapshots import load_newest, load_snapshot, remove_half_written, save_snapshot
from tests.fixtures.small_disk import files_of_at_most

TOKEN = "0123456789abcdef"


def content(step: int) -> dict:
    weights = torch.randn(500, generator=torch.Generator().manual_seed(step))
    return {
        "generator": {"weight": weights},
        "step": step,
        "facts": {"error": 0.1 * step, "name": "prior"},
        "fixed": {"schedule.seed": 0},
        "log": {"totals": {"colour": 0.5}, "count": 1},
    }


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != MARKER)


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    save_snapshot(tmp_path, 7, content(7), keep=2)
    loaded = load_newest(tmp_path)
    assert loaded is not None
    assert torch.equal(loaded["generator"]["weight"], content(7)["generator"]["weight"])
    assert loaded["step"] == 7 and loaded["facts"] == content(7)["facts"]


def test_the_newest_few_are_kept_and_the_newest_is_loaded(tmp_path: Path) -> None:
    for step in (8, 9, 10, 11):
        save_snapshot(tmp_path, step, content(step), keep=2)
    assert names(tmp_path) == ["snapshot_00000010.pt", "snapshot_00000011.pt"]
    loaded = load_newest(tmp_path)
    assert loaded is not None and loaded["step"] == 11


def test_what_somebody_put_in_the_place_of_a_snapshot_is_not_removed(tmp_path: Path) -> None:
    for step in (8, 9):
        save_snapshot(tmp_path, step, content(step), keep=2)
    (tmp_path / "snapshot_00000008.pt").write_bytes(b"mine")
    for step in (10, 11, 12):
        save_snapshot(tmp_path, step, content(step), keep=1)
    assert names(tmp_path) == ["snapshot_00000008.pt", "snapshot_00000012.pt"]
    assert (tmp_path / "snapshot_00000008.pt").read_bytes() == b"mine"


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def overwrite(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def flip_one_bit_of_a_weight(path: Path) -> None:
    weights = content(2)["generator"]["weight"].numpy().tobytes()
    whole = bytearray(path.read_bytes())
    place = whole.find(weights)
    assert place > 0
    whole[place + 1002] ^= 0x40
    path.write_bytes(whole)


@pytest.mark.parametrize("damage", [truncate, empty, overwrite, flip_one_bit_of_a_weight])
def test_a_damaged_newest_snapshot_is_reported_and_the_one_before_is_used(
    damage, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    save_snapshot(tmp_path, 1, content(1), keep=3)
    save_snapshot(tmp_path, 2, content(2), keep=3)
    damage(tmp_path / "snapshot_00000002.pt")
    loaded = load_newest(tmp_path)
    assert loaded is not None and loaded["step"] == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "snapshot_00000002.pt: damaged" in said


@pytest.mark.parametrize(
    "change",
    [
        {"step": 10**30},
        {"step": -3},
        {"step": True},
        {"step": 2.0},
        {"fixed": {}},
        {"fixed": "seed"},
        {"log": {"totals": "colour", "count": 1}},
        {"log": {"totals": {"colour": "0.5"}, "count": 1}},
        {"log": {"totals": {}, "count": "1"}},
        {"log": {"totals": {}, "count": -1}},
        {"log": {}},
        {"facts": "prior"},
        {"learning": {"lr": "fast"}},
        {"left_out": [0]},
        {"average_updates": -1},
    ],
    ids=str,
)
def test_a_snapshot_with_values_of_another_kind_is_reported_as_a_damaged_one(
    change: dict, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    save_snapshot(tmp_path, 1, content(1), keep=3)
    save_snapshot(tmp_path, 2, content(2) | change, keep=3)
    loaded = load_newest(tmp_path)
    assert loaded is not None and loaded["step"] == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "snapshot_00000002.pt: " in said
    with pytest.raises(InputError, match=r"snapshot_00000002\.pt: (damaged|is of step)"):
        load_snapshot(tmp_path, 2)


def test_a_snapshot_that_was_renamed_is_not_taken_for_a_later_one(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    for step in (1, 2):
        save_snapshot(tmp_path, step, content(step), keep=3)
    (tmp_path / "snapshot_00000001.pt").rename(tmp_path / "snapshot_00000099.pt")
    loaded = load_newest(tmp_path)
    assert loaded is not None and loaded["step"] == 2
    assert "snapshot_00000099.pt: is of step 1, expected step 99, as its name says" in capsys.readouterr().err


def test_a_run_whose_snapshots_are_all_damaged_is_not_started_over(tmp_path: Path) -> None:
    assert load_newest(tmp_path) is None and load_newest(tmp_path / "nowhere") is None
    (tmp_path / "snapshot_00000003.pt").write_bytes(b"nothing")
    with pytest.raises(InputError, match="no snapshot is readable"):
        load_newest(tmp_path)


class Bomb:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("exploded",)


def test_nothing_in_a_snapshot_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_snapshot(tmp_path, 1, {"generator": Bomb()}, keep=1)
    with pytest.raises(InputError, match="no snapshot is readable"):
        load_newest(tmp_path)
    assert not (tmp_path / "exploded").exists()


def test_a_full_disk_leaves_the_last_good_snapshot_and_nothing_half_written(tmp_path: Path) -> None:
    save_snapshot(tmp_path, 1, content(1), keep=1)
    with files_of_at_most(1000), pytest.raises(InputError) as caught:
        save_snapshot(tmp_path, 2, content(2), keep=1)
    assert str(caught.value) == f"{tmp_path / 'snapshot_00000002.pt'}: cannot be written (File too large)"
    assert names(tmp_path) == ["snapshot_00000001.pt"]
    loaded = load_newest(tmp_path)
    assert loaded is not None and loaded["step"] == 1


def test_a_damaged_later_snapshot_does_not_push_out_the_one_just_written(tmp_path: Path) -> None:
    (tmp_path / "snapshot_00000009.pt").write_bytes(b"damaged")
    save_snapshot(tmp_path, 5, content(5), keep=1)
    loaded = load_newest(tmp_path)
    assert loaded is not None and loaded["step"] == 5


def test_what_a_killed_process_was_writing_is_removed_and_nothing_else(tmp_path: Path) -> None:
    save_snapshot(tmp_path, 5, content(5), keep=1)
    for name in (
        f".snapshot_00000006.pt.123.{TOKEN}.tmp",
        f".config.yaml.1.{TOKEN}.tmp",
        f"..anifacegan.json.123.{TOKEN}.tmp",
        f"surfaces/.visible.npy.123.{TOKEN}.tmp",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / "model" / "unfinished-123-abcdefgh").mkdir(parents=True)
    (tmp_path / "model" / "unfinished-123-abcdefgh" / "model.safetensors").write_bytes(b"half")
    process = {"program": "anifacegan", "host": socket.gethostname(), "pid": 2**22 + 1}
    (tmp_path / "model" / "unfinished-123-abcdefgh" / MARKER).write_text(json.dumps(process))
    mine = (".notes.txt.123.tmp", ".config.yaml.1.tmp", "model/unfinished-12-abcdefgh/card.yaml", ".mine.tmp",
            ".snapshot_00000006.pt.mine.tmp", "surfaces/.thesis.tmp", "model/unfinished-123/card.yaml",
            "model/unfinished-thoughts/mine", "tensorboard/whole")  # fmt: skip
    for name in mine:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"mine")
    remove_half_written(tmp_path)
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {"snapshot_00000005.pt", MARKER, *mine}
    assert names(tmp_path / "model") == ["unfinished-12-abcdefgh", "unfinished-123", "unfinished-thoughts"]


def test_snapshots_by_another_name_are_neither_removed_nor_read(tmp_path: Path) -> None:
    mine = ("snapshot_00000001_best.pt", "snapshot_best.pt", "snapshot_1.pt")
    for name in mine:
        (tmp_path / name).write_bytes(b"mine")
    for step in (1, 2, 3):
        save_snapshot(tmp_path, step, content(step), keep=1)
    assert names(tmp_path) == sorted(["snapshot_00000003.pt", *mine])
    loaded = load_newest(tmp_path)
    assert loaded is not None and loaded["step"] == 3
