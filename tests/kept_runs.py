"""Tiny runs of every kind that train.py knows, and what it takes to stop one and to compare two."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch

from anifacegan import adversarial, reconstruction_run, reconstruction_training, training, training_run
from anifacegan.adversarial import AdversarialConfig
from anifacegan.config import TrainConfig
from anifacegan.data import DataConfig
from anifacegan.image_gradients import Split
from anifacegan.models.discriminator import DiscriminatorConfig
from anifacegan.models.reconstruction import ReconstructionConfig
from anifacegan.optimisation import finite_total
from anifacegan.reconstruction_run import ReconstructionReporting, ReconstructionRun
from anifacegan.reconstruction_training import ReconstructionSchedule
from anifacegan.run_log import RunLog
from anifacegan.snapshots import load_newest
from anifacegan.warm_start import ShellConfig
from tests.tiny_bfm import write_photograph_set
from tests.tiny_training_set import GENERATOR, HELD_OUT, SCHEDULE, SIZE, tiny_config, write_tiny_set

GAME_SIZE = 16
"""Height of the discriminator's pictures: the smallest that it takes."""
Terms = dict[str, torch.Tensor]


def game_config(folder: Path, out: Path, **changes: Any) -> TrainConfig:
    """Five steps: one of every stage on paired pictures, two of the game; each is a line of stats.jsonl."""
    paired = tiny_config(folder, out)
    config = dataclasses.replace(
        paired,
        data=DataConfig(folder / "data", GAME_SIZE),
        schedule=dataclasses.replace(
            SCHEDULE, warm_up_deform=1, near_surface=1, complete=1, adversarial=2, prior_faces=3
        ),
        discriminator=DiscriminatorConfig(size=GAME_SIZE, capacity=64, max_channels=8),
        adversarial=AdversarialConfig(batch=2, split=Split(1, 100)),
        reporting=dataclasses.replace(paired.reporting, log_every=1, preview_every=5, snapshot_every=3),
    )
    return dataclasses.replace(config, **changes)


def photograph_config(folder: Path, out: Path, **changes: Any) -> TrainConfig:
    """Five steps: three of the deformation on BFM's mesh, two of the game, from spheres; no alignment, as in the paper.

    ``folder`` is of :func:`tiny_bfm.write_photograph_set`.
    """
    whole = game_config(folder, out)
    config = dataclasses.replace(
        whole,
        data=DataConfig(folder / "photographs", GAME_SIZE, pitch_offset=0.1),
        face_model=folder / "BFM_model_front.mat",
        generator=dataclasses.replace(GENERATOR, alignment=None),
        shells=ShellConfig(start="spheres"),
        schedule=dataclasses.replace(whole.schedule, warm_up_deform=3, near_surface=0, complete=0),
    )
    return dataclasses.replace(config, **changes)


def reconstruction_config(folder: Path, out: Path) -> ReconstructionRun:
    """Seven steps."""
    return ReconstructionRun(
        out=out,
        device="cpu",
        data=DataConfig(folder / "data", SIZE),
        face_model=folder / "face_model.npz",
        network=ReconstructionConfig(size=16, channels=(8, 8, 16)),
        schedule=ReconstructionSchedule(steps=7, batch=3, warm_up=2),
        reporting=ReconstructionReporting(
            log_every=2, report_every=3, snapshot_every=4, keep_snapshots=2, held_out=HELD_OUT
        ),
    )


@dataclass(frozen=True)
class Kind:
    """One kind of run."""

    config: Callable[[Path, Path], Any]
    """Data set folder, run folder -> configuration."""
    run: Callable[[Any], Path]
    stopped_in: int
    """A step that ends between two regular snapshots, and where it can be between two lines of stats.jsonl."""
    died_in: int
    """A step that comes two or more after the one regular snapshot before it."""
    write: Callable[[Path], None] = write_tiny_set
    """Fills the data set folder."""


def anchored_game_config(folder: Path, out: Path, **changes: Any) -> TrainConfig:
    """:func:`game_config` with paired pictures beside the game."""
    config = game_config(folder, out, **changes)
    return dataclasses.replace(config, adversarial=dataclasses.replace(config.adversarial, paired_rays=6))


KINDS = {
    "generator": Kind(tiny_config, training_run.run, stopped_in=4, died_in=6),
    "game": Kind(
        anchored_game_config, training_run.run, stopped_in=3, died_in=4, write=partial(write_tiny_set, size=GAME_SIZE)
    ),
    "reconstruction": Kind(reconstruction_config, reconstruction_run.run, stopped_in=4, died_in=6),
    "photographs": Kind(
        photograph_config, training_run.run, 3, 4, write=partial(write_photograph_set, size=GAME_SIZE)
    ),
}


# ------------------------------------------------------------------------------------------------------------ stopping
def interrupt_at(monkeypatch: pytest.MonkeyPatch, step: int, what: Callable[[Terms], object]) -> None:
    """Do something with the terms in the middle of a step, once."""
    due = [step]

    def interrupted(now: int, terms: Terms) -> torch.Tensor:
        if due and now == due[0]:
            due.clear()
            what(terms)
        return finite_total(now, terms)

    for module in (training, adversarial, reconstruction_training):
        monkeypatch.setattr(module, "finite_total", interrupted)


def run_and_tell(kind: str, config: Any, threads: int, steps: Connection) -> None:
    """A run in a process of its own, which says when it begins and after every step."""
    add = RunLog.add

    def told(log: RunLog, values: dict[str, float], images: int) -> None:
        add(log, values, images)
        steps.send("step")

    RunLog.add = told                                                  # this process has no other run
    torch.set_num_threads(threads)
    steps.send("begin")
    KINDS[kind].run(config)


# ----------------------------------------------------------------------------------------------------------- comparing
def flat(content: object, prefix: str = "") -> dict[str, object]:
    """Nested dictionaries and lists as one, by path."""
    if isinstance(content, (dict, list)):
        pairs = content.items() if isinstance(content, dict) else enumerate(content)
        return {path: leaf for key, value in pairs for path, leaf in flat(value, f"{prefix}/{key}").items()}
    return {prefix: content}


def same_end(one: Path, other: Path) -> None:
    """stats.jsonl, the finished model and everything in the last snapshot are equal, bit for bit."""
    assert (one / "stats.jsonl").read_text() == (other / "stats.jsonl").read_text()
    first, second = (flat(load_newest(folder)) for folder in (one, other))
    assert first.keys() == second.keys()
    assert any("optimiser/state/0/exp_avg" in name for name in first)
    for name, value in first.items():
        same = torch.equal(value, second[name]) if isinstance(value, torch.Tensor) else value == second[name]
        assert same or name.startswith("/fixed/"), name                # places may change, and their names
    weights = [(folder / "model" / "model.safetensors").read_bytes() for folder in (one, other)]
    assert weights[0] == weights[1]
