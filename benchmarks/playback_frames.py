"""Time frames of an avatar or a model in whichever checkout is on PYTHONPATH, as another process asks: started by
:mod:`benchmarks.playback_pairs`.

    python playback_frames.py AVATAR_OR_MODEL THREADS

loads it and prints a line. For every line "SIZE ANTIALIAS FRAMES YAW" on standard input, ANTIALIAS 0 or 1, it draws so
many frames, of an avatar with each of its expressions by turns, of a model with the networks, and prints the seconds of
each, on the clock and of the process on all cores. Only what this file imports has to be the same in both checkouts.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from anifacegan.avatars.avatar import load_avatar
from anifacegan.avatars.players.choice import NumbaPlayer
from anifacegan.rendering.model import load_model

SEED, EXPRESSION = 7, "smile=0.7"
"""The person of a model that is drawn."""


def image_of(subject: Path) -> Callable[..., object]:
    """Load an avatar or a model; return a function that draws frame ``number`` of it."""
    if subject.is_dir():
        face = load_model(subject).face(seed=SEED, expression=EXPRESSION)
        return lambda number, **view: face.image(**view)
    layered_mesh = load_avatar(subject).layered_mesh
    player, z_exp = NumbaPlayer(layered_mesh), layered_mesh.z_exp
    return lambda number, **view: player.image(0.7 * z_exp[number % len(z_exp)], **view)


def main(subject: str, threads: str) -> None:
    """Load the avatar or model, and answer on standard output what standard input asks."""
    torch.set_num_threads(int(threads) or torch.get_num_threads())
    image = image_of(Path(subject))
    print(json.dumps({"loaded": subject}), flush=True)
    for line in sys.stdin:
        size, antialias, frames, yaw = line.split()
        taken: dict[str, list[float]] = {"clock": [], "cpu": []}
        for number in range(int(frames)):
            started = time.perf_counter(), time.process_time()
            image(number, yaw=float(yaw), pitch=0.0, size=int(size), antialias=antialias == "1")
            taken["clock"].append(time.perf_counter() - started[0])
            taken["cpu"].append(time.process_time() - started[1])
        print(json.dumps(taken), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
