"""Options of ``anifacegan view``."""

from dataclasses import dataclass, field
from pathlib import Path

from anifacegan.avatars.config import SUFFIX, BakeConfig
from anifacegan.face_model.config import require_psi
from anifacegan.runtime.devices import Device
from anifacegan.runtime.errors import ConfigError, require_unused, require_within
from anifacegan.runtime.output_places import SavedFolder

PORT = 8765
LOOPBACK = "127.0.0.1"
VIEWED = BakeConfig(grid=96)
"""Resolution of people who are baked to be viewed: coarser, and sooner ready, than those of avatar files."""


@dataclass(frozen=True)
class ViewCommand:
    """Show a model or an avatar in a browser: people, expressions, views, depth, normals and slices, live. The server
    runs here, and prints the address of its page; everything that it writes goes into OUT. Ctrl-C ends it.
    """

    model: Path = Path("checkpoints/demo")
    """Model folder, name of a shipped model, avatar file (.safetensors), or the folder of a training run, whose newest
    snapshot is shown."""
    port: int = PORT
    """Port of the page. 0: any free one."""
    host: str = LOOPBACK
    """Address to bind to. With any other than a loopback address, other machines that know the page's address can use
    the viewer, and the files that it can read."""
    out: SavedFolder = Path("view")
    """Folder for images, people (latents) and films; made when the first is saved. No file is ever replaced."""
    seed: int = 1
    """Random seed of the first person; not of an avatar, which is one person."""
    psi: float = 0.7
    """Truncation psi of the first person's appearance: 1 shows the full variety of people, 0 the average."""
    size: int = 256
    """Height and width of the first frames, pixels."""
    bake: BakeConfig = field(default_factory=lambda: VIEWED)
    """Resolution of the people who are baked to be played."""
    webcam: bool = False
    """Let the page send its camera's pictures, whose expressions drive the face; needs the extra photo."""
    landmark_model: Path | None = None
    """MediaPipe's face_landmarker.task, for the webcam; null: as for 'anifacegan animate'."""
    device: Device = "auto"
    """Device that computes. auto: a GPU if PyTorch finds one, else the CPU."""

    def __post_init__(self) -> None:
        require_within(self, 0, 65535, "port")
        require_within(self, 0, 2**53, "seed")
        require_within(self, 32, 1024, "size")
        require_psi("psi", self.psi)
        if self.model.suffix == SUFFIX:  # bake is for the models that the page may open later
            require_unused(self, "with an avatar file, which is one person", "seed", "psi")
        if not self.webcam:
            require_unused(self, "without --webcam", "landmark_model")
        if self.out.exists() and not self.out.is_dir():
            raise ConfigError("out", self.out, "a folder, not a file")
