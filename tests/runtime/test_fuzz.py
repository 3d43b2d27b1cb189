"""The fuzz suite ends without a failure: a part of it always, all of it with -m slow."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def fuzz(seed: int, cases: int, processes: int) -> str:
    """Run the suite in a process without the tests' checks of types, which would refuse what the package has to."""
    command = [sys.executable, "-m", "tests.fuzz", "--seed", str(seed), "--cases", str(cases)]
    done = subprocess.run(
        [*command, "--processes", str(processes)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        errors="replace",
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    return done.stdout


def test_two_hundred_hostile_inputs_end_well_or_in_one_line() -> None:
    """One of them in a process of its own, which imports everything first."""
    assert "200 cases" in fuzz(seed=0, cases=200, processes=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_two_thousand_hostile_inputs_end_well_or_in_one_line(seed: int) -> None:
    assert "2000 cases" in fuzz(seed, cases=2000, processes=20)
