"""Options of ``anifacegan bake``."""

from dataclasses import dataclass, field
from pathlib import Path

from anifacegan.avatars.config import SUFFIX, BakeConfig
from anifacegan.face_model.config import require_psi
from anifacegan.runtime.devices import Device
from anifacegan.runtime.errors import ConfigError, require_unused, require_within
from anifacegan.runtime.limits import LARGEST_SEED
from anifacegan.runtime.output_places import OutputFile


@dataclass(frozen=True)
class BakeCommand:
    """Bake one person of a model into an avatar file (.safetensors), which 'anifacegan render --model FILE' draws in
    real time without the networks. The avatar can show the expressions that it was baked with, and mixtures of these.
    """

    out: OutputFile
    """File to write; its name ends in .safetensors."""
    overwrite: bool = False
    """Replace the file if it is no avatar, or one that somebody has edited. Other avatars are always replaced (those of
    earlier versions have no checksum, so edits of them are not seen), a model's file never."""
    model: Path = Path("checkpoints/demo")
    """Model folder, or the name of a shipped model."""
    seed: int = 1
    """Random seed of the person's latents."""
    latents: Path | None = None
    """An .npz file with z_id and z_noise of one person, used instead of the seed. 'anifacegan render' writes such
    files. null: the seed."""
    expressions: str | tuple[str, ...] | None = None
    """Expressions that the avatar can show: .mat files, or names such as smile=0.7,blink=0.3. null: every named
    expression of the model."""
    psi: float = 0.7
    """Truncation psi of the appearance: 1 shows the full variety of people, 0 the average appearance for everyone."""
    bake: BakeConfig = field(default_factory=BakeConfig)
    """Size of the textures and meshes, and the range of views that the avatar can show."""
    device: Device = "auto"
    """Device that computes. auto: a GPU if PyTorch finds one, else the CPU."""

    def __post_init__(self) -> None:
        if self.out.suffix != SUFFIX:
            raise ConfigError("out", self.out, f"NAME{SUFFIX}")
        require_within(self, 0, LARGEST_SEED, "seed")
        if self.latents is not None:
            require_unused(self, "with --latents", "seed")
        require_psi("psi", self.psi)
