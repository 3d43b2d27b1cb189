#!/usr/bin/env python3
"""Measure how fast this project is on this machine.

    python scripts/benchmark.py training [--config configs/demo.yaml] [--json FILE] [--steps 5] [any option of train.py]
    python scripts/benchmark.py render [--sizes 64 128 256] [--networks model full_size] [--json FILE]
    python scripts/benchmark.py baking [--frames 50] [--textures 256 384 512] [--grids 128 64] [--json FILE]
    python scripts/benchmark.py playback [--sizes 128 256 512] [--players numba torch nvdiffrast] [--json FILE]

training: some steps of each stage of a configuration, on a few images: images a second, peak memory, and the share of
each phase of a step; float32 beside bfloat16, and in adversarial training split beside whole images.

render: images of one person by the reference, which evaluates every point of every ray, and by the faster ways, in
turns: milliseconds, peak memory, and the difference to the reference.

baking: seconds to bake a person, milliseconds to play a frame, and decibels to the exact frames of a film, for several
sizes of textures and meshes, and numbers of blendshapes and of their in-between shapes.

playback: milliseconds until one frame of a baked avatar is there, and frames a second, on the CPU and on a GPU where
there is one. --help after the name shows all options.
"""

import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from anifacegan.rendering.model import load_model
from anifacegan.runtime.cpu import keep_freed_memory
from anifacegan.runtime.devices import select_device
from anifacegan.runtime.errors import InputError, exit_on_input_error
from anifacegan.runtime.typed_config import as_tuple, read_config
from benchmarks import rendering
from benchmarks.baking import BakeBenchmark, baking_table, measure_baking, write_baking_json
from benchmarks.playback import PlaybackBenchmark, measure_playback, playback_table, write_playback_json
from benchmarks.training import TrainingBenchmark, benchmark, table, write_json

REPOSITORY = Path(__file__).resolve().parents[1]
DEFAULT = REPOSITORY / "configs" / "demo.yaml"
MODEL = REPOSITORY / "checkpoints" / "demo"


def measure_training(arguments: Sequence[str]) -> None:
    """The subcommand ``training``."""
    given = any(argument.partition("=")[0] == "--config" for argument in arguments)
    first = [] if given else ["--config", str(DEFAULT)]
    config = read_config(TrainingBenchmark, [*first, *arguments], "benchmark.py training")
    device = select_device(config.device)
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    keep_freed_memory()
    with tempfile.TemporaryDirectory(prefix="anifacegan_benchmark_") as folder:
        found = benchmark(config, Path(folder))
    print(table(found))
    if config.json is not None:
        write_json(config.json, config, name, found)


def measure_rendering(arguments: Sequence[str]) -> None:
    """The subcommand ``render``."""
    config = read_config(
        rendering.RenderBenchmark, ["--model", str(MODEL), *arguments], "benchmark.py render"
    )
    keep_freed_memory()

    def report(m: rendering.Measurement) -> None:
        print(f"{m.device}, {m.networks}, {m.size} px, {m.way}: {1000 * m.seconds:.1f} ms", file=sys.stderr)

    found = rendering.benchmark(config, report)
    print(rendering.heading(config, found))
    print(rendering.table(found))
    if config.json is not None:
        rendering.write_json(config.json, config, found)


def measure_bakes(arguments: Sequence[str]) -> None:
    """The subcommand ``baking``."""
    config = read_config(BakeBenchmark, ["--model", str(MODEL), *arguments], "benchmark.py baking")
    keep_freed_memory()
    model = load_model(config.model)
    found = measure_baking(model, config)
    expressions = ", ".join(as_tuple(config.expression))
    print(f"{config.model}, person {config.seed}, {expressions}, {config.frames} frames of {config.size} px")
    print(f"{render_benchmark.machine('cpu')}\n\n{baking_table(found)}")
    if config.json is not None:
        write_baking_json(config.json, config, found)


def measure_players(arguments: Sequence[str]) -> None:
    """The subcommand ``playback``."""
    config = read_config(PlaybackBenchmark, ["--model", str(MODEL), *arguments], "benchmark.py playback")
    keep_freed_memory()
    found = measure_playback(load_model(config.model), config)
    print(f"{config.model}, person {config.seed}, {config.expression}, {config.frames} frames")
    print(
        "; ".join(
            f"{name}: {render_benchmark.machine(name)}" for name in dict.fromkeys(m.device for m in found)
        )
    )
    print(f"\n{playback_table(found)}")
    if config.json is not None:
        write_playback_json(config.json, config, found)


def _located(expression: str) -> str:
    """A .mat file as it is, or beside this project where only that exists."""
    return str(located(Path(expression), REPOSITORY)) if expression.endswith(".mat") else expression


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "training": measure_training,
    "render": measure_rendering,
    "baking": measure_bakes,
    "playback": measure_players,
}


def main(arguments: Sequence[str]) -> None:
    name = arguments[0] if arguments else "nothing"
    if name in ("-h", "--help"):
        print(__doc__)
    elif name in COMMANDS:
        COMMANDS[name](arguments[1:])
    else:
        raise InputError(f"benchmark.py: got {name}, expected one of {', '.join(COMMANDS)}")


if __name__ == "__main__":
    with exit_on_input_error():
        main(sys.argv[1:])
