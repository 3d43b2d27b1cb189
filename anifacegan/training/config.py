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
    """Number of steps between two lines of stats.jsonl."""
    preview_every: int = 1000
    """Number of steps between two sets of preview images, each with the error on held-out images."""
    preview_size: int = 128
    """Height in pixels of the images of held-out faces in preview.png."""
    sheet_size: int = 64
    """Height in pixels of the images on the contact sheets of people, expressions and views."""
    snapshot_every: int = 500
    """Number of steps between two snapshots."""
    keep_snapshots: int = 2
    """Number of snapshots to keep, the newest ones."""
    held_out: int = 64
    """Number of images at the end of the data set that training never uses; the previews show them."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, *vars(self))


@dataclass(frozen=True)
class TrainConfig:
    """Train a generator. All options with their values are written to config.yaml in the run folder."""

    out: Path
    """Run folder for snapshots, logs and previews; the finished model is written to OUT/model."""
    data: DataConfig
    """Data set of faces with coefficients: synthetic images of the open face model, or photographs. Only the stages
    warm_up_deform and adversarial can learn from photographs."""
    task: Literal["generator"] = "generator"
    """Kind of training run that this file configures. 'anifacegan train' takes two other kinds, reconstruction and
    prior, which have options of their own."""
    face_model: Path | None = None
    """File of the face model that the coefficients belong to: an open face model or BFM_model_front.mat. null: the open
    face model in the cache."""
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    """Networks of the generator, and how its rays are sampled."""
    priors: PriorConfig = field(default_factory=PriorConfig)
    """How the VAEs of identity and expression coefficients are fitted before the first step."""
    manifold_init: ManifoldInitConfig = field(default_factory=ManifoldInitConfig)
    """How the radiance manifolds are fitted to their first shape before the first step."""
    schedule: Schedule = field(default_factory=Schedule)
    """Stages of training, batch sizes and learning rates."""
    weights: LossWeights = field(default_factory=LossWeights)
    """Factors of the losses on paired images and of the imitation losses."""
    reconstruction: Path | None = None
    """Face reconstruction network (a network from an image to face coefficients) of the loss landmarks: its model
    folder, or Deep3DFaceRecon's .pth file. Needed where weights.landmarks is not 0."""
    rasterizer: Backend = "auto"
    """Rasterizer that draws the face model's mesh for the loss geometry. auto: numba on the CPU; on the GPU nvdiffrast,
    or torch where nvdiffrast is not installed."""
    real: DataConfig | None = None
    """Data set of the real images of adversarial training: any faces with coefficients, of which only the poses are
    used. null: the images of the option data."""
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    """Image size and network widths of the discriminator."""
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    """Batch size, steps and learning rates of adversarial training."""
    adversarial_weights: AdversarialWeights = field(default_factory=AdversarialWeights)
    """Factors of the losses of generator and discriminator in adversarial training."""
    reporting: Reporting = field(default_factory=Reporting)
    """How often logs, previews and snapshots are written."""
    initial_model: Path | None = None
    """Model folder whose weights a new run starts from, instead of random weights and newly fitted priors and
    manifolds."""
    identity_prior_model: Path | None = None
    """Folder of a finished identity prior ('anifacegan train --task prior'), which a new run uses instead of fitting
    one."""
    expression_prior_model: Path | None = None
    """Folder of a finished expression prior ('anifacegan train --task prior'), which a new run uses instead of fitting
    one."""
    device: Device = "auto"
    """Device that trains. auto: a GPU if PyTorch finds one, else the CPU. A run may be resumed on another device."""
    compile: bool = False
    """Compile the fields with torch.compile: the first steps then take minutes, all later ones less time. Where
    compiling fails, training continues without it."""
    threads: int = 0
    """Number of threads that PyTorch uses; 0: PyTorch's default."""
    name: str = "demo"
    """Name of the finished model, written to its card.yaml."""

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
        """Return the number of images that a step, counted from 0, learns from; in the stage warm_up_deform, the number
        of faces.
        """
        if step < self.schedule.warm_up_deform:
            return self.schedule.mesh_faces
        return self.schedule.batch if step < self.schedule.paired_steps else self.adversarial.batch
