"""Time training steps of whichever checkout is on PYTHONPATH, as another process asks: started by
:mod:`benchmarks.training_pairs`.

    python training_steps.py CONFIG DATA OUT THREADS [PRECISION]

prepares a run of the configuration on the data, with short fits of priors and manifolds, and prints a line of JSON with
the number of steps of each stage. For every line "STAGE STEPS" on standard input it runs so many steps of that stage
from the same weights, and prints the seconds of each step: on the clock, and of the process on all cores. Only what
this file imports has to be the same in both checkouts.
"""

import json
import signal
import sys
import time
from dataclasses import replace
from typing import get_args

from anifacegan.losses.mesh_points import MeshSampler
from anifacegan.runtime.cpu import keep_freed_memory
from anifacegan.runtime.distributed import Workers
from anifacegan.runtime.typed_config import read_config
from anifacegan.training import loop
from anifacegan.training.batches import TrainingFaces
from anifacegan.training.config import PriorConfig, TrainConfig
from anifacegan.training.run import run
from anifacegan.training.schedule import Schedule, Stage
from anifacegan.training.state import State
from anifacegan.training.weights import LossWeights

STAGES = get_args(Stage)
FIT_STEPS = 300
"""Number of steps with which the manifolds are fitted: enough for rays to meet about as many as in a longer fit."""


class FinishedError(Exception):
    """Standard input has ended."""


def main(config: str, data: str, out: str, threads: str, *precision: str) -> None:
    """Prepare the run, and answer on standard output what standard input asks."""
    keep_freed_memory()
    options = ["--config", config, "--data.path", data, "--out", out, "--threads", threads]
    for name in precision:
        options += ["--schedule.precision", name]
    asked = read_config(TrainConfig, options, "training_steps")
    short = replace(
        asked,
        priors=PriorConfig(steps=1),
        manifold_init=replace(asked.manifold_init, steps=FIT_STEPS),
        reporting=replace(asked.reporting, held_out=1),
    )
    try:
        run(short, train=answer)
    except FinishedError:
        pass


def answer(
    state: State,
    data: TrainingFaces,
    mesh: MeshSampler,
    schedule: Schedule,
    weights: LossWeights,
    report: object,
    workers: Workers,
) -> None:
    """Run the steps that standard input asks for, in place of the whole training."""
    for name in (signal.SIGINT, signal.SIGTERM):  # the run's own handlers wait for its report
        signal.signal(name, signal.default_int_handler)
    tell({stage: getattr(schedule, stage) for stage in STAGES})
    for line in sys.stdin:
        stage, steps = line.split()
        few = replace(schedule, **(dict.fromkeys(STAGES, 0) | {stage: int(steps)}))
        state.step = 0
        clock, cpu = [time.perf_counter()], [time.process_time()]

        def note(*_: object, clock: list[float] = clock, cpu: list[float] = cpu) -> None:
            clock.append(time.perf_counter())
            cpu.append(time.process_time())

        loop.train(state, data, mesh, few, weights, note)
        pairs = [list(zip(times, times[1:], strict=False)) for times in (clock, cpu)]
        tell(
            {
                name: [after - before for before, after in ends]
                for name, ends in zip(("clock", "cpu"), pairs, strict=True)
            }
        )
    raise FinishedError


def tell(content: dict[str, object]) -> None:
    """Print a line of JSON."""
    print(json.dumps(content), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
