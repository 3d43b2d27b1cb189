"""Speed of a generator's training: images per second, memory, and the phases of a step, for each stage.

The real training is measured: :func:`anifacegan.training.run.run` prepares it, and
:func:`anifacegan.training.loop.train` runs a few steps of one stage at a time. Variants of a stage alternate, with the
same random draws.
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
from typing import Any, get_args

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function
from tqdm import tqdm

from anifacegan.data.dataset import FaceDataset
from anifacegan.data.synthetic.renderer import load_synthetic_renderer, render_item
from anifacegan.face_model.bfm import is_bfm_file
from anifacegan.face_model.coefficients import write_coefficients
from anifacegan.losses.mesh_points import MeshSampler
from anifacegan.runtime.devices import select_device
from anifacegan.runtime.distributed import Workers
from anifacegan.runtime.errors import InputError, require_at_least
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.image_files import encoded_image
from anifacegan.runtime.markdown import markdown_table
from anifacegan.training import loop as training_loop
from anifacegan.training.batches import TrainingFaces
from anifacegan.training.config import PriorConfig, Split, TrainConfig
from anifacegan.training.optim import BACKWARD, DATA, OPTIMIZER, in_bfloat16
from anifacegan.training.run import run
from anifacegan.training.schedule import Schedule, Stage
from anifacegan.training.state import State
from anifacegan.training.weights import LossWeights
from benchmarks.peak_memory import peak_bytes, reset_peak

STAGES = get_args(Stage)
PHASES = ("data", "forward", "backward", "optimizer")
"""Phases of a training step; forward is everything outside the other three."""
RANGES = {DATA: "data", BACKWARD: "backward", OPTIMIZER: "optimizer"}
"""Phases by the names of the profiler ranges that the training marks."""
STEPS = "anifacegan: steps"
"""Name of the profiler range around all measured steps."""


@dataclass(frozen=True)
class TrainingBenchmark(TrainConfig):
    """Measure the training of a generator; every option of 'anifacegan train' for a generator is accepted."""

    images: int = 64
    """Number of images of the data set that are used; if data.path does not exist, as many synthetic ones are made."""
    steps: int = 5
    """Number of measured steps of each variant in each round."""
    rounds: int = 2
    """Number of rounds; in each, all variants of a stage are measured once."""
    unsplit: bool = True
    """Also measure adversarial training with whole images and batches, which needs more memory."""
    json: Path | None = None
    """JSON file to write all numbers to. null: none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, 1, "steps", "rounds")
        require_at_least(self, 5, "images")


@dataclass(frozen=True)
class Variant:
    """Settings with which a stage is measured."""

    stage: str
    name: str
    """Description of the settings that differ from the stage's other variants."""
    precision: str
    split: Split
    skip_invisible: bool = False
    """Whether points that no light reaches are skipped; only for split images."""

    def schedule(self, whole: Schedule, steps: int) -> Schedule:
        """Return a schedule of ``steps`` steps of this stage and none of the others."""
        none = dict.fromkeys(STAGES, 0)
        return replace(whole, **(none | {self.stage: steps}), precision=self.precision)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Measurement:
    """Time and memory of one variant of a stage."""

    variant: Variant
    images_a_step: int
    """Number of images that a step learns from; in warm_up_deform, of faces."""
    seconds_a_step: float
    """Median time of a step over all rounds, seconds."""
    peak_memory_mib: float
    """Peak memory of the process, or of the tensors on a GPU, MiB."""
    shares: dict[str, float]
    """Shares of the time of a step, by phase; they sum to 1."""

    @property
    def images_a_second(self) -> float:
        """Images that the training learns from in a second."""
        return self.images_a_step / self.seconds_a_step

    def plain(self) -> dict[str, Any]:
        """Return all numbers as plain values for JSON."""
        return {
            **asdict(self.variant),
            **{field.name: getattr(self, field.name) for field in fields(self) if field.name != "variant"},
            "images_a_second": self.images_a_second,
        }


def benchmark(config: TrainingBenchmark, folder: Path) -> list[Measurement]:
    """Measure all stages of a configuration that have steps; ``folder`` is for the data set and the run's files.

    Raises:
        InputError: the configuration or the data cannot be used.
    """
    # Complete iterations of adversarial training are measured, without the discriminator's warm-up and without the time
    # that sampling the priors' faces takes.
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
    """Write the first images of the data set to ``folder``, or synthetic ones if it does not exist.

    Raises:
        InputError: the data set does not exist, and the face model is BFM, of which no images can be made.
    """
    folder.mkdir(parents=True)
    size, count = config.data.size, config.images
    if config.data.path.exists():
        dataset = FaceDataset(config.data)
        items = (
            (item.image.numpy(), item.face) for item in (dataset[i] for i in range(min(count, len(dataset))))
        )
    elif is_bfm_file(config.face_model):
        raise InputError(f"data.path is {config.data.path}, which is not there: no images of BFM can be made")
    else:
        print(f"{config.data.path} is not there: {count} images are made", file=sys.stderr)
        synthetic_renderer = load_synthetic_renderer(config.face_model)
        items = (render_item(synthetic_renderer, config.schedule.seed, index, size) for index in range(count))
    for index, (image, face) in enumerate(tqdm(items, total=count, desc="images", disable=None, leave=False)):
        (folder / f"{index:06d}.png").write_bytes(encoded_image(image, compress_level=1))
        write_coefficients(folder / f"{index:06d}.mat", face)


def variants(config: TrainingBenchmark, stage: str) -> list[Variant]:
    """List the variants of a stage: the configuration's own settings, the other precision, and for adversarial training
    whole images.
    """
    half = in_bfloat16(config.schedule.precision, select_device(config.device))
    split = config.adversarial.split
    both = ("bfloat16", "float32") if half else ("float32", "bfloat16")
    if stage != "adversarial":
        return [Variant(stage, name, name, split) for name in both]
    if split == Split():
        split = Split(1, config.discriminator.size**2 // 4)
    skip = config.adversarial.skip_invisible
    ways = [Variant(stage, f"split, {name}", name, split, skip) for name in both]
    return [*ways, Variant(stage, f"unsplit, {both[0]}", both[0], Split())] if config.unsplit else ways


def measure_stage(
    config: TrainingBenchmark, state: State, train: Callable[..., None], ways: list[Variant]
) -> list[Measurement]:
    """Measure all variants of a stage: one unmeasured step each, then alternating rounds, then the profiler."""
    device = state.generator.device
    seconds: dict[str, list[float]] = {way.name: [] for way in ways}
    memory = dict.fromkeys(seconds, 0)
    for way in ways:
        run_steps(state, train, way, config.schedule, 1)
    for _ in range(config.rounds):
        for way in ways:
            reset_peak(device)
            seconds[way.name] += run_steps(state, train, way, config.schedule, config.steps)
            memory[way.name] = max(memory[way.name], peak_bytes(device))
    return [
        Measurement(
            variant=way,
            images_a_step=replace(config, schedule=way.schedule(config.schedule, 1)).image_count(0),
            seconds_a_step=statistics.median(seconds[way.name]),
            peak_memory_mib=memory[way.name] / 2**20,
            shares=phase_shares(device, partial(run_steps, state, train, way, config.schedule, config.steps)),
        )
        for way in ways
    ]


def run_steps(
    state: State, train: Callable[..., None], way: Variant, schedule: Schedule, steps: int
) -> list[float]:
    """Run ``steps`` steps of a variant, from the current weights; returns the seconds of each."""
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
    """Compute the share of each phase in the time of ``steps``, from the profiler ranges (:data:`RANGES`)."""
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
    """Compute each phase's share of the time, from the durations of the ranges on a CPU."""
    seconds = dict.fromkeys(PHASES, 0.0)
    for event in events:
        if event.name in RANGES:
            seconds[RANGES[event.name]] += event.cpu_time_total
    whole = sum(event.cpu_time_total for event in events if event.name == STEPS)
    seconds["forward"] = whole - sum(seconds.values())
    return {phase: seconds[phase] / whole for phase in PHASES}


def shares_of_kernels(events: list[FunctionEvent]) -> dict[str, float]:
    """Compute each phase's share of a GPU's time; ``data`` also counts its range on the CPU, for which the GPU waits.

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
    """Return a function that waits until a device has finished all of its work; on a CPU it does nothing."""
    return partial(torch.cuda.synchronize, device) if device.type == "cuda" else lambda: None


# --------------------------------------------------------------------------------------------------------------- report
def ratios(measurements: list[Measurement]) -> dict[str, dict[str, float]]:
    """Compute ratios of each stage's first variant to the others: images per second, and peak memory."""
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
    """Format all measurements as a Markdown table, followed by the ratios, one line each."""
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
    """Write all measurements and ratios as JSON."""
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
