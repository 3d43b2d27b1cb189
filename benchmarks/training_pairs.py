"""Speed of the paired training steps of this checkout and of another one, side by side.

Each checkout makes a small synthetic data set and prepares a run in a process of its own
(:mod:`benchmarks.training_steps`). Then they take turns: a few steps of a stage here, the same there. A machine whose
speed drifts changes both steps of a pair, so the ratio of each pair is taken, and the median of these. Beside seconds
on the clock it gives the processor time of all cores, which other programs on the machine disturb less.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from anifacegan.runtime.errors import ConfigError, InputError, require_at_least
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.markdown import markdown_table
from benchmarks.training_steps import STAGES

REPOSITORY = Path(__file__).resolve().parents[1]
UNITS = ("clock", "cpu")
"""Seconds on the clock, and seconds of the process on all cores."""


@dataclass(frozen=True)
class PairsBenchmark:
    """Compare the speed of this checkout's paired training steps with another checkout's."""

    other: Path
    """Folder of the other checkout of this repository, for instance one that 'git worktree add' has made."""
    training: Path = Path("configs/demo.yaml")
    """Configuration of the training; each checkout reads its own file of this path."""
    precision: str | None = None
    """Precision of both checkouts' steps, float32 or bfloat16. null: what their configurations say."""
    images: int = 64
    """Number of images of the data set that each checkout makes."""
    size: int = 256
    """Height and width of the images in pixels."""
    threads: int = 0
    """Number of threads that PyTorch uses; 0: PyTorch's default."""
    rounds: int = 8
    """Number of pairs of each stage."""
    steps: int = 3
    """Number of steps of each checkout in a pair."""
    json: Path | None = None
    """JSON file to write all numbers to. null: none."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "rounds", "steps", "size")
        require_at_least(self, 5, "images")
        require_at_least(self, 0, "threads")
        if not (self.other / self.training).is_file():
            raise ConfigError("other", self.other, f"a checkout of this repository, with {self.training}")


@dataclass(frozen=True)
class StagePair:
    """Speed of one stage, or of the whole training, in both checkouts."""

    stage: str
    steps: int
    """Number of steps of the stage in this checkout's configuration."""
    here: dict[str, float]
    """Median seconds a step in this checkout, by unit."""
    there: dict[str, float]
    """Median seconds a step in the other checkout, by unit."""
    ratio: dict[str, float]
    """How many times as fast this checkout is, by unit: the median over the pairs."""
    lowest: dict[str, float]
    """The lowest ratio of a pair, by unit."""
    highest: dict[str, float]
    """The highest ratio of a pair, by unit."""


def measure_pairs(config: PairsBenchmark, folder: Path) -> list[StagePair]:
    """Measure all paired stages that have steps, and the whole training; ``folder`` is for data sets and runs.

    Raises:
        InputError: a checkout cannot make its data set or prepare its run.
    """
    with ExitStack() as stack:
        here, there = (
            stack.enter_context(_stepper(config, checkout, folder / name))
            for name, checkout in (("here", REPOSITORY), ("there", config.other.resolve()))
        )
        found = [_stage(config, stage, here, there) for stage in STAGES[:3] if here.schedule[stage]]
    return [*found, whole(found)]


def whole(stages: list[StagePair]) -> StagePair:
    """Combine the stages, each with the number of its steps: the time of all steps in both checkouts."""
    steps = sum(pair.steps for pair in stages)

    def mean(seconds: list[tuple[int, float]]) -> float:
        return sum(count * value for count, value in seconds) / steps

    here = {unit: mean([(pair.steps, pair.here[unit]) for pair in stages]) for unit in UNITS}

    def against(name: str) -> dict[str, float]:
        """The ratio of the whole, if each stage of the other checkout took its ratio times the seconds of this one."""
        return {
            unit: mean([(pair.steps, pair.here[unit] * getattr(pair, name)[unit]) for pair in stages])
            / here[unit]
            for unit in UNITS
        }

    there = {unit: mean([(pair.steps, pair.there[unit]) for pair in stages]) for unit in UNITS}
    return StagePair("all", steps, here, there, against("ratio"), against("lowest"), against("highest"))


def _stage(config: PairsBenchmark, stage: str, here: "_Stepper", there: "_Stepper") -> StagePair:
    for stepper in (here, there):
        stepper.run(stage, 2)  # compiles, and fills caches
    pairs = []
    for number in range(config.rounds):
        order = (here, there) if number % 2 == 0 else (there, here)
        taken = {id(stepper): stepper.run(stage, config.steps) for stepper in order}
        pairs.append((taken[id(here)], taken[id(there)]))

    def over_pairs(choose: Any) -> dict[str, float]:
        return {unit: choose([other[unit] / own[unit] for own, other in pairs]) for unit in UNITS}

    seconds = [{unit: statistics.median(pair[k][unit] for pair in pairs) for unit in UNITS} for k in (0, 1)]
    ratios = [over_pairs(choose) for choose in (statistics.median, min, max)]
    return StagePair(stage, here.schedule[stage], *seconds, *ratios)


class _Stepper:
    """A process that runs training steps of a checkout."""

    def __init__(self, process: subprocess.Popen, checkout: Path) -> None:
        self._process, self._checkout = process, checkout
        self.schedule: dict[str, int] = self._read()

    def run(self, stage: str, steps: int) -> dict[str, float]:
        """Run some steps of a stage; return the median seconds of a step, by unit."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{stage} {steps}\n")
        self._process.stdin.flush()
        return {unit: statistics.median(seconds) for unit, seconds in self._read().items()}

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise InputError(
                f"{self._checkout}: its training process has ended with code {self._process.wait()}"
            )
        return json.loads(line)


@contextmanager
def _stepper(config: PairsBenchmark, checkout: Path, folder: Path) -> Iterator[_Stepper]:
    """Make the data set of a checkout, and start its process; both import the checkout's own package."""
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    size = ["--count", str(config.images), "--size", str(config.size), "--seed", "1"]
    make = [sys.executable, "-m", "anifacegan.cli", "dataset", "--out", str(folder / "data"), *size]
    made = subprocess.run(make, cwd=checkout, env=environment, stdout=subprocess.DEVNULL, check=False)
    if made.returncode:
        raise InputError(f"{checkout}: it has made no data set (code {made.returncode})")
    script = Path(__file__).with_name("training_steps.py")
    files = [str(checkout / config.training), str(folder / "data"), str(folder / "run")]
    precision = [] if config.precision is None else [config.precision]
    process = subprocess.Popen(
        [sys.executable, str(script), *files, str(config.threads), *precision],
        cwd=checkout, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        try:
            yield _Stepper(process, checkout)
        except BaseException:
            process.kill()
            raise


# --------------------------------------------------------------------------------------------------------------- report
def pairs_table(pairs: list[StagePair]) -> str:
    """Format the comparison as a Markdown table."""
    head = [
        "stage",
        "steps",
        "ms/step here",
        "there",
        "times as fast (clock)",
        "CPU ms/step here",
        "there",
        "times as fast (CPU)",
    ]
    rows = []
    for pair in pairs:
        row = [pair.stage, str(pair.steps)]
        for unit in UNITS:
            row += [f"{1000 * seconds[unit]:.0f}" for seconds in (pair.here, pair.there)]
            row.append(f"{pair.ratio[unit]:.2f} ({pair.lowest[unit]:.2f} to {pair.highest[unit]:.2f})")
        rows.append(row)
    return markdown_table(head, rows, aligned=True)


def write_pairs_json(path: Path, config: PairsBenchmark, pairs: list[StagePair]) -> None:
    """Write the comparison as JSON."""
    content = {"rounds": config.rounds, "steps": config.steps, "pairs": [asdict(pair) for pair in pairs]}
    write_complete(path, json.dumps(content, indent=2) + "\n")
