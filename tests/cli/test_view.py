"""anifacegan view: options, what is opened, and the viewer of a training run."""

import asyncio
import dataclasses
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from anifacegan.avatars.avatar import save_avatar
from anifacegan.cli.main import ended_as_by_ctrl_c
from anifacegan.cli.view import beside_training, run_folder
from anifacegan.cli.view import run as view_run
from anifacegan.cli.view.config import ViewCommand
from anifacegan.cli.view.run import make_viewer
from anifacegan.cli.view.run_folder import RunFolder, is_run_folder
from anifacegan.models.checkpoints import save_checkpoint
from anifacegan.runtime.errors import InputError
from anifacegan.training.config import TrainConfig
from anifacegan.training.snapshots import newest_step
from anifacegan.viewer.requests import View
from tests.fixtures.ball_avatars import ball_avatar
from tests.fixtures.commands import command, one_error_line
from tests.fixtures.small_models import small_checkpoint, write_small_model
from tests.fixtures.viewer_client import Client, connect, with_server
from tests.viewer.test_subjects import BAKE

pytest.importorskip("websockets", reason="pip install websockets")
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--port", "99999"], "port is 99999, expected 0 to 65535"),
        (["--size", "5"], "size is 5, expected 32 to 1024"),
        (["--seed", "-1"], "seed is -1, expected"),
        (
            ["a.safetensors", "--seed", "7"],
            "seed is 7, expected no --seed with an avatar file, which is one person",
        ),
        (
            ["a.safetensors", "--psi", "0.5"],
            "psi is 0.5, expected no --psi with an avatar file, which is one person",
        ),
        (["nothing"], "nothing: no such file or folder"),
        (["--out", "FILE"], "expected a folder, not a file"),
        (["--host", "203.0.113.9", "MODEL"], "of 203.0.113.9 cannot be opened"),
        (["--host", "a..b", "MODEL"], "host is 'a..b', expected an address or a name of this machine"),
        (["--host", "x" * 70, "MODEL"], "xxx', expected an address or a name of this machine"),
    ],
)
def test_wrong_options_are_one_line(
    options: list[str],
    part: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").touch()
    if "MODEL" in options:
        save_avatar(tmp_path / "a.safetensors", ball_avatar())
        options = ["a.safetensors", *options[:-1]]
    assert command("view", *options) == 2
    assert part in one_error_line(capsys)
    assert not (tmp_path / "view").exists()


def test_a_missing_package_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "websockets.asyncio.server", None)
    assert command("view") == 2
    assert "pip install 'anifacegan[viewer]'" in one_error_line(capsys)


def test_a_viewer_begins_with_what_the_options_say(tmp_path: Path) -> None:
    write_small_model(tmp_path / "model")
    config = ViewCommand(
        model=tmp_path / "model", port=0, seed=5, psi=0.4, size=64, out=tmp_path / "out", bake=BAKE
    )

    async def test(address) -> None:
        async with connect(address) as socket:
            hello = await Client(socket).next("hello")
            view = hello["view"]
            assert (view["seed"], view["psi"], view["size"], hello["kind"]) == (5, 0.4, 64, "model")
            assert hello["webcam"] is False and hello["out"] == str(tmp_path / "out")

    with_server(make_viewer(config), test)


def write_run(folder: Path, *steps: int) -> Path:
    """A folder that looks like that of a run with snapshots; their content is not read here."""
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text("data: {path: data, size: 32}\n")
    for step in steps:
        (folder / f"snapshot_{step:08d}.pt").touch()
    return folder


def exported(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """Put a small model in the place of an exported snapshot; returns the steps that are asked for."""
    asked: list[int | None] = []

    def export(config: TrainConfig, step: int | None, folder: Path) -> int:
        asked.append(step)
        save_checkpoint(folder, dataclasses.replace(small_checkpoint()))
        assert step is not None
        return step

    monkeypatch.setattr(run_folder, "export", export)
    return asked


def test_the_newest_snapshot_is_shown_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = exported(monkeypatch)
    folder = write_run(tmp_path / "run")
    run = RunFolder(folder, BAKE, "cpu", lambda: None)
    assert run.newer() is None and newest_step(folder) is None
    write_run(folder, 500, 1000)
    shown = run.newer()
    assert shown is not None and shown.description()["name"] == "small, step 1000"
    assert run.newer() is None
    write_run(folder, 1500)
    assert run.newer() is not None and asked == [1000, 1500]


def test_a_snapshot_that_cannot_be_read_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFolder(write_run(tmp_path / "run", 500), BAKE, "cpu", lambda: None)
    with pytest.raises(InputError, match="snapshot_00000500.pt"):
        run.newer()
    exported(monkeypatch)
    assert run.newer() is not None


def test_run_folders_are_told_from_models(tmp_path: Path) -> None:
    assert is_run_folder(write_run(tmp_path / "run"))
    assert not is_run_folder(write_small_model(tmp_path / "model")) and not is_run_folder(
        tmp_path / "nothing"
    )


def test_a_run_without_a_snapshot_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from anifacegan.viewer import server

    exported(monkeypatch)
    monkeypatch.setattr(server, "WATCH_S", 0.1)
    folder = write_run(tmp_path / "run")
    config = ViewCommand(model=folder, port=0, out=tmp_path / "out", bake=BAKE)

    async def test(address) -> None:
        async with connect(address) as socket:
            page = Client(socket)
            assert (await page.next("hello"))["name"] == f"Waiting for the first snapshot of {folder}"
            await asyncio.to_thread(write_run, folder, 500)
            assert (await page.next("hello"))["name"] == "small, step 500"
            frame = await page.frame(1, **vars(View(size=32, source="networks")) | {"coefficients": []})
            assert frame["source"] == "networks"

    with_server(make_viewer(config), test)


def test_the_viewer_beside_a_run_is_a_process_that_ends_with_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It yields to all other processes: on a busy machine it takes minutes to start."""
    with beside_training.viewer_beside(write_run(tmp_path / "run")):
        said, lives = "", True
        while "open http" not in said and lives:
            time.sleep(0.2)
            lives = "viewer" in {process.name for process in multiprocessing.active_children()}
            said += capfd.readouterr().err
        address = re.search(r"open http://([\d.]+):(\d+)/\?token=(\S+)", said)
        assert address is not None, said
        assert answers(address[1], int(address[2]))
    assert not answers(address[1], int(address[2]))


def answers(host: str, port: int) -> bool:
    import socket

    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


class Waits:
    """A viewer that is ended from outside, or fails."""

    def __init__(self, number: signal.Signals) -> None:
        self.stage, self.closed, self._number = self, False, number

    async def serve(self, _: object) -> None:
        os.kill(os.getpid(), self._number)
        await asyncio.sleep(20)
        raise AssertionError("was not ended")

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("interrupt", [signal.SIG_IGN, signal.default_int_handler])
def test_the_command_can_be_ended_where_ctrl_c_is_ignored(
    number: signal.Signals, interrupt: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = Waits(number)
    monkeypatch.setattr(view_run, "make_viewer", lambda _: viewer)
    before = signal.signal(signal.SIGINT, interrupt)  # what a script starts with "&" ignores it
    try:
        with ended_as_by_ctrl_c():
            view_run.view(ViewCommand())
    finally:
        signal.signal(signal.SIGINT, before)
    assert viewer.closed


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_command_serves_until_it_is_interrupted(number: signal.Signals, tmp_path: Path) -> None:
    save_avatar(tmp_path / "ball.safetensors", ball_avatar())
    words = [sys.executable, "-m", "anifacegan.cli", "view", "ball.safetensors", "--port", "0"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    process = subprocess.Popen(
        words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("open http://127.0.0.1:")
    assert "ssh -N -L" in process.stdout.readline()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "") and not (tmp_path / "view").exists()
