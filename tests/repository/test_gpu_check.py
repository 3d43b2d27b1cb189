"""scripts/gpu_check: without a GPU it says so plainly, and what goes wrong in one check does not end the others."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.fixtures.loaded_scripts import load_script

ROOT = Path(__file__).resolve().parents[2]
gpu_check = load_script("gpu_check")
WITHOUT_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


@WITHOUT_GPU
def test_without_a_gpu_it_says_so_and_writes_it_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    counted = gpu_check.Verdict("ok", "counted")
    monkeypatch.setitem(gpu_check.CHECKS, "pretended GPU", (lambda: counted, False))
    assert gpu_check.main(tmp_path / "report.txt") == 3
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("NO GPU: PyTorch sees no NVIDIA GPU here")
    written = (tmp_path / "report.txt").read_text().splitlines()
    assert written == printed[:-1]
    for line in written[1:]:
        said = "ok, counted" if line.startswith("pretended GPU") else "not run, there is no GPU"
        assert f": {said} (" in line
    assert len(written) == 1 + len(gpu_check.CHECKS)


def test_a_check_that_breaks_is_a_verdict_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("out of memory")

    checks = {"one": (broken, False), "two": (lambda: gpu_check.verdict(True, "fine"), False)}
    monkeypatch.setattr(gpu_check, "CHECKS", checks)
    assert gpu_check.main(tmp_path / "report.txt") == 1
    printed = capsys.readouterr().out
    assert "one: FAILED, RuntimeError: out of memory" in printed and "two: ok, fine" in printed
    assert "in broken" in (tmp_path / "report.txt").read_text()  # where it happened


def test_the_limits_are_verdicts() -> None:
    assert gpu_check.verdict(True, "x").word == "ok" and gpu_check.verdict(False, "x").word == "FAILED"


def test_the_shell_script_is_valid_and_the_program_explains_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    subprocess.run(["bash", "-n", str(ROOT / "scripts" / "gpu_check.sh")], check=True)
    program = str(ROOT / "scripts" / "gpu_check.py")
    monkeypatch.setattr(sys, "argv", [program, "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(program, run_name="__main__")
    assert end.value.code in (0, None) and "if there is no GPU" in " ".join(capsys.readouterr().out.split())
