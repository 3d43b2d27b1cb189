"""stats.jsonl repeats itself when a run is repeated; times are elsewhere."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from anifacegan.runtime.output_folders import MARKER
from anifacegan.training.logging import Losses, RunLog


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]


def test_a_line_holds_the_means_of_the_steps_since_the_last(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 0)
    for value in (1.0, 2.0, 6.0):
        log.add({"colour": value})
    log.flush(3)
    log.add({"colour": 5.0, "silhouette": 0.25})
    log.flush(4)
    log.record(4, {"held_out_psnr": 20.5})
    log.close()
    assert lines(tmp_path) == [
        {"step": 3, "colour": 3.0},
        {"step": 4, "colour": 5.0, "silhouette": 0.25},
        {"step": 4, "held_out_psnr": 20.5},
    ]


def test_resuming_cuts_later_lines_off_and_leaves_earlier_ones_as_they_are(tmp_path: Path) -> None:
    valid_lines = '{"step": 10, "colour": 0.125}\n{"step": 20,  "colour": 0.5}\n{"step": 20, "psnr": 9}\n'
    (tmp_path / "stats.jsonl").write_text(valid_lines + '{"step": 30, "colour": 0.1}\n{"step": 40, "colo')
    RunLog(tmp_path, 20).close()
    assert (tmp_path / "stats.jsonl").read_text() == valid_lines


@pytest.mark.parametrize("half", ['{"step": 1', "[1]", '{"colour": 2}', "\x00\x00"])
def test_a_line_that_is_no_line_is_cut_off(half: str, tmp_path: Path) -> None:
    (tmp_path / "stats.jsonl").write_text(f'{{"step": 1}}\n{half}')
    RunLog(tmp_path, 5).close()
    assert (tmp_path / "stats.jsonl").read_text() == '{"step": 1}\n'


def test_values_that_were_pending_are_part_of_the_next_line(tmp_path: Path) -> None:
    """Stopped between two lines, a run writes the line that the unbroken one writes."""
    values = [0.1, 0.7, 0.3, 0.9]
    (tmp_path / "unbroken").mkdir(), (tmp_path / "stopped").mkdir()
    log = RunLog(tmp_path / "unbroken", 0)
    for value in values:
        log.add({"colour": value})
    log.flush(4)
    first = RunLog(tmp_path / "stopped", 0)
    for value in values[:3]:
        first.add({"colour": value})
    pending = json.loads(json.dumps(first.pending()))  # plain numbers: a snapshot can hold them
    first.close()
    second = RunLog(tmp_path / "stopped", 3, pending)
    second.add({"colour": values[3]})
    second.flush(4)
    assert lines(tmp_path / "stopped") == lines(tmp_path / "unbroken")
    log.close(), second.close()


def test_losses_and_speed_are_in_tensorboard_under_their_names(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = RunLog(tmp_path, 0)
    log.add({"colour": 0.5}, images=4)
    log.flush(50)
    log.watch(50, {"learning_rate/template": 0.25})
    log.image(50, "preview", np.zeros((4, 6, 3), np.uint8))
    log.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("colour")] == [(50, 0.5)]
    assert events.Scalars("images_per_second")[0].value > 0
    assert events.Scalars("learning_rate/template")[0].value == 0.25
    assert lines(tmp_path) == [{"step": 50, "colour": 0.5}]  # speed and what is only watched are not repeated
    assert events.Images("preview")[0].width == 6


def test_an_image_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    log = RunLog(tmp_path, 0)
    for level in (10, 200):
        log.image(level, "preview", np.full((4, 6, 3), level, np.uint8))
    log.close()
    assert (np.asarray(Image.open(tmp_path / "preview.png")) == 200).all()
    assert sorted(path.name for path in tmp_path.iterdir()) == [MARKER, "preview.png", "tensorboard"]


def test_losses_stay_where_they_are_until_they_are_asked_for_and_are_read_in_one_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    real = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: read.append(len(tensor)) or real(tensor))
    log = RunLog(tmp_path, 0)
    for value in (0.1, 0.2):
        log.add(Losses({"colour": torch.tensor(value), "pose": torch.tensor(2 * value, dtype=torch.float64)}))
    assert not read
    assert log.flush(2) == pytest.approx({"colour": 0.15, "pose": 0.3})
    assert read == [4]
    log.close()
    assert dict(Losses({"a": torch.tensor(1.5)})) == {"a": 1.5} and dict(Losses({})) == {}
