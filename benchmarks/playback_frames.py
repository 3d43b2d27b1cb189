"""Time frames of an avatar in whichever checkout is on PYTHONPATH, as another process asks: started by
:mod:`benchmarks.playback_pairs`.

    python playback_frames.py AVATAR THREADS

loads the avatar and prints a line. For every line "SIZE ANTIALIAS FRAMES YAW" on standard input, ANTIALIAS 0 or 1, it
draws so many frames with every expression of the avatar by turns, and prints the seconds of each, on the clock and of
the process on all cores. Only what this file imports has to be the same in both checkouts.
"""

import json
import sys
import time
from pathlib import Path

import torch

from anifacegan.avatars.avatar import load_avatar
from anifacegan.avatars.players.choice import NumbaPlayer


def main(avatar: str, threads: str) -> None:
    """Load the avatar, and answer on standard output what standard input asks."""
    torch.set_num_threads(int(threads) or torch.get_num_threads())
    layered_mesh = load_avatar(Path(avatar)).layered_mesh
    player = NumbaPlayer(layered_mesh)
    print(json.dumps({"triangles": len(layered_mesh.triangles)}), flush=True)
    for line in sys.stdin:
        size, antialias, frames, yaw = line.split()
        taken: dict[str, list[float]] = {"clock": [], "cpu": []}
        for number in range(int(frames)):
            z_exp = layered_mesh.z_exp[number % len(layered_mesh.z_exp)]
            started = time.perf_counter(), time.process_time()
            player.image(0.7 * z_exp, yaw=float(yaw), pitch=0.0, size=int(size), antialias=antialias == "1")
            taken["clock"].append(time.perf_counter() - started[0])
            taken["cpu"].append(time.process_time() - started[1])
        print(json.dumps(taken), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
