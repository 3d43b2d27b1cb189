"""Measure how fast this project is on this machine: ``python -m benchmarks NAME [OPTIONS]``."""

import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path

import torch

from anifacegan.cli.subcommands import overview, require_known, wants_help
from anifacegan.rendering.model import load_model
from anifacegan.runtime.cpu import keep_freed_memory
from anifacegan.runtime.devices import select_device
from anifacegan.runtime.errors import exit_on_input_error
from anifacegan.runtime.typed_config import as_tuple, read_config
from benchmarks import rendering
from benchmarks.baking import BakeBenchmark, baking_table, measure_baking, write_baking_json
from benchmarks.browser import (
    PageBenchmark,
    ViewerBenchmark,
    measure_pages,
    measure_viewer,
    pages_table,
    viewer_table,
    write_pages_json,
    write_viewer_json,
)
from benchmarks.playback import PlaybackBenchmark, measure_playback, playback_table, write_playback_json
from benchmarks.playback_pairs import (
    PlaybackPairsBenchmark,
    measure_playback_pairs,
    playback_pairs_table,
    write_playback_pairs_json,
)
from benchmarks.training import TrainingBenchmark, benchmark, table, write_json
from benchmarks.training_pairs import REPOSITORY, PairsBenchmark, measure_pairs, pairs_table, write_pairs_json

DEFAULT = REPOSITORY / "configs" / "demo.yaml"
MODEL = REPOSITORY / "checkpoints" / "demo"
COMMAND = "python -m benchmarks"


def measure_training(arguments: Sequence[str]) -> None:
    """Measure images per second, peak memory and the phases of a training step."""
    given = any(argument.partition("=")[0] == "--config" for argument in arguments)
    first = [] if given else ["--config", str(DEFAULT)]
    config = read_config(TrainingBenchmark, [*first, *arguments], f"{COMMAND} training")
    device = select_device(config.device)
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    keep_freed_memory()
    with tempfile.TemporaryDirectory(prefix="anifacegan_benchmark_") as folder:
        found = benchmark(config, Path(folder))
    print(table(found))
    if config.json is not None:
        write_json(config.json, config, name, found)


def compare_training(arguments: Sequence[str]) -> None:
    """Compare the training steps of this checkout with those of another one, in turns: seconds and their ratios."""
    config = read_config(PairsBenchmark, arguments, f"{COMMAND} training-pairs")
    with tempfile.TemporaryDirectory(prefix="anifacegan_benchmark_") as folder:
        found = measure_pairs(config, Path(folder))
    print(pairs_table(found))
    if config.json is not None:
        write_pairs_json(config.json, config, found)


def measure_rendering(arguments: Sequence[str]) -> None:
    """Measure images of one person by every renderer: milliseconds, peak memory, and the largest difference."""
    config = read_config(rendering.RenderBenchmark, ["--model", str(MODEL), *arguments], f"{COMMAND} render")
    keep_freed_memory()

    def report(m: rendering.Measurement) -> None:
        print(f"{m.device}, {m.networks}, {m.size} px, {m.way}: {1000 * m.seconds:.1f} ms", file=sys.stderr)

    found = rendering.benchmark(config, report)
    print(rendering.heading(config, found))
    print(rendering.table(found))
    if config.json is not None:
        rendering.write_json(config.json, config, found)


def measure_bakes(arguments: Sequence[str]) -> None:
    """Measure seconds to bake a person, milliseconds to play a frame, and the PSNR of baked frames."""
    config = read_config(BakeBenchmark, ["--model", str(MODEL), *arguments], f"{COMMAND} baking")
    keep_freed_memory()
    model = load_model(config.model)
    found = measure_baking(model, config)
    expressions = ", ".join(as_tuple(config.expression))
    print(f"{config.model}, person {config.seed}, {expressions}, {config.frames} frames of {config.size} px")
    print(f"{rendering.machine('cpu')}\n\n{baking_table(found)}")
    if config.json is not None:
        write_baking_json(config.json, config, found)


def measure_players(arguments: Sequence[str]) -> None:
    """Measure the frame rate of baked avatars, on the CPU and on a GPU where there is one."""
    config = read_config(PlaybackBenchmark, ["--model", str(MODEL), *arguments], f"{COMMAND} playback")
    keep_freed_memory()
    found = measure_playback(load_model(config.model), config)
    print(f"{config.model}, person {config.seed}, {config.expression}, {config.frames} frames")
    print("; ".join(f"{name}: {rendering.machine(name)}" for name in dict.fromkeys(m.device for m in found)))
    print(f"\n{playback_table(found)}")
    if config.json is not None:
        write_playback_json(config.json, config, found)


def compare_players(arguments: Sequence[str]) -> None:
    """Compare the player on a CPU with that of another checkout, in turns: milliseconds and their ratios."""
    config = read_config(PlaybackPairsBenchmark, arguments, f"{COMMAND} playback-pairs")
    found = measure_playback_pairs(config)
    print(playback_pairs_table(found))
    if config.json is not None:
        write_playback_pairs_json(config.json, config, found)


def measure_first_frames(arguments: Sequence[str]) -> None:
    """Measure the CPU time of a browser from opening exported pages to their first frames, in turns."""
    pages = list(takewhile(lambda word: not word.startswith("-"), arguments))
    words = [*(["--pages"] if pages else []), *arguments]
    config = read_config(PageBenchmark, words, f"{COMMAND} page", leading=("pages",))
    found = measure_pages(config)
    print(pages_table(found))
    if config.json is not None:
        write_pages_json(config.json, config, found)


def measure_round_trips(arguments: Sequence[str]) -> None:
    """Measure the viewer's way from a slider to the drawn frame: milliseconds, and those of CPU time."""
    config = read_config(ViewerBenchmark, arguments, f"{COMMAND} viewer", leading=("avatar",))
    with tempfile.TemporaryDirectory(prefix="anifacegan_benchmark_") as folder:
        found = measure_viewer(config, Path(folder) / "view")
    print(viewer_table(found))
    if config.json is not None:
        write_viewer_json(config.json, config, found)


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "training": measure_training,
    "training-pairs": compare_training,
    "render": measure_rendering,
    "baking": measure_bakes,
    "playback": measure_players,
    "playback-pairs": compare_players,
    "page": measure_first_frames,
    "viewer": measure_round_trips,
}


def main(arguments: Sequence[str]) -> None:
    """Run a benchmark and print its table.

    Raises:
        InputError: an unknown benchmark, or a wrong option or file.
    """
    if not arguments or wants_help(arguments):
        summaries = {name: str(command.__doc__) for name, command in COMMANDS.items()}
        print(overview(COMMAND, "Measure how fast this project is on this machine.", summaries), end="")
        return
    require_known(arguments[0], tuple(COMMANDS), COMMAND)
    COMMANDS[arguments[0]](arguments[1:])


if __name__ == "__main__":
    with exit_on_input_error():
        main(sys.argv[1:])
