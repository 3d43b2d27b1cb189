"""How fast a generator's training is, and on what its time goes: some steps of each stage of a configuration.

What is measured is the training itself: :func:`anifacegan.training.run.run` prepares it, and
:func:`anifacegan.training.train` runs a few steps of one stage at a time. Variants of a stage are measured in turns, on
the same draws.
"""

import json
import signal
import statistics
import sys
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function
from tqdm import tqdm

from anifacegan.data.dataset import FaceDataset
from anifacegan.data.synthetic.renderer import load_synthetic_renderer, render_item
from anifacegan.face_model.bfm import is_bfm_file
from anifacegan.face_model.coefficients import write_coefficients
from anifacegan.losses.imitation_points import MeshSampler
from anifacegan.runtime.distributed import Workers
from anifacegan.runtime.errors import InputError, require_at_least
from anifacegan.runtime.files import encoded_image, markdown_table, write_complete
from anifacegan.training import loop as training_loop
from anifacegan.training.batches import TrainingFaces
from anifacegan.training.config import TrainConfig
from anifacegan.training.initialization import PriorConfig
from anifacegan.training.optim import BACKWARD, DATA, OPTIMISER
from anifacegan.training.patch_gradients import Split
from anifacegan.training.run import run
from anifacegan.training.schedule import Schedule
from anifacegan.training.state import State
from anifacegan.training.weights import LossWeights
from benchmarks.peak_memory import forget_peak, peak_bytes

STAGES = ("warm_up_deform", "near_surface", "complete", "adversarial")
PHASES = ("data", "forward", "backward", "optimiser")
"""forward is everything that is not one of the others."""
RANGES = {DATA: "data", BACKWARD: "backward", OPTIMISER: "optimiser"}
STEPS = "anifacegan: steps"
"""The range around all steps that are profiled."""


@dataclass(frozen=True)
class TrainingBenchmark(TrainConfig):
    """Measure the training of a generator: takes every option of 'anifacegan train' for a generator."""

    images: int = 64
    """Images of the data set that are used; where data.path is not there, so many are made."""
    steps: int = 5
    """Measured steps of each kind, in each round."""
    rounds: int = 2
    """How often the variants of a stage take turns."""
    unsplit: bool = True
    """Also measure adversarial training with whole images and batches, whose graphs have to fit into memory."""
    json: Path | None = None
    """File for the same numbers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 1, "steps", "rounds")
        require_at_least(self, 5, "images")


@dataclass(frozen=True)
class Variant:
    """One way to run a stage."""

    stage: str
    name: str
    """Of what it differs in from the stage's other variants."""
    precision: str
    split: Split
    skip_invisible: bool = False
    """As the configuration says, where the split allows it."""

    def schedule(self, whole: Schedule, steps: int) -> Schedule:
        """So many steps of this stage alone."""
        none = dict.fromkeys(STAGES, 0)
        return replace(whole, **(none | {self.stage: steps}), precision=self.precision)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Measurement:
    """What one variant of a stage takes."""

    variant: Variant
    images_a_step: int
    """Images that a step learns from; in the warm-up, faces."""
    seconds_a_step: float
    """Median over all rounds."""
    peak_memory_mib: float
    """Of the process, or of the tensors on a GPU."""
    shares: dict[str, float]
    """Of the time of a step, by phase."""

    @property
    def images_a_second(self) -> float:
        return self.images_a_step / self.seconds_a_step

    def plain(self) -> dict[str, Any]:
        return {
            **asdict(self.variant),
            **{field.name: getattr(self, field.name) for field in fields(self) if field.name != "variant"},
            "images_a_second": self.images_a_second,
        }


def benchmark(config: TrainingBenchmark, folder: Path) -> list[Measurement]:
    """Measure what a configuration says, in a folder for the data set and the run's own files.

    Raises:
        InputError: something in the configuration or the data does not fit.
    """
    # Whole turns of adversarial training are measured, not the discriminator's lead, nor how a pool of the priors' faces fills.
    config = replace(
        config,
        adversarial=replace(config.adversarial, discriminator_warmup=0),
        schedule=replace(config.schedule, prior_faces=min(1, config.schedule.prior_faces)),
    )
    collect_images(config, folder / "data")
    values = {field.name: getattr(config, field.name) for field in fields(TrainConfig)}
    small = replace(
        TrainConfig(**values),
        out=folder / "run",
        data=replace(config.data, path=folder / "data"),
        priors=PriorConfig(steps=1),  # how well they fit costs no time later
        manifold_init=replace(config.manifold_init, steps=1),
        reporting=replace(config.reporting, held_out=1),
    )
    found: list[Measurement] = []

    def measured(
        state: State,
        data: TrainingFaces,
        mesh: MeshSampler,
        schedule: Schedule,
        weights: LossWeights,
        report: object,
        workers: Workers,
    ) -> None:
        for name in (signal.SIGINT, signal.SIGTERM):  # the run's own handlers wait for its report
            signal.signal(name, signal.default_int_handler)
        train = partial(training_loop.train, state, data, mesh, weights=weights)
        for stage in STAGES:
            if getattr(schedule, stage):
                found.extend(measure_stage(config, state, train, variants(config, stage)))

    run(small, train=measured)
    return found


def collect_images(config: TrainingBenchmark, folder: Path) -> None:
    """The first images of the data set, or as many synthetic ones where it is not there."""
    folder.mkdir(parents=True)
    size, count = config.data.size, config.images
    if config.data.path.exists():
        dataset = FaceDataset(config.data)
        items = (
            (item.image.numpy(), item.face) for item in (dataset[i] for i in range(min(count, len(dataset))))
        )
    elif is_bfm_file(config.face_model):
        raise InputError(f"data.path is {config.data.path}, which is not there: of BFM no images can be made")
    else:
        print(f"{config.data.path} is not there: {count} images are made", file=sys.stderr)
        synthetic_renderer = load_synthetic_renderer(config.face_model)
        items = (render_item(synthetic_renderer, config.schedule.seed, index, size) for index in range(count))
    for index, (image, face) in enumerate(tqdm(items, total=count, desc="images", disable=None, leave=False)):
        (folder / f"{index:06d}.png").write_bytes(encoded_image(image, compress_level=1))
        write_coefficients(folder / f"{index:06d}.mat", face)


def variants(config: TrainingBenchmark, stage: str) -> list[Variant]:
    """The configuration's own way first, then what it is compared with: the other precision, and in adversarial training whole
    images.
    """
    precision, split = config.schedule.precision, config.adversarial.split
    both = (precision, "bfloat16" if precision == "float32" else "float32")
    if stage != "adversarial":
        return [Variant(stage, name, name, split) for name in both]
    if split == Split():
        split = Split(1, config.discriminator.size**2 // 4)
    skip = config.adversarial.skip_invisible
    ways = [Variant(stage, f"split, {name}", name, split, skip) for name in both]
    return [*ways, Variant(stage, f"unsplit, {precision}", precision, Split())] if config.unsplit else ways


def measure_stage(
    config: TrainingBenchmark, state: State, train: Callable[..., None], ways: list[Variant]
) -> list[Measurement]:
    """All variants of one stage. Each is run once unmeasured, then in turns with the others, then in the profiler."""
    device = state.generator.device
    seconds: dict[str, list[float]] = {way.name: [] for way in ways}
    memory = dict.fromkeys(seconds, 0)
    for way in ways:
        run_steps(state, train, way, config.schedule, 1)
    for _ in range(config.rounds):
        for way in ways:
            forget_peak(device)
            seconds[way.name] += run_steps(state, train, way, config.schedule, config.steps)
            memory[way.name] = max(memory[way.name], peak_bytes(device))
    return [
        Measurement(
            variant=way,
            images_a_step=replace(config, schedule=way.schedule(config.schedule, 1)).images(0),
            seconds_a_step=statistics.median(seconds[way.name]),
            peak_memory_mib=memory[way.name] / 2**20,
            shares=phase_shares(device, partial(run_steps, state, train, way, config.schedule, config.steps)),
        )
        for way in ways
    ]


def run_steps(
    state: State, train: Callable[..., None], way: Variant, schedule: Schedule, steps: int
) -> list[float]:
    """So many steps of a variant, of whatever weights are there; returns the seconds of each."""
    state.step = 0
    if state.adversarial is not None:
        state.adversarial.config = replace(
            state.adversarial.config, split=way.split, skip_invisible=way.skip_invisible
        )
    finish = waiting(state.generator.device)
    finish()
    times = [time.perf_counter()]

    def report(state: State, losses: dict[str, float]) -> None:
        finish()
        times.append(time.perf_counter())

    train(schedule=way.schedule(schedule, steps), report=report)
    return [after - before for before, after in zip(times, times[1:], strict=False)]


def phase_shares(device: torch.device, steps: Callable[[], object]) -> dict[str, float]:
    """Share of each phase in some steps, by the ranges that the training marks (:data:`RANGES`)."""
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu
    with profile(activities=activities) as profiler, record_function(STEPS):
        steps()
        waiting(device)()
    events = [
        event for event in profiler.events() or [] if event.device_type == torch.autograd.DeviceType.CPU
    ]
    return shares_of_kernels(events) if on_gpu else shares_of_time(events)


def shares_of_time(events: list[FunctionEvent]) -> dict[str, float]:
    """Shares of the time between the beginnings and ends of the ranges."""
    seconds = dict.fromkeys(PHASES, 0.0)
    for event in events:
        if event.name in RANGES:
            seconds[RANGES[event.name]] += event.cpu_time_total
    whole = sum(event.cpu_time_total for event in events if event.name == STEPS)
    seconds["forward"] = whole - sum(seconds.values())
    return {phase: seconds[phase] / whole for phase in PHASES}


def shares_of_kernels(events: list[FunctionEvent]) -> dict[str, float]:
    """Shares of the time that a GPU computes for each phase; ``data`` also has the time of its range on the CPU, for
    which the GPU waits.

    A GPU works while Python goes on, and autograd starts its kernels from threads of its own, but no range ends before
    all of its kernels are in the queue: a kernel belongs to the range in which it was started.
    """
    ranges = sorted(
        (e.time_range.start, e.time_range.end, RANGES[e.name]) for e in events if e.name in RANGES
    )
    starts = [start for start, _, _ in ranges]
    seconds = dict.fromkeys(PHASES, 0.0)
    for event in events:
        place = bisect_right(starts, event.time_range.start) - 1
        inside = place >= 0 and event.time_range.start <= ranges[place][1]
        phase = ranges[place][2] if inside else "forward"
        seconds[phase] += sum(kernel.duration for kernel in event.kernels)
    seconds["data"] += sum(end - start for start, end, phase in ranges if phase == "data")
    whole = sum(seconds.values())
    return {phase: seconds[phase] / whole for phase in PHASES}


def waiting(device: torch.device) -> Callable[[], None]:
    """Wait for everything that a device has been told to do."""
    return partial(torch.cuda.synchronize, device) if device.type == "cuda" else lambda: None


# --------------------------------------------------------------------------------------------------------------- report
def ratios(measurements: list[Measurement]) -> dict[str, dict[str, float]]:
    """Of each stage's first variant to each of the others: images a second, and peak memory."""
    found = {}
    for stage in STAGES:
        ways = [m for m in measurements if m.variant.stage == stage]
        for other in ways[1:]:
            one = ways[0]
            found[f"{stage}: {one.variant.name} / {other.variant.name}"] = {
                "images_a_second": one.images_a_second / other.images_a_second,
                "peak_memory": one.peak_memory_mib / other.peak_memory_mib,
            }
    return found


def table(measurements: list[Measurement]) -> str:
    """All numbers for a reader: a Markdown table, and the ratios as lines."""
    head = ["stage", "variant", "images/s", "s/step", "peak MiB", *PHASES]
    rows = [
        [
            m.variant.stage,
            m.variant.name,
            f"{m.images_a_second:.2f}",
            f"{m.seconds_a_step:.3f}",
            f"{m.peak_memory_mib:.0f}",
            *(f"{100 * m.shares[phase]:.0f} %" for phase in PHASES),
        ]
        for m in measurements
    ]
    lines = [markdown_table(head, rows, aligned=True)]
    for name, ratio in ratios(measurements).items():
        speed, memory = ratio["images_a_second"], ratio["peak_memory"]
        lines.append(f"{name}: {speed:.2f} of the images/s, {memory:.2f} of the memory")
    return "\n".join(lines)


def write_json(path: Path, config: TrainingBenchmark, device: str, measurements: list[Measurement]) -> None:
    """The same numbers for programs."""
    content = {
        "device": device,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "steps": config.steps,
        "rounds": config.rounds,
        "measurements": [measurement.plain() for measurement in measurements],
        "ratios": ratios(measurements),
    }
    write_complete(path, json.dumps(content, indent=2) + "\n")
