"""Speed of the player, or of the networks' images, on a CPU of this checkout and of another one, side by side.

Each checkout draws the same avatar file, or person of a model, in a process of its own
(:mod:`benchmarks.playback_frames`). They take turns, and the median of the pairs' ratios counts, as in
:mod:`benchmarks.training_pairs`.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from anifacegan.runtime.errors import ConfigError, InputError, require_at_least
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.markdown import markdown_table
from anifacegan.runtime.typed_config import as_tuple
from benchmarks.training_pairs import REPOSITORY, UNITS

PLAYER = Path("anifacegan/avatars/players/choice.py")


@dataclass(frozen=True)
class PlaybackPairsBenchmark:
    """Compare the speed of this checkout's player, or of its networks' images, on a CPU with another checkout's."""

    other: Path
    """Folder of the other checkout of this repository, for instance one that 'git worktree add' has made."""
    avatar: Path
    """Avatar file that both play, as 'anifacegan bake' writes it, or model folder, whose networks both render."""
    sizes: int | tuple[int, ...] = (256, 512)
    """Heights and widths of the frames, pixels."""
    rounds: int = 10
    """Number of pairs of each size, with and without smooth outlines."""
    frames: int = 3
    """Number of frames of each checkout in a pair."""
    threads: int = 0
    """Number of threads; 0: PyTorch's default."""
    json: Path | None = None
    """JSON file to write all numbers to. null: none."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "rounds", "frames")
        require_at_least(self, 0, "threads")
        if not (self.other / PLAYER).is_file():
            raise ConfigError("other", self.other, f"a checkout of this repository, with {PLAYER}")
        if not self.avatar.exists():
            raise ConfigError("avatar", self.avatar, "an avatar file or a model folder")


@dataclass(frozen=True)
class FramePair:
    """Cost of a frame in both checkouts, by unit."""

    size: int
    antialias: bool
    here: dict[str, float]
    """Median seconds of a frame in this checkout."""
    there: dict[str, float]
    """Median seconds of a frame in the other checkout."""
    ratio: dict[str, float]
    """How many times as fast this checkout is: the median over the pairs."""


def measure_playback_pairs(config: PlaybackPairsBenchmark) -> list[FramePair]:
    """Play by turns.

    Raises:
        InputError: a checkout cannot play the avatar.
    """
    found = []
    with _player(config, REPOSITORY) as here, _player(config, config.other.resolve()) as there:
        for size in as_tuple(config.sizes):
            for antialias in (False, True):
                for player in (here, there):
                    player(size, antialias, 1, 0.0)  # compiles
                pairs = []
                for number in range(config.rounds):
                    yaw = 0.35 * (2 * number / max(config.rounds - 1, 1) - 1)
                    order = (here, there) if number % 2 == 0 else (there, here)
                    taken = {id(player): player(size, antialias, config.frames, yaw) for player in order}
                    pairs.append((taken[id(here)], taken[id(there)]))
                found.append(_pair(size, antialias, pairs))
    return found


def _pair(size: int, antialias: bool, pairs: list[tuple[dict, dict]]) -> FramePair:
    own, other = ({u: statistics.median(pair[k][u] for pair in pairs) for u in UNITS} for k in (0, 1))
    ratio = {u: statistics.median(there[u] / here[u] for here, there in pairs) for u in UNITS}
    return FramePair(size, antialias, own, other, ratio)


@contextmanager
def _player(config: PlaybackPairsBenchmark, checkout: Path) -> Iterator[Any]:
    """Start a checkout's process; yield a function that has it draw frames and returns the median seconds, by unit."""
    script = Path(__file__).with_name("playback_frames.py")
    process = subprocess.Popen(
        [sys.executable, str(script), str(config.avatar.resolve()), str(config.threads)],
        cwd=checkout, env=os.environ | {"PYTHONPATH": str(checkout)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def read() -> Any:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise InputError(f"{checkout}: its player has ended with code {process.wait()}")
        return json.loads(line)

    def draw(size: int, antialias: bool, frames: int, yaw: float) -> dict[str, float]:
        assert process.stdin is not None
        process.stdin.write(f"{size} {int(antialias)} {frames} {yaw}\n")
        process.stdin.flush()
        return {unit: statistics.median(seconds) for unit, seconds in read().items()}

    with process:
        try:
            read()
            yield draw
        except BaseException:
            process.kill()
            raise


def playback_pairs_table(found: list[FramePair]) -> str:
    """Format the comparison as a Markdown table."""
    head = ["px", "outlines", "ms here", "there", "times as fast (clock)"]
    head += ["CPU ms here", "there", "times as fast (CPU)"]
    rows = []
    for pair in found:
        row = [str(pair.size), "smooth" if pair.antialias else "plain"]
        for unit in UNITS:
            row += [f"{1000 * seconds[unit]:.1f}" for seconds in (pair.here, pair.there)]
            row.append(f"{pair.ratio[unit]:.2f}")
        rows.append(row)
    return markdown_table(head, rows, aligned=True)


def write_playback_pairs_json(path: Path, config: PlaybackPairsBenchmark, found: list[FramePair]) -> None:
    """Write the comparison as JSON."""
    content = {"rounds": config.rounds, "frames": config.frames, "pairs": [asdict(pair) for pair in found]}
    write_complete(path, json.dumps(content, indent=2) + "\n")
