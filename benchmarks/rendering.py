"""How long an image takes, in every way that this project has of making one, and how far it is from the reference.

The ways take turns on the same views. The reference is :mod:`benchmarks.brute_force_renderer`: every sample and every
point of every ray. Another way of rendering is one more line in ``WAYS``.
"""

import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.avatars.baking.bake import BakeConfig, bake
from anifacegan.avatars.baking.from_model import model_charts, person_condition
from anifacegan.avatars.players.choice import player_on
from anifacegan.rendering.frame import FrameRenderer, decibels
from anifacegan.rendering.model import Face, Model, load_model
from anifacegan.runtime.devices import Device, select_device
from anifacegan.runtime.errors import InputError, require_at_least
from anifacegan.runtime.files import markdown_table, write_complete
from anifacegan.runtime.typed_config import as_tuple
from benchmarks.brute_force_renderer import brute_force_image
from benchmarks.manifold_growth import grown_generator
from benchmarks.peak_memory import forget_peak, peak_bytes


class Way(Protocol):
    """A renderer that is measured."""

    def __call__(self, model: Model, face: Face, *, yaw: float, pitch: float, size: int) -> Tensor:
        """(3, size, size) rgb in [0, 1]."""
        ...


class Playback:
    """Plays a baked avatar, which is baked when a face is met first."""

    def __init__(self) -> None:
        self.face: Face | None = None
        self.player: FrameRenderer | None = None

    def __call__(self, model: Model, face: Face, *, yaw: float, pitch: float, size: int) -> Tensor:
        z_exp = face.latents.z_exp[0].cpu().numpy()
        if self.player is None or self.face is not face:
            condition = person_condition(model, (face.latents.z_id, face.latents.z_noise), PSI)
            avatar, _ = bake(condition, z_exp[None], model_charts(model, PLAYBACK.grid), PLAYBACK)
            self.player = player_on(model.generator.device, avatar)
            self.face = face
        return self.player.image(z_exp, yaw=yaw, pitch=pitch, size=size).rgb


PSI = 0.7
"""Truncation of the person."""
PLAYBACK = BakeConfig()
"""How the person is baked, whatever the images' sizes."""
WAYS: dict[str, Way] = {
    "reference": lambda model, face, *, yaw, pitch, size: (
        brute_force_image(face, yaw=yaw, pitch=pitch, size=size).rgb
    ),
    "adaptive": lambda model, face, *, yaw, pitch, size: face.image(yaw=yaw, pitch=pitch, size=size).rgb,
    "playback": Playback(),
}
"""The first one is what the others are compared with."""
NETWORKS = {
    "model": "the model as it is",
    "full_size": "the same functions grown into networks of the paper's sizes: opaque where the model is",
}


@dataclass(frozen=True)
class RenderBenchmark:
    """Measure how long images take, and how far the faster ways are from the reference."""

    model: Path = Path("checkpoints/demo")
    """Model folder of ours, or a folder with AniFaceGAN's released files."""
    networks: Literal["model", "full_size"] | tuple[Literal["model", "full_size"], ...] = (
        "model",
        "full_size",
    )
    """model: as it is. full_size: grown into networks of the paper's sizes, 23 manifolds and 64 samples, in which it
    shows the same people."""
    sizes: int | tuple[int, ...] = (64, 128, 256)
    """Heights and widths of the images in pixels."""
    ways: str | tuple[str, ...] = tuple(WAYS)
    """Ways to measure, the reference first."""
    repetitions: int = 3
    """Images of each way and size, of which the median counts."""
    seed: int = 7
    """The person."""
    expression: str = "smile=0.7"
    """The expression; neutral for a model without names."""
    yaw: float | tuple[float, ...] = (-0.35, 0.0, 0.35)
    """Views that the repetitions take in turn, radians from frontal."""
    device: Device = "auto"
    """auto: the CPU, and then the GPU where PyTorch sees one."""
    json: Path | None = None
    """File for the same numbers."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "repetitions")
        sizes, ways = as_tuple(self.sizes), as_tuple(self.ways)
        if not sizes or not all(8 <= size <= 4096 for size in sizes):
            raise ValueError(f"sizes are {list(sizes)}, expected one or several of 8 to 4096")
        if not ways or ways[0] != next(iter(WAYS)) or not set(ways) <= set(WAYS):
            raise ValueError(f"ways are {list(ways)}, expected the first or more of {', '.join(WAYS)}")
        if not as_tuple(self.networks) or not as_tuple(self.yaw):
            raise ValueError("networks and yaw are lists of at least one, got none")


@dataclass(frozen=True)
class Measurement:
    """One way at one size."""

    device: str
    networks: str
    size: int
    way: str
    seconds: float
    """Of one image: the median."""
    peak_memory_mib: float
    """Of the process, or of the tensors on a GPU."""
    psnr_db: float
    """Of all images together to the reference's; infinite where they are the same."""
    max_error: float
    """Largest difference of a channel of a pixel to the reference."""


def benchmark(
    config: RenderBenchmark, report: Callable[[Measurement], None] = lambda _: None
) -> list[Measurement]:
    """Measure everything asked for; ``report`` hears of each result at once.

    Raises:
        InputError: the model or its expression is not there, does not fit, or the GPU is missing.
    """
    devices = ["cpu"] if config.device == "auto" else [select_device(config.device)]
    if config.device == "auto" and torch.cuda.is_available():
        devices.append("cuda")
    found: list[Measurement] = []
    sizes = as_tuple(config.sizes)
    for device in devices:
        model = load_model(config.model, device)
        for networks in as_tuple(config.networks):
            selected = model if networks == "model" else grown(model)
            face = selected.face(seed=config.seed, expression=config.expression, psi=PSI)
            for way in as_tuple(config.ways):  # what is made once is not measured
                WAYS[way](selected, face, yaw=as_tuple(config.yaw)[0], pitch=0.0, size=min(sizes))
            for size in sizes:
                for measurement in measure_size(config, device, networks, selected, face, size):
                    found.append(measurement)
                    report(measurement)
    return found


def grown(model: Model) -> Model:
    """The same people in full-size networks, whose new units have the weights of one seed."""
    rng = torch.Generator().manual_seed(0)
    generator = grown_generator(model.generator, rng)
    return Model(replace(model.checkpoint, generator=generator))


def measure_size(
    config: RenderBenchmark, device: str, networks: str, model: Model, face: Face, size: int
) -> list[Measurement]:
    """All ways at one size. They take turns, and every turn shows the same view to each of them."""
    where = torch.device(device)
    ways, angles = as_tuple(config.ways), as_tuple(config.yaw)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    memory = dict.fromkeys(ways, 0)
    views: dict[str, list[Tensor]] = {way: [] for way in ways}
    for turn in range(config.repetitions):
        yaw = angles[turn % len(angles)]
        for way in ways:
            forget_peak(where)
            start = time.perf_counter()
            image = WAYS[way](model, face, yaw=yaw, pitch=0.0, size=size)
            if device == "cuda":
                torch.cuda.synchronize()
            seconds[way].append(time.perf_counter() - start)
            memory[way] = max(memory[way], peak_bytes(where))
            views[way].append(image.cpu())
    reference = torch.stack(views[ways[0]])
    return [
        Measurement(
            device,
            networks,
            size,
            way,
            statistics.median(seconds[way]),
            memory[way] / 2**20,
            *differences(torch.stack(views[way]), reference),
        )
        for way in ways
    ]


def differences(
    images: Float[Tensor, "view 3 height width"], reference: Float[Tensor, "view 3 height width"]
) -> tuple[float, float]:
    """PSNR in dB, 120 where all is equal, and the largest absolute difference."""
    error = (images - reference).double()
    return decibels(error.square().mean().item()), error.abs().max().item()


# --------------------------------------------------------------------------------------------------------------- report
HEAD = ("device", "networks", "px", "way", "ms/image", "of reference", "peak MiB", "PSNR dB", "max error")


def table(measurements: list[Measurement]) -> str:
    """All numbers for a reader: a Markdown table, and a line for each way on how its cost grows."""
    slowest = {(m.device, m.networks, m.size): m.seconds for m in measurements if m.way == next(iter(WAYS))}
    rows = [
        (
            m.device,
            m.networks,
            str(m.size),
            m.way,
            f"{1000 * m.seconds:.0f}" if m.seconds > 0.1 else f"{1000 * m.seconds:.1f}",
            f"1 / {slowest[m.device, m.networks, m.size] / m.seconds:.2f}",
            f"{m.peak_memory_mib:.0f}",
            "same" if m.max_error == 0 else f"{m.psnr_db:.1f}",
            f"{255 * m.max_error:.3f} / 255",
        )
        for m in measurements
    ]
    return "\n".join([markdown_table(HEAD, rows, aligned=True), "", *growth_lines(measurements)])


def growth_lines(measurements: list[Measurement]) -> list[str]:
    """For each way, how much more a larger image costs than the next smaller one."""
    lines = []
    for device, networks, way in dict.fromkeys((m.device, m.networks, m.way) for m in measurements):
        ours = [m for m in measurements if (m.device, m.networks, m.way) == (device, networks, way)]
        ours.sort(key=lambda m: m.size)
        steps = [
            f"{one.size} to {other.size} px: x {other.seconds / one.seconds:.2f} (pixels x "
            f"{(other.size / one.size) ** 2:.2f})"
            for one, other in zip(ours, ours[1:], strict=False)
        ]
        if steps:
            lines.append(f"{device}, {networks}, {way}: {', '.join(steps)}")
    return lines


def machine(device: str) -> str:
    """What measured: its name, and with how many threads."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.partition(":")[2].strip()
            for line in cpuinfo.read_text().splitlines()
            if "model name" in line
        ]
        name = names[0] if names else name
    return f"{name}, {torch.get_num_threads()} threads"


def heading(config: RenderBenchmark, measurements: list[Measurement]) -> str:
    """What the table is of."""
    devices = "; ".join(f"{name}: {machine(name)}" for name in dict.fromkeys(m.device for m in measurements))
    networks = "; ".join(f"{name}: {NETWORKS[name]}" for name in as_tuple(config.networks))
    return (
        f"{config.model}, person {config.seed}, {config.expression}, medians of {config.repetitions}\n"
        f"{devices}\n{networks}\n"
    )


def write_json(path: Path, config: RenderBenchmark, measurements: list[Measurement]) -> None:
    """The same numbers for programs; the PSNR of equal images is null."""
    content = {
        "model": str(config.model),
        "person": config.seed,
        "expression": config.expression,
        "repetitions": config.repetitions,
        "torch": torch.__version__,
        "machine": {name: machine(name) for name in dict.fromkeys(m.device for m in measurements)},
        "networks": {name: NETWORKS[name] for name in as_tuple(config.networks)},
        "measurements": [asdict(m) | ({"psnr_db": None} if m.max_error == 0 else {}) for m in measurements],
    }
    try:
        write_complete(path, json.dumps(content, indent=2) + "\n")
    except OSError as error:
        raise InputError(f"json is {path}, which cannot be written: {error.strerror}") from None
