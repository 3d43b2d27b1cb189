"""The configuration of a generator's training run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from anifacegan.data.dataset import DataConfig
from anifacegan.geometry.cameras import FOV_DEG
from anifacegan.geometry.conventions import BACKGROUND_Z
from anifacegan.geometry.rasterization.rasterizer import Backend
from anifacegan.models.discriminator import DiscriminatorConfig
from anifacegan.models.generator import GeneratorConfig
from anifacegan.runtime.devices import Device
from anifacegan.runtime.errors import ConfigError, require_at_least
from anifacegan.training.adversarial import AdversarialConfig
from anifacegan.training.image_imitation import require_network
from anifacegan.training.initialization import ManifoldInitConfig, PriorConfig
from anifacegan.training.schedule import Schedule
from anifacegan.training.weights import AdversarialWeights, LossWeights


@dataclass(frozen=True)
class Reporting:
    """Intervals of logs, previews and snapshots."""

    log_every: int = 50
    """Steps between two lines of stats.jsonl."""
    preview_every: int = 1000
    """Steps between two sets of preview images and held-out errors."""
    preview_size: int = 128
    """Height in pixels of the images of held-out faces in preview.png."""
    sheet_size: int = 64
    """Height in pixels of the images on the contact sheets of people, expressions and views."""
    snapshot_every: int = 500
    """Steps between two snapshots."""
    keep_snapshots: int = 2
    """Number of newest snapshots to keep."""
    held_out: int = 64
    """Number of images at the end of the data set that are not trained on."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, *vars(self))


@dataclass(frozen=True)
class TrainConfig:
    """Train a generator. All options with their values are written to config.yaml in the run folder."""

    out: Path
    """Run folder for snapshots, logs and previews; the finished model is written to OUT/model."""
    data: DataConfig
    """Data set of faces with coefficients: synthetic images of the open face model, or photographs, which only the
    stages warm_up_deform and adversarial can learn from."""
    task: Literal["generator"] = "generator"
    """Kind of training run that the file configures."""
    face_model: Path | None = None
    """File of the face model that the coefficients belong to: an open face model or BFM_model_front.mat. null: the open
    face model in the cache."""
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    priors: PriorConfig = field(default_factory=PriorConfig)
    manifold_init: ManifoldInitConfig = field(default_factory=ManifoldInitConfig)
    schedule: Schedule = field(default_factory=Schedule)
    weights: LossWeights = field(default_factory=LossWeights)
    reconstruction: Path | None = None
    """Face reconstruction network of the landmark term: its model folder, or Deep3DFaceRecon's .pth file. Needed where
    weights.landmarks is not 0."""
    rasterizer: Backend = "auto"
    """Rasterizer of the geometry term's mesh. auto: numba on the CPU; on the GPU nvdiffrast, or torch without it."""
    real: DataConfig | None = None
    """Data set of the real images of adversarial training: any faces with coefficients, of which only the poses are
    used. null: the images of data."""
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    adversarial_weights: AdversarialWeights = field(default_factory=AdversarialWeights)
    reporting: Reporting = field(default_factory=Reporting)
    initial_model: Path | None = None
    """Model folder whose weights a new run starts from, instead of fresh weights and fitted priors and manifolds."""
    identity_prior_model: Path | None = None
    """Folder of a finished identity prior (task prior), which a new run uses instead of fitting one."""
    expression_prior_model: Path | None = None
    """Folder of a finished expression prior (task prior), which a new run uses instead of fitting one."""
    device: Device = "auto"
    """Device that trains. auto: a GPU if PyTorch finds one, else the CPU. A run may be resumed on another device."""
    compile: bool = False
    """Compile the fields with torch.compile: the first steps take minutes, the others less time. Where compiling fails,
    training continues without it."""
    threads: int = 0
    """Number of PyTorch's threads; 0: PyTorch's default."""
    name: str = "demo"
    """Name of the finished model in its card."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "threads")
        require_network(self.weights, self.reconstruction)
        manifolds = len(self.generator.manifolds.values())
        if not 0 < self.schedule.near_levels < manifolds:
            raise ConfigError("schedule.near_levels", self.schedule.near_levels, f"1 to {manifolds - 1}")
        for name, of_data in (("fov_deg", FOV_DEG), ("background_z", BACKGROUND_Z)):
            value = getattr(self.generator.ray_sampling, name)
            if value != of_data:
                raise ConfigError(f"generator.ray_sampling.{name}", value, f"{of_data} as in the data")
        warmup, steps = self.adversarial.discriminator_warmup, self.schedule.adversarial
        if steps and warmup >= steps:
            raise ConfigError(
                "adversarial.discriminator_warmup",
                warmup,
                f"less than schedule.adversarial, which is {steps}",
            )
        name, real = ("data", self.data) if self.real is None else ("real", self.real)
        if self.schedule.adversarial and self.discriminator.size != real.size:
            raise ConfigError("discriminator.size", self.discriminator.size, f"{real.size} as {name}.size")

    def image_count(self, step: int) -> int:
        """Return the number of images that a step, counted from 0, learns from; in the warm-up, of faces."""
        if step < self.schedule.warm_up_deform:
            return self.schedule.mesh_faces
        return self.schedule.batch if step < self.schedule.paired_steps else self.adversarial.batch
