"""anifacegan bake: which options belong together."""

from pathlib import Path

import pytest

from tests.fixtures.commands import command, one_error_line


def test_latents_have_no_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--latents", "people.npz", "--seed", 3)
    assert command("bake", "--out", tmp_path / "a.safetensors", *words) == 2
    assert "seed is 3, expected no --seed with --latents" in one_error_line(capsys)
