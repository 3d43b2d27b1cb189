"""Commands that are killed while they write leave complete files or none, and can be started again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from anifacegan.avatars.avatar import load_avatar
from anifacegan.runtime.image_files import read_image
from anifacegan.runtime.output_folders import MANIFEST
from tests.fixtures.commands import command
from tests.fixtures.small_models import write_small_model

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("killed") / "model")


def killed(words: list[str], seconds: float) -> bool:
    """Start a command and kill it after some time; returns whether it was still running."""
    process = subprocess.Popen(
        [sys.executable, "-m", "anifacegan.cli", *words],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        process.wait(seconds)
        return False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True


def test_a_killed_rendering_changes_no_result(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["render", "--model", model, "--size", "16", "--seeds", "1,2", "--grid", "false", "--out", out]
    words = [str(word) for word in (*words, "--renderer", "adaptive", "--expression", "jawOpen")]
    assert command(*words, "--frames", "2") == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    started = time.monotonic()
    assert not killed([*words, "--frames", "2"], 300)
    whole = time.monotonic() - started
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    # So many frames that none of the runs ends: most of ``whole`` is the start of the program.
    assert all(killed([*words, "--frames", "1000"], share * whole) for share in (0.5, 0.9, 1.1))
    assert {path: path.read_bytes() for path in before} == before
    left = {path.name for path in out.iterdir()} - {path.relative_to(out).parts[0] for path in before}
    assert left <= {".anifacegan.lock", *(path.name for path in out.glob("unfinished-*"))}
    assert command(*words, "--frames", "3") == 0
    assert len(list((out / "seed1").glob("frame_*.png"))) == 3
    assert all(read_image(path).shape == (16, 16, 3) for path in out.glob("seed*/*.png"))
    assert (out / MANIFEST).is_file()


def test_a_killed_bake_leaves_the_old_avatar(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.safetensors"
    words = ["bake", "--model", model, "--out", out, "--bake.texture", "32", "--bake.grid", "16"]
    words = [str(word) for word in (*words, "--expressions", "jawOpen", "--seed")]
    started = time.monotonic()
    assert not killed([*words, "1"], 300)
    whole = time.monotonic() - started
    before = out.read_bytes()
    for share in (0.5, 0.8, 0.95):
        killed([*words, "2"], share * whole)
        assert out.read_bytes() == before or load_avatar(out).card.baking["person"] == "seed 2"
    load_avatar(out)


def test_bake_replaces_neither_a_model_nor_a_file_of_others(model: Path, tmp_path: Path) -> None:
    weights = (model / "model.safetensors").read_bytes()
    words = ("bake", "--model", model, "--expressions", "jawOpen", "--overwrite", "true", "--out")
    assert command(*words, model / "model.safetensors") == 2
    assert (model / "model.safetensors").read_bytes() == weights
    (tmp_path / "mine.safetensors").write_text("mine")
    assert (
        command("bake", "--model", model, "--expressions", "jawOpen", "--out", tmp_path / "mine.safetensors")
        == 2
    )
    assert (tmp_path / "mine.safetensors").read_text() == "mine"
