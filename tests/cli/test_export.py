"""``anifacegan export``: what it writes, and what it refuses in one line."""

from pathlib import Path

import numpy as np
import pytest

from anifacegan.avatars.avatar import save_avatar
from anifacegan.runtime.output_folders import MARKER, claim
from tests.fixtures.ball_avatars import ball_avatar
from tests.fixtures.commands import command, one_error_line


@pytest.fixture(scope="module")
def avatar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("avatar") / "ball.safetensors"
    save_avatar(path, ball_avatar())
    return path


def test_an_avatar_becomes_one_page(avatar: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "blendshapes.csv").write_text("halfLeft,halfRight\n0,0\n1,0.5\n")
    out = tmp_path / "me.html"
    options = ("--sequence", tmp_path / "blendshapes.csv", "--fps", 10, "--web.widest_rad", 0.3)
    assert command("export", "web", avatar, "--out", out, *options) == 0
    page = out.read_text()
    assert page.startswith("<!doctype html>") and '"widest":0.3' in page and '"fps":10.0' in page
    assert "as servers send it with gzip" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blendshapes.csv", "me.html"]


def test_frames_that_the_avatar_cannot_make_are_counted(
    avatar: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "talk.csv").write_text("halfLeft,halfRight,other\n0,0,0\n1,0.5,0\n0,0,1\n1,0,1\n")
    words = (avatar, "--out", tmp_path / "me.html", "--sequence", tmp_path / "talk.csv")
    assert command("export", "web", *words) == 0
    said = f"{tmp_path}/talk.csv: 2 of 4 frames have movements that the avatar was not baked with"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("out", "options", "expected"),
    [
        ("me.htm", (), "NAME.html"),
        ("missing/me.html", (), "expected a file in a folder that exists"),
        ("me.html", ("--web.quality", "0"), "from 1 to 100"),
        (
            "me.html",
            ("--web.widest_rad", "1.3"),
            "web.widest_rad is 1.3, expected at most 0.6, the angle for which avatar",
        ),
        ("me.html", ("--fps", "0"), "fps is 0"),
        ("me.html", ("--fps", "24"), "fps is 24.0, expected no --fps without --sequence FILE"),
        ("me.html", ("--fps", "1e308"), "expected 0.01 to 1000"),
        ("me.html", ("--expressions", "grimace"), "texture that slides"),
        ("me.html", ("--sequence", "absent.csv"), "absent.csv"),
    ],
)
def test_wrong_options_are_refused_and_nothing_is_written(
    out: str,
    options: tuple[str, ...],
    expected: str,
    avatar: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command("export", "web", avatar, "--out", tmp_path / out, *options) == 2
    assert expected in one_error_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_only_pages_are_replaced_unless_told(
    avatar: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "me.html"
    out.write_text("somebody's")
    assert command("export", "web", avatar, "--out", out) == 2
    assert "in the way" in one_error_line(capsys) and out.read_text() == "somebody's"
    assert command("export", "web", avatar, "--out", out, "--overwrite") == 0
    assert command("export", "web", avatar, "--out", out) == 0  # its own


def test_a_file_that_is_no_avatar_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "no.safetensors").write_bytes(np.zeros(9).tobytes())
    assert command("export", "web", tmp_path / "no.safetensors", "--out", tmp_path / "me.html") == 2
    assert "no.safetensors: not a readable safetensors file" in one_error_line(capsys)


def test_an_unknown_kind_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("export", "wb", "x") == 2
    assert "did you mean 'web'?" in one_error_line(capsys)


@pytest.mark.parametrize("inside", [".", "model", "snapshot/of/mine"])
def test_a_snapshot_is_not_exported_into_its_own_run(
    inside: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run writes there, too: its finished model would be taken for the snapshot's."""
    run = tmp_path / "run"
    claim(run, ["config.yaml"])
    (run / "config.yaml").write_text("name: a")
    assert command("export", "snapshot", run, "--out", run / inside) == 2
    assert "is or lies in the run" in one_error_line(capsys)
    assert {path.name for path in run.iterdir()} == {MARKER, "config.yaml"}
