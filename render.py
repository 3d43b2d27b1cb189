"""Render people who turn their heads while an expression comes.

    python render.py --config configs/render_smile.yaml
    python render.py --seeds 7 --expression smile=0.7,blink=0.3 --yaw -0.35 0.35 --frames 10
    python render.py --model RELEASED_FOLDER --expression 01626.mat --latents people.npz

``--help`` lists the options.
"""

import signal
import sys

from anifacegan.cli.render.plan import RenderConfig
from anifacegan.cli.render.run import run
from anifacegan.runtime.cpu import keep_freed_memory
from anifacegan.runtime.errors import exit_on_input_error
from anifacegan.runtime.typed_config import read_config


def main() -> None:
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # a killed run cleans up as an interrupted one does
    keep_freed_memory()
    with exit_on_input_error():
        config = read_config(RenderConfig, sys.argv[1:], "render.py")
        manifest = run(config)
        people, seconds = manifest["people"], manifest["seconds"]["total"]
        frames = sum(len(person["frames"]) for person in people)
        print(f"{config.out}: {len(people)} people, {frames} frames of {config.size} px in {seconds:.0f} s")


if __name__ == "__main__":
    main()
