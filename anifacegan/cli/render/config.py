"""Options of ``anifacegan render``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from anifacegan.face_model.trajectories import DriveConfig, require_finite
from anifacegan.runtime.devices import Device
from anifacegan.runtime.typed_config import as_tuple

Renderer = Literal["adaptive", "baked", "auto"]


@dataclass(frozen=True)
class RenderConfig(DriveConfig):
    """Render people who turn their heads while an expression comes: PNG frames, films, a contact sheet."""

    model: Path = Path("checkpoints/demo")
    """Model folder of ours, a folder with AniFaceGAN's released files, or a baked avatar (.safetensors), which is one
    person: seeds say nothing then. Looked up here, then beside render.py."""
    renderer: Renderer = "auto"
    """adaptive: the networks, point by point. baked: textured sheets, baked once for each person. auto: baked where a
    person is drawn often enough for that to pay, and where it looks the same."""
    seeds: int | tuple[int, ...] = (1, 2, 3)
    """One person each; the same person alone or among others."""
    latents: Path | None = None
    """People from an .npz with z_id and z_noise instead of seeds. Each run keeps its people in such files."""
    size: int = 256
    """Height and width of the frames in pixels."""
    psi: float = 0.7
    """Variety of people: 1 is all of it, smaller is closer to the average appearance."""
    depth: bool = False
    """Also write depth maps, as 16-bit PNG; the manifest has their range."""
    transparent: bool = False
    """Write frames as RGBA without the background; film and sheet are on white then."""
    video: bool = True
    """Write a film of each person."""
    fps: int = 25
    """Frames per second of the films."""
    grid: bool = True
    """Write a contact sheet: people, views, and every expression of mat/ that is made for the model."""
    grid_yaw: float | tuple[float, ...] = (-0.35, 0.0, 0.35)
    """Views on the contact sheet."""
    grid_size: int = 128
    """Largest size of an image on the contact sheet, pixels."""
    out: Path = Path("multiview_imgs")
    """Folder to write. It changes only when everything is done."""
    device: Device = "auto"
    """auto: the GPU where PyTorch sees one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least, most in (("size", 8, 4096), ("grid_size", 8, 1024), ("fps", 1, 240)):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)}, expected {least} to {most}")
        for name in ("psi", "grid_yaw"):
            require_finite(name, getattr(self, name))
        seeds = as_tuple(self.seeds)
        if not seeds or len(set(seeds)) < len(seeds) or not all(0 <= seed < 2**63 for seed in seeds):
            raise ValueError(f"seeds are {list(seeds)}, expected whole numbers from 0, each once")
