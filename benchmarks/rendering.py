"""Time, memory and accuracy of every renderer: brute_force, adaptive, antialiased and baked.

All renderers draw the same views, one after the other. Differences are to :mod:`benchmarks.brute_force_renderer`, which
evaluates every sample and every point of every ray. To measure another renderer, add it to ``WAYS``.
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

from anifacegan.avatars.baking.bake import bake
from anifacegan.avatars.baking.from_model import model_charts, person_condition
from anifacegan.avatars.config import BakeConfig
from anifacegan.avatars.players.choice import player_on
from anifacegan.rendering.frame import FrameRenderer, decibels
from anifacegan.rendering.model import Face, Model, load_model
from anifacegan.runtime.devices import Device, select_device
from anifacegan.runtime.errors import InputError, require_at_least
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.markdown import markdown_table
from anifacegan.runtime.typed_config import as_tuple
from benchmarks.brute_force_renderer import brute_force_image
from benchmarks.manifold_growth import grown_generator
from benchmarks.peak_memory import peak_bytes, reset_peak


class Way(Protocol):
    """A renderer that is measured."""

    def __call__(self, model: Model, face: Face, *, yaw: float, pitch: float, size: int) -> Tensor:
        """Return the (3, size, size) rgb in [0, 1]."""
        ...


class BakedRenderer:
    """Draws a baked avatar; a face is baked at its first image."""

    def __init__(self) -> None:
        self.face: Face | None = None
        self.player: FrameRenderer | None = None

    def __call__(self, model: Model, face: Face, *, yaw: float, pitch: float, size: int) -> Tensor:
        z_exp = face.latents.z_exp[0].cpu().numpy()
        if self.player is None or self.face is not face:
            condition = person_condition(model, (face.latents.z_id, face.latents.z_noise), PSI)
            avatar, _ = bake(condition, z_exp[None], model_charts(model, BAKE.grid), BAKE)
            self.player = player_on(model.generator.device, avatar)
            self.face = face
        return self.player.image(z_exp, yaw=yaw, pitch=pitch, size=size).rgb


PSI = 0.7
"""Truncation of the person."""
BAKE = BakeConfig()
"""How the person is baked; the same for images of all sizes."""
WayName = Literal["brute_force", "adaptive", "antialiased", "baked"]
"""Name of a renderer."""
WAYS: dict[WayName, Way] = {
    "brute_force": lambda model, face, *, yaw, pitch, size: (
        brute_force_image(face, yaw=yaw, pitch=pitch, size=size).rgb
    ),
    "adaptive": lambda model, face, *, yaw, pitch, size: face.render(
        yaw=yaw, pitch=pitch, size=size, antialias=False
    ),
    "antialiased": lambda model, face, *, yaw, pitch, size: face.render(yaw=yaw, pitch=pitch, size=size),
    "baked": BakedRenderer(),
}
"""Renderers by name; all others are compared with the first one."""
NETWORKS = {
    "model": "the model as it is",
    "full_size": "the same functions grown into networks of the paper's sizes: opaque where the model is",
}
"""Networks that can be measured, and their descriptions in the report."""


@dataclass(frozen=True)
class RenderBenchmark:
    """Measure time and memory of an image by every renderer, and its difference to the brute-force image."""

    model: Path = Path("checkpoints/demo")
    """Model folder, or a folder with AniFaceGAN's released files."""
    networks: Literal["model", "full_size"] | tuple[Literal["model", "full_size"], ...] = (
        "model",
        "full_size",
    )
    """model: the networks as they are. full_size: grown to the paper's sizes, 23 manifolds and 64 samples, with the
    same people."""
    sizes: int | tuple[int, ...] = (64, 128, 256)
    """Heights and widths of the images, pixels."""
    ways: WayName | tuple[WayName, ...] = tuple(WAYS)
    """Renderers to measure: brute_force, optionally followed by adaptive, antialiased and baked. antialiased: adaptive
    with smooth outlines, which brute_force lacks."""
    repetitions: int = 3
    """Number of images of each renderer and size; their median time is reported."""
    seed: int = 7
    """Random seed of the person."""
    expression: str = "smile=0.7"
    """Expression of the person: a .mat file, names with strengths such as smile=0.7, or neutral."""
    yaw: float | tuple[float, ...] = (-0.35, 0.0, 0.35)
    """Yaw angles of the views, which the repetitions alternate between, radians from frontal."""
    device: Device = "auto"
    """Device that renders. auto: the CPU, then also the GPU if PyTorch finds one."""
    json: Path | None = None
    """JSON file to write all numbers to. null: none."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "repetitions")
        sizes, ways = as_tuple(self.sizes), as_tuple(self.ways)
        if not sizes or not all(8 <= size <= 4096 for size in sizes):
            raise ValueError(f"sizes are {list(sizes)}, expected one or several of 8 to 4096")
        if not ways or ways[0] != next(iter(WAYS)) or not set(ways) <= set(WAYS):
            raise ValueError(f"ways are {list(ways)}, expected the first, or more, of {', '.join(WAYS)}")
        if not as_tuple(self.networks) or not as_tuple(self.yaw):
            raise ValueError("networks and yaw are lists of at least one, got none")


@dataclass(frozen=True)
class Measurement:
    """Time, memory and accuracy of one renderer at one image size."""

    device: str
    networks: str
    size: int
    way: str
    seconds: float
    """Median time of an image, seconds."""
    peak_memory_mib: float
    """Peak memory of the process, or of the tensors on a GPU, MiB."""
    psnr_db: float
    """PSNR of all images together to the brute-force ones, dB; 120 where they are equal."""
    max_error: float
    """Largest absolute difference of a colour channel to the brute-force image; colours are in [0, 1]."""


def benchmark(
    config: RenderBenchmark, report: Callable[[Measurement], None] = lambda _: None
) -> list[Measurement]:
    """Measure every device, network, size and renderer of a configuration; ``report`` is called with each result.

    Raises:
        InputError: the model or the expression cannot be used, or the GPU is missing.
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
            for way in as_tuple(config.ways):  # compiling and baking are not measured
                WAYS[way](selected, face, yaw=as_tuple(config.yaw)[0], pitch=0.0, size=min(sizes))
            for size in sizes:
                for measurement in measure_size(config, device, networks, selected, face, size):
                    found.append(measurement)
                    report(measurement)
    return found


def grown(model: Model) -> Model:
    """Return the same people in networks of the paper's sizes; new units have random weights of a fixed seed."""
    rng = torch.Generator().manual_seed(0)
    generator = grown_generator(model.generator, rng)
    return Model(replace(model.checkpoint, generator=generator))


def measure_size(
    config: RenderBenchmark, device: str, networks: str, model: Model, face: Face, size: int
) -> list[Measurement]:
    """Measure all renderers at one size; in each repetition all of them draw the same view."""
    where = torch.device(device)
    ways, angles = as_tuple(config.ways), as_tuple(config.yaw)
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    memory = dict.fromkeys(ways, 0)
    views: dict[str, list[Tensor]] = {way: [] for way in ways}
    for repetition in range(config.repetitions):
        yaw = angles[repetition % len(angles)]
        for way in ways:
            reset_peak(where)
            start = time.perf_counter()
            image = WAYS[way](model, face, yaw=yaw, pitch=0.0, size=size)
            if device == "cuda":
                torch.cuda.synchronize()
            seconds[way].append(time.perf_counter() - start)
            memory[way] = max(memory[way], peak_bytes(where))
            views[way].append(image.cpu())
    expected = torch.stack(views[ways[0]])
    return [
        Measurement(
            device,
            networks,
            size,
            way,
            statistics.median(seconds[way]),
            memory[way] / 2**20,
            *differences(torch.stack(views[way]), expected),
        )
        for way in ways
    ]


def differences(
    images: Float[Tensor, "view 3 height width"], expected: Float[Tensor, "view 3 height width"]
) -> tuple[float, float]:
    """Compute the PSNR in dB, 120 where images are equal, and the largest absolute difference."""
    error = (images - expected).double()
    return decibels(error.square().mean().item()), error.abs().max().item()


# --------------------------------------------------------------------------------------------------------------- report
HEAD = ("device", "networks", "px", "way", "ms/image", "of brute force", "peak MiB", "PSNR dB", "max error")


def table(measurements: list[Measurement]) -> str:
    """Format all measurements as a Markdown table, followed by each renderer's growth of time with image size."""
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
    """Compute, for each renderer, the ratio of its times at consecutive image sizes, one line each."""
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
    """Return the name of the processor, and the number of threads on a CPU."""
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
    """Describe the model, the person, the machine and the networks, for the line above the table."""
    devices = "; ".join(f"{name}: {machine(name)}" for name in dict.fromkeys(m.device for m in measurements))
    networks = "; ".join(f"{name}: {NETWORKS[name]}" for name in as_tuple(config.networks))
    return (
        f"{config.model}, person {config.seed}, {config.expression}, medians of {config.repetitions}\n"
        f"{devices}\n{networks}\n"
    )


def write_json(path: Path, config: RenderBenchmark, measurements: list[Measurement]) -> None:
    """Write all measurements as JSON; the PSNR of equal images is null.

    Raises:
        InputError: the file cannot be written.
    """
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
