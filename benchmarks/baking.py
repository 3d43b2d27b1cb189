"""Cost and accuracy of baking, by size of textures and grids and by number of blendshapes and in-between shapes.

In the video a person turns the head while one or several expressions appear. The frames of the networks are rendered
once; every way of baking is then played on the same frames, alternating frame by frame.
"""

import json
import statistics
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from anifacegan.avatars.baking.bake import bake
from anifacegan.avatars.baking.from_model import model_charts, person_condition
from anifacegan.avatars.baking.key_expressions import key_expressions
from anifacegan.avatars.config import BakeConfig
from anifacegan.avatars.layered_mesh import LayeredMesh
from anifacegan.avatars.players.numba_player import play
from anifacegan.rendering.frame import decibels
from anifacegan.rendering.model import Model
from anifacegan.runtime.errors import require_at_least
from anifacegan.runtime.files import write_complete
from anifacegan.runtime.markdown import markdown_table
from anifacegan.runtime.typed_config import as_tuple

FACE = 0.62
"""The face crop is the middle of the image, of this share of its side."""


@dataclass(frozen=True)
class BakeBenchmark:
    """Measure seconds to bake, milliseconds per played frame, and the PSNR to the networks' frames."""

    model: Path = Path("checkpoints/demo")
    """Model folder."""
    seed: int = 1
    """Seed of the person."""
    expression: str | tuple[str, ...] = "mat/smile.mat"
    """Expressions of the video, one after the other: .mat files, or names such as smile=0.7."""
    yaw: float = 0.35
    """The head turns from -yaw to yaw, radians."""
    frames: int = 10
    """Number of frames of the video."""
    size: int = 256
    """Height and width of the frames, pixels."""
    psi: float = 0.7
    """Truncation of the person: 1 is none, smaller is closer to the average."""
    textures: int | tuple[int, ...] = (256, 384, 512, 768)
    """Texture sizes that are compared, with the first grid."""
    grids: int | tuple[int, ...] = (128, 64, 192)
    """Grid sizes that are compared, with the third texture, or the last where there are fewer."""
    inbetweens: int | tuple[int, ...] = (2, 1)
    """Numbers of in-between shapes that are compared, with that texture and the first grid; the first is used in all
    other rows."""
    blendshapes: int | tuple[int, ...] = ()
    """Numbers of blendshapes that are compared, with that texture and the first grid; the other rows have as many as
    the video needs, which is also the most."""
    rounds: int = 5
    """Number of times that each frame is drawn."""
    json: Path | None = None
    """JSON file to write all numbers to. null: none."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "frames", "rounds")
        require_at_least(self, 16, "size")
        require_at_least(self, 0, "seed")
        if not all(
            as_tuple(values) for values in (self.textures, self.grids, self.inbetweens, self.expression)
        ):
            raise ValueError("textures, grids, inbetweens and expression need at least one value each")
        if self.frames < 1 + len(as_tuple(self.expression)):
            raise ValueError(f"frames is {self.frames}, expected more than there are expressions")
        if not all(count >= 1 for count in as_tuple(self.blendshapes)):
            raise ValueError(f"blendshapes are {list(as_tuple(self.blendshapes))}, expected 1 or more")
        if not 0 <= self.yaw <= 1.0:
            raise ValueError(f"yaw is {self.yaw}, expected 0 to 1 radians")
        self.ways()  # refuses what cannot be baked so

    def ways(self) -> list[tuple[BakeConfig, int | None]]:
        """Every way of baking that is measured, with its number of blendshapes; None is as many as are needed."""
        widest = max(self.yaw, 0.05) + 0.05
        textures, grids, inbetweens = as_tuple(self.textures), as_tuple(self.grids), as_tuple(self.inbetweens)
        usual = BakeConfig(
            texture=textures[min(2, len(textures) - 1)],
            grid=grids[0],
            inbetweens=inbetweens[0],
            widest_rad=widest,
        )
        ways: list[tuple[BakeConfig, int | None]] = [
            (replace(usual, texture=texture), None) for texture in textures
        ]
        ways += [(replace(usual, grid=grid), None) for grid in grids[1:]]
        ways += [(replace(usual, inbetweens=count), None) for count in inbetweens[1:]]
        return ways + [(usual, count) for count in as_tuple(self.blendshapes)]


@dataclass(frozen=True)
class BakeMeasurement:
    """Cost and accuracy of one way of baking."""

    texture: int
    grid: int
    inbetweens: int
    blendshapes: int
    chart_seconds: float
    """Once for a model."""
    bake_seconds: float
    """Once for a person."""
    triangles: int
    play_ms: float
    """Median of a frame, the expression's geometry included."""
    network_ms: float
    """Median time of a frame rendered by the networks, milliseconds."""
    psnr_db: float
    """Mean PSNR of the frames."""
    worst_db: float
    """The worst frame's."""
    face_db: float
    """Mean PSNR of the face crop."""
    worst_face_db: float
    largest_error: float
    """Of any colour of any pixel, in [0, 1]."""


def measure_baking(model: Model, config: BakeBenchmark) -> list[BakeMeasurement]:
    """One line for each way. The model is on the CPU or a GPU; playing is on the CPU."""
    latents, video = model.person(config.seed), _video(model, config)
    yaws = np.linspace(-config.yaw, config.yaw, config.frames)
    expected, network_times = [], []
    for z_exp, yaw in zip(
        tqdm(video, desc="frames of the networks", leave=False, disable=None), yaws, strict=True
    ):
        face = model.face(latents=latents, expression=z_exp, psi=config.psi)
        started = time.perf_counter()
        image = face.image(yaw=float(yaw), pitch=0.0, size=config.size, antialias=False)
        expected.append(image.rgb.cpu())
        network_times.append(time.perf_counter() - started)
    baked = [
        _baked(model, config, *way, video, latents) for way in tqdm(config.ways(), leave=False, disable=None)
    ]
    times: list[list[float]] = [[] for _ in baked]
    errors: list[list[Tensor]] = [[] for _ in baked]
    for avatar, *_ in baked:
        play(avatar, avatar.neutral, yaw=0.0, pitch=0.0, size=config.size)  # compiles
    for number in range(config.rounds):
        for z_exp, yaw, right in zip(video, yaws, expected, strict=True):
            for (avatar, *_), took, wrong in zip(baked, times, errors, strict=True):
                started = time.perf_counter()
                image = play(avatar, avatar.posed(z_exp), yaw=float(yaw), pitch=0.0, size=config.size)
                took.append(time.perf_counter() - started)
                if number == 0:
                    wrong.append(image.rgb - right)
    return [
        _measurement(way, charting, baking, avatar, took, network_times, torch.stack(wrong))
        for (way, _), (avatar, charting, baking), took, wrong in zip(
            config.ways(), baked, times, errors, strict=True
        )
    ]


def _video(model: Model, config: BakeBenchmark) -> Float[np.ndarray, "frame 64"]:
    """Expressions of the frames: from neutral to the first, from there to the next, in equal times."""
    expressions = (None, *as_tuple(config.expression))
    met = np.stack([model.expressions.coefficients(expression) for expression in expressions])
    at = np.linspace(0, config.frames - 1, len(met)).round()  # frames that show only one of them
    weights = [np.interp(np.arange(config.frames), at, one) for one in np.eye(len(met))]
    return np.stack(weights, axis=1).astype(np.float32) @ met


def _baked(
    model: Model,
    config: BakeBenchmark,
    way: BakeConfig,
    shapes: int | None,
    video: Float[np.ndarray, "frame 64"],
    latents: tuple,
) -> tuple[LayeredMesh, float, float]:
    """The avatar, and the seconds of charting and baking."""
    started = time.perf_counter()
    charts = model_charts(model, way.grid)
    charted = time.perf_counter()
    avatar, _ = bake(
        person_condition(model, latents, config.psi), video[key_expressions(video)[:shapes]], charts, way
    )
    return avatar, charted - started, time.perf_counter() - charted


def _measurement(
    way: BakeConfig,
    charting: float,
    baking: float,
    avatar: LayeredMesh,
    took: list[float],
    network_times: list[float],
    error: Float[Tensor, "frame 3 size size"],
) -> BakeMeasurement:
    size = error.shape[-1]
    middle = slice(round((1 - FACE) / 2 * size), size - round((1 - FACE) / 2 * size))
    parts = (error, error[..., middle, middle])
    whole, face = ([decibels(frame.square().mean().item()) for frame in part] for part in parts)
    return BakeMeasurement(
        texture=way.texture,
        grid=way.grid,
        inbetweens=way.inbetweens,
        blendshapes=len(avatar.blendshapes),
        chart_seconds=charting,
        bake_seconds=baking,
        triangles=len(avatar.triangles),
        play_ms=1000 * statistics.median(took),
        network_ms=1000 * statistics.median(network_times),
        psnr_db=statistics.mean(whole),
        worst_db=min(whole),
        face_db=statistics.mean(face),
        worst_face_db=min(face),
        largest_error=error.abs().max().item(),
    )


def baking_table(found: list[BakeMeasurement]) -> str:
    """All numbers for a reader, as Markdown."""
    head = ["texture", "grid", "inbetweens", "shapes", "bake s", "charts s", "triangles", "play ms", "frames/s",
            "networks ms", "times faster", "PSNR", "worst", "face", "worst face"]  # fmt: skip
    rows = [
        [
            f"{m.texture}", f"{m.grid}", f"{m.inbetweens}", f"{m.blendshapes}",
            f"{m.bake_seconds:.1f}", f"{m.chart_seconds:.1f}", f"{m.triangles}",
            f"{m.play_ms:.1f}", f"{1000 / m.play_ms:.0f}", f"{m.network_ms:.0f}", f"{m.network_ms / m.play_ms:.0f}",
            f"{m.psnr_db:.1f}", f"{m.worst_db:.1f}", f"{m.face_db:.1f}", f"{m.worst_face_db:.1f}",
        ]
        for m in found
    ]  # fmt: skip
    return markdown_table(head, rows)


def write_baking_json(path: Path, config: BakeBenchmark, found: list[BakeMeasurement]) -> None:
    """The same numbers for programs."""
    content = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "settings": {name: str(value) for name, value in vars(config).items()},
        "measurements": [vars(m) for m in found],
    }
    write_complete(path, json.dumps(content, indent=2) + "\n")
