"""Killed before each file that they write, with a full disk, without permission, two at once or among damaged
leftovers: commands show whole files only, and the next run ends as if nothing had happened.

Fits, avatars and measurements are stand-ins that cost nothing; what is written, and how, is the commands' own.
"""

import dataclasses
import functools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from anifacegan.avatars.avatar import load_avatar
from anifacegan.capture.prepare import Preparer
from anifacegan.cli.animate import run as animate_run
from anifacegan.cli.bake import run as bake_run
from anifacegan.cli.evaluate import run as evaluate_run
from anifacegan.cli.fit import run as fit_run
from anifacegan.cli.prepare import record as prepare_record
from anifacegan.cli.prepare import run as prepare_run
from anifacegan.data.dataset import FaceDataset
from anifacegan.evaluation.evaluate import Evaluation
from anifacegan.face_model.coefficients import read_coefficients
from anifacegan.rendering.model import Model, load_model
from anifacegan.runtime.image_files import read_image
from anifacegan.runtime.locks import LOCK, FolderLock
from anifacegan.runtime.output_folders import MARKER
from tests.cli.test_animate import Avatar, avatar, photograph  # noqa: F401 (fixtures)
from tests.cli.test_fit import Fitter
from tests.fixtures.commands import command, one_error_line
from tests.fixtures.killed_at import killed_at
from tests.fixtures.small_disk import files_of_at_most
from tests.fixtures.small_models import write_small_model

KINDS = ("fit", "prepare", "animate", "bake", "evaluate")


@dataclasses.dataclass(frozen=True)
class Numbers:
    count: int = 3
    value: float = 0.5


class Measured(Evaluation):
    """Measures nothing."""

    def measure(self, name: str) -> Numbers:
        return Numbers()


class OffsetlessPreparer(Preparer):
    """Compares no landmarks, of which the stand-in for the fitter has none."""

    def _offset(self, face: object) -> tuple[float, float, float, float]:
        return 0.0, 0.0, 1.0, 0.0


@dataclasses.dataclass(frozen=True)
class Kind:
    """A command with stand-ins for what it computes."""

    words: tuple[object, ...]
    """Its words."""
    out: Path
    """The folder in which it writes."""

    def run(self) -> int:
        return command(*self.words)

    def files(self) -> dict[str, bytes]:
        """The results, without what belongs to the writing itself."""
        paths = (path for path in self.folder_files() if not path.name.startswith("."))
        return {
            path.relative_to(self.out.parent).as_posix(): path.read_bytes()
            for path in paths
            if not any(part.startswith("unfinished-") for part in path.parts)
        }

    def folder_files(self) -> list[Path]:
        return [path for path in self.out.parent.rglob("*") if path.is_file()]


@functools.cache
def demo(*_: object) -> Model:
    """The demo, loaded once."""
    return load_model("demo")


@pytest.fixture(params=KINDS)
def kind(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    avatar: Avatar,  # noqa: F811
    photograph: Path,  # noqa: F811
) -> Kind:
    monkeypatch.setattr(fit_run, "FaceFitter", Fitter)
    monkeypatch.setattr(fit_run, "overlay_image", lambda *_: np.zeros((8, 8, 3), np.uint8))
    monkeypatch.setattr(prepare_run, "FaceFitter", Fitter)
    monkeypatch.setattr(prepare_run, "Preparer", OffsetlessPreparer)
    monkeypatch.setattr(prepare_record, "checksums_of", lambda _: {"network": None})
    out = tmp_path / "results" / "out"
    raw = tmp_path / "raw"
    raw.mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (48, 48), "grey").save(raw / f"{name}.png")
    words: dict[str, tuple[object, ...]] = {
        "fit": ("fit", raw, "--out", out, "--size", 64),
        "prepare": ("prepare", "--images", raw, "--out", out, "--size", 32, "--processes", 1, "--sheet", 0),
        "animate": ("animate", photograph, "--out", out, "--size", 64, "--frames", 2, "--yaw", 0),
        "bake": ("bake", "--out", out / "a.safetensors", "--model", write_small_model(tmp_path / "model")),
        "evaluate": (
            *("evaluate", "--out", out, "--data", raw),
            *("--model", tmp_path / "model", "--metrics", "smoothness", "identity"),
        ),
    }
    monkeypatch.setattr(animate_run, "load_model", demo)
    if request.param == "bake":
        out.mkdir(parents=True)
        monkeypatch.setattr(bake_run, "baked_avatar", lambda *_: avatar)
    if request.param == "evaluate":
        write_small_model(tmp_path / "model")
        evaluation = object.__new__(Measured)
        evaluation.config = SimpleNamespace(metrics=("smoothness", "identity"))
        evaluation.image_sets = SimpleNamespace(loaded_embedder_name=None)
        monkeypatch.setattr(evaluate_run, "load_model", lambda *_: SimpleNamespace(card=None))
        document = {"model": "m", "judge": None, "embedder": None, "data": "d", "expressions_from": "prior"}
        setup = SimpleNamespace(evaluation=lambda *_: evaluation)
        monkeypatch.setattr(evaluate_run, "evaluation_setup", lambda *_: setup)
        monkeypatch.setattr(evaluate_run, "provenance", lambda *_: document | {"metrics": {}})
    return Kind(words[request.param], out)


def require_whole(name: str, content: bytes, path: Path) -> None:
    """A file is complete: what it announces can be read to its end."""
    reads: dict[str, Callable[[Path], object]] = {
        ".png": read_image,
        ".mat": read_coefficients,
        ".safetensors": load_avatar,
        ".json": lambda path: json.loads(path.read_text()),
    }
    assert content or path.suffix == ".jsonl", name  # nothing was left out
    if path.suffix in reads:
        reads[path.suffix](path)


def test_a_run_that_is_killed_before_any_of_its_files_can_be_repeated(kind: Kind) -> None:
    made_before = kind.out.is_dir()
    assert kind.run() == 0  # what a process loads once is loaded here, and not again in each that is forked
    shutil.rmtree(kind.out.parent)
    if made_before:
        kind.out.mkdir(parents=True)
    moment = 0
    while killed_at(kind.run, moment):
        for name, content in kind.files().items():
            require_whole(name, content, kind.out.parent / name)
        moment += 1
    assert moment >= (1 if kind.words[0] == "bake" else 3)
    killed = kind.files()
    for path in kind.folder_files():
        os.utime(path, (0, 0))  # long ago
    assert kind.run() == 0
    whole = kind.files()
    assert set(killed) <= set(whole)
    leftovers = [path for path in kind.folder_files() if path.name.startswith(".")]
    assert {path.name for path in leftovers} <= {MARKER}, leftovers
    assert not list(kind.out.glob("unfinished-*"))
    if kind.words[0] == "prepare":
        assert len(FaceDataset(prepare_data(kind.out))) == 2


@pytest.mark.parametrize("kind", ["evaluate"], indirect=True)
def test_a_stopped_evaluation_leaves_the_earlier_results_and_its_own_beside_them(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """metrics.json was the new run's first metrics, beside the earlier run's table."""

    def stopped(_: object, name: str) -> Numbers:
        if name == "identity":
            raise KeyboardInterrupt
        return Numbers(value=0.75)

    assert kind.run() == 0
    before, partial = kind.files(), kind.out / evaluate_run.PARTIAL
    assert {Path(name).name for name in before} == set(evaluate_run.RESULTS) and not partial.exists()
    with monkeypatch.context() as patch:
        patch.setattr(Measured, "measure", stopped)
        assert kind.run() == 130
    assert kind.files() == before
    measured = json.loads(partial.read_text())["metrics"]
    assert list(measured) == ["smoothness"] and measured["smoothness"]["values"]["value"] == 0.75
    assert kind.run() == 0
    assert kind.files() == before and not partial.exists()


def prepare_data(out: Path) -> object:
    from anifacegan.data.config import DataConfig

    return DataConfig(out, size=32)


def test_a_full_disk_is_one_line_and_changes_no_result(
    kind: Kind, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kind.run() == 0
    before = kind.files()
    for path in list(kind.out.glob("*a.mat")):  # prepare has something to do
        path.unlink()
    capsys.readouterr()
    with files_of_at_most(30):
        assert kind.run() == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("error: ") and "cannot be written" in line
    after = kind.files()
    assert {name: before[name] for name in after} == after
    assert kind.run() == 0
    assert set(kind.files()) == set(before)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into every folder")
def test_a_read_only_folder_is_one_line(kind: Kind, capsys: pytest.CaptureFixture[str]) -> None:
    kind.out.mkdir(parents=True, exist_ok=True)
    kind.out.chmod(0o500)
    try:
        assert kind.run() == 2
        assert "cannot be written" in one_error_line(capsys)
    finally:
        kind.out.chmod(0o700)


def test_a_folder_that_is_a_file_is_one_line(kind: Kind, capsys: pytest.CaptureFixture[str]) -> None:
    if kind.out.is_dir():
        kind.out.rmdir()
    kind.out.parent.mkdir(exist_ok=True)
    kind.out.write_text("mine")
    assert kind.run() == 2
    assert str(kind.out) in one_error_line(capsys)
    assert kind.out.read_text() == "mine" and list(kind.out.parent.iterdir()) == [kind.out]


def test_damaged_leftovers_are_replaced_or_stay(kind: Kind, capsys: pytest.CaptureFixture[str]) -> None:
    assert kind.run() == 0
    before = kind.files()
    marker = kind.out / MARKER
    if marker.is_file():
        whole = marker.read_bytes()
        for content in (b"", b"{", whole[: len(whole) // 2], b"[" * 5000):
            marker.write_bytes(content)  # who wrote the results cannot be known any more
            assert kind.run() == 2
            assert "was not written by" in capsys.readouterr().err
            assert kind.files() == before and marker.read_bytes() == content
        marker.write_bytes(whole)
    (kind.out / LOCK).write_text("{")
    assert kind.run() == 0
    assert set(kind.files()) == set(before)


@pytest.mark.parametrize("kind", ["fit", "prepare"], indirect=True)
def test_a_second_writer_is_refused(kind: Kind, capsys: pytest.CaptureFixture[str]) -> None:
    assert kind.run() == 0
    before = kind.files()
    capsys.readouterr()
    with FolderLock(kind.out):
        assert kind.run() == 2
    assert f"process {os.getpid()} on" in one_error_line(capsys)
    assert kind.files() == before
