"""render.py as a command, in this process."""

import sys

import pytest

import render


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Its exit code."""
    monkeypatch.setattr(sys, "argv", ["render.py", *map(str, arguments)])
    try:
        render.main()
    except SystemExit as end:
        assert isinstance(end.code, int)
        return end.code
    return 0


def one_error_line(capsys: pytest.CaptureFixture[str]) -> str:
    """What a command said of an error: one line and nothing else."""
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and error.startswith("error: "), error
    return error.strip()
