"""Frame rate of a baked avatar by every player: latency of a single frame, and frames per second in a row.

All players draw the same video of a head that turns while an expression appears, at each size in turn.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from anifacegan.avatars.baking.bake import bake
from anifacegan.avatars.baking.from_model import model_charts, person_condition
from anifacegan.avatars.config import BakeConfig
from anifacegan.avatars.layered_mesh import LayeredMesh
from anifacegan.avatars.players.choice import NumbaPlayer
from anifacegan.avatars.players.torch_player import TorchPlayer
from anifacegan.geometry.config import Backend
from anifacegan.geometry.rasterization.rasterizer import select_backend
from anifacegan.rendering.model import Model
from anifacegan.runtime.errors import require_at_least
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.markdown import markdown_table
from anifacegan.runtime.typed_config import as_tuple


@dataclass(frozen=True)
class PlaybackBenchmark:
    """Measure how fast a baked avatar plays."""

    model: Path = Path("checkpoints/demo")
    """Model folder."""
    seed: int = 1
    """Seed of the person."""
    expression: str = "smile"
    """Expression of the video: a .mat file, or names such as smile=0.7."""
    yaw: float = 0.35
    """The head turns from -yaw to yaw, radians."""
    psi: float = 0.7
    """Truncation of the person: 1 is none, smaller is closer to the average."""
    sizes: int | tuple[int, ...] = (128, 256, 512)
    """Heights and widths of the frames, pixels."""
    frames: int = 50
    """Number of frames of the video."""
    players: Backend | tuple[Backend, ...] = ()
    """Players to measure: numba draws on the CPU, torch and nvdiffrast on the GPU; without a GPU, torch draws on the
    CPU. None given: numba and, with a GPU, the others."""
    bake: BakeConfig = BakeConfig()
    """How the avatar is baked."""
    json: Path | None = None
    """JSON file to write all numbers to. null: none."""

    def __post_init__(self) -> None:
        require_at_least(self, 2, "frames")
        require_at_least(self, 0, "seed")
        sizes = as_tuple(self.sizes)
        if "auto" in as_tuple(self.players):
            raise ValueError("players has 'auto', expected some of numba, torch, nvdiffrast")
        if not abs(self.yaw) <= self.bake.widest_rad:
            raise ValueError(
                f"yaw is {self.yaw}, expected at most bake.widest_rad, which is {self.bake.widest_rad}"
            )
        if not sizes or not all(8 <= size <= 4096 for size in sizes):
            raise ValueError(f"sizes are {list(sizes)}, expected one or several of 8 to 4096")

    def selected_players(self) -> tuple[Backend, ...]:
        """Return the players to measure on this machine."""
        if as_tuple(self.players):
            return tuple(as_tuple(self.players))
        if not torch.cuda.is_available():
            return ("numba",)
        fastest = select_backend("auto", torch.device("cuda"))
        return ("numba", "torch") if fastest == "torch" else ("numba", "torch", fastest)


@dataclass(frozen=True)
class PlaybackMeasurement:
    """Speed of one player at one size."""

    player: str
    device: str
    size: int
    latency_ms: float
    """Median time until a frame is finished, milliseconds."""
    frames_per_second: float
    """Frames per second of a whole video, with one wait at its end."""


def measure_playback(model: Model, config: PlaybackBenchmark) -> list[PlaybackMeasurement]:
    """Bake once, then play on every player.

    Raises:
        InputError: a requested player does not work on this machine.
    """
    full_expression, selected = model.expressions.coefficients(config.expression), config.selected_players()
    for name in selected:
        select_backend(name, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    condition = person_condition(model, model.person(config.seed), config.psi)
    avatar, _ = bake(condition, full_expression[None], model_charts(model, config.bake.grid), config.bake)
    players = {name: _videos(name, avatar) for name in selected}
    share = np.linspace(0, 1, config.frames, dtype=np.float32)
    z_exp, yaw = share[:, None] * full_expression, np.linspace(-config.yaw, config.yaw, config.frames)
    found = []
    for size in tqdm(as_tuple(config.sizes), desc="sizes", leave=False, disable=None):
        for name, (device, video, wait) in players.items():
            video(z_exp[:2], yaw[:2], size)  # compiles
            wait()
            latencies = []
            for k in range(config.frames):
                started = time.perf_counter()
                video(z_exp[k : k + 1], yaw[k : k + 1], size)
                wait()
                latencies.append(time.perf_counter() - started)
            started = time.perf_counter()
            video(z_exp, yaw, size)
            wait()
            rate = config.frames / (time.perf_counter() - started)
            found.append(PlaybackMeasurement(name, device, size, 1000 * statistics.median(latencies), rate))
    return found


Video = Callable[[np.ndarray, np.ndarray, int], object]


def _videos(name: Backend, avatar: LayeredMesh) -> tuple[str, Video, Callable[[], None]]:
    """Return a player's device, its function from (z_exp, yaw, size) to frames, and one that waits for them."""
    if name == "numba":
        numba = NumbaPlayer(avatar)
        return (
            "cpu",
            lambda z_exp, yaw, size: [
                numba.image(one, yaw=float(angle), pitch=0.0, size=size)
                for one, angle in zip(z_exp, yaw, strict=True)
            ],
            lambda: None,
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    player = TorchPlayer(avatar, device, name)
    return (
        device,
        lambda latents, yaw, size: player.frames(latents, yaw=yaw, pitch=np.zeros_like(yaw), size=size),
        torch.cuda.synchronize if device == "cuda" else lambda: None,
    )


def playback_table(found: list[PlaybackMeasurement]) -> str:
    """All numbers for a reader, as Markdown; and how cost grows with the pixels."""
    head = ["player", "device", "px", "one frame, ms", "frames/s", "cost of a pixel, relative"]
    rows = []
    for m in found:
        first = next(other for other in found if other.player == m.player)
        growth = (first.frames_per_second / m.frames_per_second) / (m.size / first.size) ** 2
        rows.append(
            [
                m.player,
                m.device,
                f"{m.size}",
                f"{m.latency_ms:.2f}",
                f"{m.frames_per_second:.0f}",
                f"{growth:.2f}",
            ]
        )
    return markdown_table(head, rows)


def write_playback_json(path: Path, config: PlaybackBenchmark, found: list[PlaybackMeasurement]) -> None:
    """The same numbers for programs."""
    content = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "settings": {name: str(value) for name, value in vars(config).items()},
        "measurements": [asdict(m) for m in found],
    }
    write_complete(path, json.dumps(content, indent=2) + "\n")
