"""Stopped, killed or short of disk: a resumed run of any kind ends exactly as the unbroken one."""

import io
import os
import re
import shutil
import signal
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.output_folders import MARKER
from anifacegan.training.durable_run import DurableRun, deferred_interrupts
from tests.fixtures.forked_scripts import FORKS
from tests.fixtures.resumed_runs import KINDS, Kind, Terms, interrupt_at, run_and_tell, same_end
from tests.fixtures.small_disk import files_of_at_most

KILLS = 3
IN_EVERY_QUICK_RUN = ("adversarial", "reconstruction")
"""Kinds of which most tests are quick ones: the one runs through all stages of the generator, the other has a loop of
its own. Of the other two kinds only stopping and dying are, as what fails in between is of the code that all share."""
SHORTEST = "reconstruction"
"""The kind whose run takes the least time: the quick one where only files matter, whose writing all kinds share."""


def kinds(*quick: str) -> pytest.MarkDecorator:
    """All kinds of runs, those not in ``quick`` with -m slow."""
    marked = [pytest.param(name, marks=() if name in quick else pytest.mark.slow) for name in KINDS]
    return pytest.mark.parametrize("name", marked, indirect=True, scope="module")


@pytest.fixture(scope="module")
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def kind(name: str) -> Kind:
    return KINDS[name]


@pytest.fixture(scope="module")
def tiny(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    kind.write(folder)
    return folder


@pytest.fixture(scope="module")
def unbroken(kind: Kind, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    out = tmp_path_factory.mktemp("run") / "unbroken"
    assert kind.run(kind.config(tiny, out)) == out / "model"
    return out


class PowerCutError(Exception):
    """Nothing in a run is prepared for it."""


@pytest.fixture(scope="module")
def died(kind: Kind, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that died two or more steps after its only snapshot."""

    def die(terms: Terms) -> None:
        raise PowerCutError

    config = kind.config(tiny, tmp_path_factory.mktemp("run") / "died")
    with pytest.MonkeyPatch.context() as patch:
        interrupt_at(patch, kind.died_in, die)
        with pytest.raises(PowerCutError):
            kind.run(config)
    return config.out


def snapshots(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*snapshot*"))


def names_in(folder: Path) -> list[str]:
    """Everything in a run folder but tensorboard's files, which are named for time and process."""
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.name != MARKER)
    return sorted(str(name) for name in names if "tensorboard" not in name.parts)


@kinds(SHORTEST)
def test_a_new_run_takes_the_place_of_no_finished_one(
    kind: Kind, tiny: Path, unbroken: Path, tmp_path: Path
) -> None:
    """Also where somebody has removed its snapshots to save room; the same run may be repeated."""
    out = tmp_path / "run"
    shutil.copytree(unbroken, out)
    for path in out.glob("snapshot_*.pt"):
        path.unlink()
    same = kind.config(tiny, unbroken)
    other = replace(same, out=out, schedule=replace(same.schedule, seed=9))
    with pytest.raises(
        InputError, match=r"schedule\.seed is 9, expected 0 as in .*config\.yaml; take another"
    ):
        kind.run(other)
    assert (out / "model" / "model.safetensors").read_bytes() == (
        unbroken / "model" / "model.safetensors"
    ).read_bytes()
    kind.run(replace(same, out=out))
    same_end(out, unbroken)


@kinds(*KINDS)
def test_a_stopped_run_saves_and_goes_on_to_the_same_end(
    kind: Kind, tiny: Path, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Ctrl-C and then by SIGTERM; also between two lines of stats.jsonl and between two regular snapshots."""
    config = kind.config(tiny, tmp_path / "run")
    for step, requested in ((kind.stopped_in, signal.SIGINT), (kind.stopped_in + 1, signal.SIGTERM)):
        before = signal.getsignal(requested)
        interrupt_at(monkeypatch, step, lambda _, requested=requested: os.kill(os.getpid(), requested))
        with pytest.raises(KeyboardInterrupt):
            kind.run(config)
        assert snapshots(config.out)[-1] == f"snapshot_{step + 1:08d}.pt"  # the step on its way was finished
        assert not (config.out / "model").exists()
        assert signal.getsignal(requested) == before
    kind.run(config)
    same_end(tmp_path / "run", unbroken)


def test_a_terminal_that_closes_stops_a_run_unless_it_is_ignored() -> None:
    before = signal.getsignal(signal.SIGHUP)
    try:
        with deferred_interrupts() as event:
            signal.raise_signal(signal.SIGHUP)
            assert event.is_set()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        with deferred_interrupts() as event:
            signal.raise_signal(signal.SIGHUP)
            assert not event.is_set()
    finally:
        signal.signal(signal.SIGHUP, before)


@kinds(*KINDS)
def test_a_run_that_died_between_snapshots_goes_on_to_the_same_end(
    kind: Kind, tiny: Path, unbroken: Path, died: Path, tmp_path: Path
) -> None:
    """Steps after the last snapshot are done again."""
    shutil.copytree(died, tmp_path / "run")
    config = kind.config(tiny, tmp_path / "run")
    assert snapshots(tmp_path / "run") == [f"snapshot_{config.reporting.snapshot_every:08d}.pt"]
    kind.run(config)
    same_end(tmp_path / "run", unbroken)


@kinds(*IN_EVERY_QUICK_RUN)
def test_a_damaged_newest_snapshot_is_reported_and_the_run_goes_on_from_the_one_before(
    kind: Kind, tiny: Path, unbroken: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    newest = tmp_path / "run" / snapshots(unbroken)[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    shutil.rmtree(tmp_path / "run" / "model")
    kind.run(kind.config(tiny, tmp_path / "run"))
    assert f"{newest}: damaged" in capsys.readouterr().err
    same_end(tmp_path / "run", unbroken)


@kinds(*IN_EVERY_QUICK_RUN)
def test_a_finished_run_that_is_started_again_only_writes_its_model(
    kind: Kind, tiny: Path, unbroken: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "model")
    monkeypatch.setattr("torch.optim.Adam.step", None)
    monkeypatch.setattr("torch.optim.AdamW.step", None)
    kind.run(kind.config(tiny, tmp_path / "run"))
    same_end(tmp_path / "run", unbroken)


@kinds(*IN_EVERY_QUICK_RUN)
def test_a_term_that_is_not_finite_stops_the_run_with_its_name_and_step(
    kind: Kind, tiny: Path, unbroken: Path, died: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No snapshot holds it: without the broken term the run goes on to the same end."""
    broken: list[str] = []

    def break_one(terms: Terms) -> None:
        broken.append(sorted(terms)[-1])
        terms[broken[0]] = terms[broken[0]] * float("nan")

    shutil.copytree(died, tmp_path / "run")
    config = kind.config(tiny, tmp_path / "run")
    interrupt_at(monkeypatch, kind.died_in, break_one)
    with pytest.raises(FloatingPointError) as caught:
        kind.run(config)
    assert str(caught.value).startswith(f"step {kind.died_in}: {broken[0]} not finite (")
    assert snapshots(tmp_path / "run") == [f"snapshot_{config.reporting.snapshot_every:08d}.pt"]
    kind.run(config)
    same_end(tmp_path / "run", unbroken)


@kinds(SHORTEST)
@pytest.mark.parametrize("fails", ["snapshot", "line"])
def test_a_full_disk_stops_the_run_with_one_line_and_what_was_saved_stays(
    fails: str,
    kind: Kind,
    tiny: Path,
    unbroken: Path,
    died: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With room again it goes on to the same end."""
    size = 50_000 if fails == "snapshot" else (unbroken / "stats.jsonl").stat().st_size // 2
    shutil.copytree(died, tmp_path / "run")
    config = kind.config(tiny, tmp_path / "run")
    with ExitStack() as disk:
        interrupt_at(monkeypatch, kind.died_in, lambda _: disk.enter_context(files_of_at_most(size)))
        with pytest.raises((InputError, OSError)) as caught:
            kind.run(config)
    assert "File too large" in str(caught.value) and "\n" not in str(caught.value)
    assert snapshots(tmp_path / "run") == [f"snapshot_{config.reporting.snapshot_every:08d}.pt"]
    kind.run(config)
    same_end(tmp_path / "run", unbroken)


@kinds(SHORTEST)
def test_a_run_that_is_killed_at_any_moment_goes_on_to_the_same_end(
    name: str, kind: Kind, tiny: Path, unbroken: Path, tmp_path: Path
) -> None:
    """SIGKILL in processes of their own, at random moments of loading, of steps, of snapshots, of the end. The whole
    is repeated with new runs until enough kills have met a living one."""
    rng = np.random.default_rng(list(KINDS).index(name))
    kills, runs = 0, 0
    while kills < KILLS:
        runs += 1
        config = kind.config(tiny, tmp_path / f"run{runs}")
        finished = False
        while not finished:
            heard, told = FORKS.Pipe(duplex=False)
            process = FORKS.Process(target=run_and_tell, args=(name, config, torch.get_num_threads(), told))
            process.start()
            told.close()
            killed = kills < KILLS and kill_after(process, heard, int(rng.integers(0, 6)), rng.uniform())
            process.join()
            assert process.exitcode == (-signal.SIGKILL if killed else 0)
            kills, finished = kills + killed, not killed
        same_end(config.out, unbroken)
        assert names_in(config.out) == names_in(unbroken)


def kill_after(process: BaseProcess, heard: Connection, steps: int, share: float) -> bool:
    """Kill a process when it has told of so many steps, and a share of the time that it takes for the next; returns
    whether it still lived then."""
    times = [time.monotonic()]
    try:
        for _ in range(steps + 1):  # the first message says that it begins
            heard.recv()
            times.append(time.monotonic())
    except EOFError:
        return False
    time.sleep(share * (times[-1] - times[-2]))
    process.kill()
    process.join()
    return process.exitcode == -signal.SIGKILL


# ------------------------------------------------------------------------------------------------------------ the bar
@dataclass(frozen=True)
class FewSteps:
    steps: int = 3
    log_every: int = 2
    snapshot_every: int = 2
    keep_snapshots: int = 1


@dataclass(frozen=True)
class PlainConfig:
    out: Path
    schedule: FewSteps = FewSteps()
    reporting: FewSteps = FewSteps()

    def image_count(self, step: int) -> int:
        return 40


class PlainState:
    """Something that counts its steps."""

    step = 0
    learning: dict[str, float] = {}

    def state_dict(self) -> dict[str, int]:
        return {"step": self.step}

    def load_state_dict(self, content: dict[str, int]) -> None:
        self.step = content["step"]


def test_on_a_terminal_a_bar_tells_images_a_second_and_the_time_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", terminal)
    state, durable = PlainState(), DurableRun(PlainConfig(tmp_path), {"task": "plain"})
    assert durable.new
    durable.resume(state)
    with durable.reporting(state, lambda log: None, 2) as report:
        for state.step in (1, 2, 3):
            time.sleep(0.2)  # the bar moves ten times a second at most
            report(state, {"colour": 1.0})
    said = terminal.getvalue()
    rates = [float(found) for found in re.findall(r"([\d.]+) images/s", said)]
    assert 0 < rates[-1] <= 200  # 40 images in 0.2 s
    assert re.search(r"2/3 \[\d\d:\d\d<\d\d:\d\d", said)
    later, again = DurableRun(PlainConfig(tmp_path), {"task": "plain"}), PlainState()
    later.resume(again)
    assert not later.new and again.step == 3
