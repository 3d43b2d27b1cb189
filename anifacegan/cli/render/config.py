"""Options of ``anifacegan render``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from anifacegan.face_model.config import DriveConfig, require_finite, require_psi
from anifacegan.models.config import ViewSamplingConfig
from anifacegan.runtime.devices import Device
from anifacegan.runtime.errors import ConfigError, require_memory, require_seeds, require_unused
from anifacegan.runtime.output_places import OutputFolder
from anifacegan.runtime.seeds import expanded_seeds
from anifacegan.runtime.typed_config import as_tuple

Renderer = Literal["adaptive", "baked", "auto"]
SHEET_COLUMNS, BYTES_OF_A_PIXEL = 10, 12
"""Number of columns of the contact sheet beside the requested expressions, about; memory for a pixel of it, bytes."""
DEFAULT_PSI = 0.7
"""Truncation of people that networks render, unless the options name another."""


@dataclass(frozen=True)
class RenderConfig(DriveConfig):
    """Render people whose pose and expression change from frame to frame. Writes PNG images, a video of each person,
    and a contact sheet of expressions and views. Without options, five people of the demo model turn their heads and
    smile.
    """

    model: Path = Path("checkpoints/demo")
    """Model folder, name of a shipped model (demo), folder with AniFaceGAN's released files, or avatar file
    (.safetensors) of 'anifacegan bake'. An avatar file contains one person, so seeds and latents do not apply."""
    renderer: Renderer = "auto"
    """adaptive: evaluate the networks for every image, only at points that may be visible. baked: first bake each
    person into a textured layered mesh, which is then drawn faster. auto: baked if a person has at least 24 frames of
    256 px (or as many pixels of another size) and both renderers agree on some frames (PSNR 36 dB), else adaptive."""
    seeds: int | str | tuple[int | str, ...] = (60, 8, 36, 3, 27)
    """Random seeds of people, one seed for each person; 0-999 means a thousand of them. A seed gives the same person in
    every run. The default is the first seeds of the demo whose sex, descent and age take turns."""
    latents: Path | None = None
    """An .npz file with z_id and z_noise of people, each (people, 80), used instead of seeds. Every run writes the
    latents of its people to such files. null: the seeds."""
    size: int = 256
    """Height and width of the frames in pixels."""
    psi: float | None = None
    """Truncation psi of the appearance: 1 shows the full variety of people, 0 the average appearance for everyone.
    null: 0.7; a baked avatar has its own."""
    antialias: bool = True
    """Smooth the outlines: pixels on outlines and other sharp edges, at most a thirtieth of an image's pixels, are the
    mean of several rays. This takes a quarter more time for frames that the networks render, and nearly twice the time
    for those of a baked avatar. Depth maps stay those of one ray a pixel. false: one ray for each pixel."""
    depth: bool = False
    """Also write depth maps as 16-bit PNG; manifest.json records the range of depths in world units (1 counts as 1
    m)."""
    transparent: bool = False
    """Write frames as RGBA without the background. Videos and the contact sheet then have a white background."""
    stills: bool = False
    """Write one image of each person, with a random pose and expression, into one folder, and nothing else, as metrics
    such as FID need it; poses and expressions follow the option views, and belong to the seed."""
    views: ViewSamplingConfig = field(default_factory=lambda: ViewSamplingConfig(poses="gaussian"))
    """Distribution of the poses and expressions of stills; poses are gaussian."""
    cameras: bool = False
    """Also write each frame's camera: field of view, intrinsics and matrices to the world in manifest.json, a
    transforms.json for nerfstudio and instant-ngp and COLMAP's text files in each person's folder, and EG3D's
    dataset.json."""
    video: bool = True
    """Write a video (.mp4) of each person."""
    fps: int = 25
    """Frames per second of the videos."""
    grid: bool = True
    """Write a contact sheet, sheet.png. Each row is a view of a person. The columns are the neutral face, the requested
    expressions, and the .mat files in mat/ that belong to the model's face model."""
    grid_yaw: float | tuple[float, ...] = (-0.35, 0.0, 0.35)
    """Yaw angles of the views on the contact sheet, radians."""
    grid_size: int = 128
    """Largest height and width of an image on the contact sheet, pixels."""
    out: OutputFolder = Path("multiview_imgs")
    """Folder to write to. It is changed only after the last image has been rendered."""
    overwrite: bool = False
    """Replace files in the output folder that this program did not write. Its own are always replaced."""
    device: Device = "auto"
    """Device that computes. auto: a GPU if PyTorch finds one, else the CPU."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least, most in (("size", 8, 4096), ("grid_size", 8, 1024), ("fps", 1, 240)):
            if not least <= getattr(self, name) <= most:
                raise ConfigError(name, getattr(self, name), f"{least} to {most}")
        require_psi("psi", self.truncation)
        require_finite("grid_yaw", self.grid_yaw)
        seeds = expanded_seeds(self.seeds)
        require_seeds(seeds)
        rows = len(seeds) * len(as_tuple(self.grid_yaw)) if self.grid and not self.stills else 0
        row = SHEET_COLUMNS + len(as_tuple(self.expression))
        require_memory(self, BYTES_OF_A_PIXEL * self.grid_size**2 * rows * row, "grid_size", "grid_yaw")
        self._require_effects()
        if self.stills and self.views.poses != "gaussian":
            raise ValueError("stills have gaussian poses")

    def _require_effects(self) -> None:
        """Require that no option is given that these others leave without effect."""
        if self.stills:
            of_frames = ("expression", "strength", "frames", "yaw", "pitch", "pose_from_mat")
            require_unused(self, "with --stills: poses and expressions follow --views", *of_frames)
            require_unused(self, "with --stills", "latents", "depth", "fps", "grid_yaw", "grid_size")
            if self.renderer == "baked":
                raise ConfigError("renderer", self.renderer, "adaptive or auto with --stills")
            return
        require_unused(self, "without --stills", "views")
        if self.latents is not None:
            require_unused(self, "with --latents", "seeds")
        if not self.video:
            require_unused(self, "with --video false", "fps")
        if not self.grid:
            require_unused(self, "with --grid false", "grid_yaw", "grid_size")

    @property
    def truncation(self) -> float:
        """Truncation psi of people that networks render."""
        return DEFAULT_PSI if self.psi is None else self.psi
