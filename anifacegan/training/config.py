"""The configuration of a training run: composes what the modules own."""

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
from anifacegan.runtime.errors import require_at_least
from anifacegan.training.adversarial import AdversarialConfig
from anifacegan.training.adversarial_gradients import AdversarialWeights
from anifacegan.training.image_imitation import require_network
from anifacegan.training.initialization import ManifoldInitConfig, PriorConfig
from anifacegan.training.loop import LossWeights, Schedule


@dataclass(frozen=True)
class Reporting:
    """What a run leaves behind, and when."""

    log_every: int = 50
    """Steps between two lines of stats.jsonl."""
    preview_every: int = 1000
    """Steps between two preview images and held-out errors."""
    preview_size: int = 128
    """Height of a preview's images in pixels."""
    sheet_size: int = 64
    """The same of the sheets of people, expressions and views."""
    snapshot_every: int = 500
    """Steps between two snapshots."""
    keep_snapshots: int = 2
    """How many snapshots are kept."""
    held_out: int = 64
    """Images at the end of the data set that training never sees."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, *vars(self))


@dataclass(frozen=True)
class TrainConfig:
    """Everything about a run. The resolved values are written to the run folder."""

    out: Path
    """Run folder: snapshots, logs, previews, and the finished model in OUT/model."""
    data: DataConfig
    """Faces with coefficients: synthetic images of the open face model, or photographs, from which only the stages
    ``warm_up_deform`` and ``adversarial`` learn."""
    task: Literal["generator"] = "generator"
    """Kind of training run that the file configures."""
    face_model: Path | None = None
    """File of the face model that the data's coefficients are of: the open one, or BFM_model_front.mat. Empty: the open
    one in the cache."""
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    priors: PriorConfig = field(default_factory=PriorConfig)
    manifold_init: ManifoldInitConfig = field(default_factory=ManifoldInitConfig)
    schedule: Schedule = field(default_factory=Schedule)
    weights: LossWeights = field(default_factory=LossWeights)
    reconstruction: Path | None = None
    """Face reconstruction network of the landmark term: its model folder. Empty: weights.landmarks has to be 0."""
    rasterizer: Backend = "auto"
    """What draws the mesh of the geometry term. auto: numba on the CPU; on the GPU nvdiffrast, or torch without it."""
    real: DataConfig | None = None
    """Images that the adversarial steps learn from: any faces with coefficients, FFHQ-style ones too, of which only
    the poses are used. Empty: those of ``data``."""
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    adversarial_weights: AdversarialWeights = field(default_factory=AdversarialWeights)
    reporting: Reporting = field(default_factory=Reporting)
    initial_model: Path | None = None
    """Model folder whose weights a new run starts from, in place of fresh ones and of the warm start."""
    identity_prior_model: Path | None = None
    """Folder of a finished prior of identities (task: prior), which a new run takes in place of a fitted one."""
    expression_prior_model: Path | None = None
    """The same of expressions."""
    device: Device = "auto"
    """Where the networks learn. auto: the GPU where PyTorch sees one. A run may go on elsewhere than it began."""
    compile: bool = False
    """Compile the fields (torch.compile): the first steps take minutes, the others less time. Where that fails a line
    says so, and the run goes on without."""
    threads: int = 0
    """Threads of PyTorch; 0 leaves the choice to it."""
    name: str = "demo"
    """Name of the finished model, for its card."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "threads")
        require_network(self.weights, self.reconstruction)
        manifolds = len(self.generator.manifolds.values())
        if not 0 < self.schedule.near_levels < manifolds:
            raise ValueError(
                f"schedule.near_levels is {self.schedule.near_levels}, expected 1 to {manifolds - 1}"
            )
        for name, drawn_with in (("fov_deg", FOV_DEG), ("background_z", BACKGROUND_Z)):
            value = getattr(self.generator.ray_sampling, name)
            if value != drawn_with:
                raise ValueError(
                    f"generator.ray_sampling.{name} is {value}, expected {drawn_with}: the data are drawn so"
                )
        lead, game = self.adversarial.discriminator_warmup, self.schedule.adversarial
        if game and lead >= game:
            raise ValueError(
                f"adversarial.discriminator_warmup is {lead}, expected less than schedule.adversarial, which is {game}"
            )
        name, real = ("data", self.data) if self.real is None else ("real", self.real)
        if self.schedule.adversarial and self.discriminator.size != real.size:
            raise ValueError(
                f"discriminator.size is {self.discriminator.size}, expected {real.size} as {name}.size"
            )

    def images(self, step: int) -> int:
        """That the step after so many learns from; faces, where it looks at meshes alone."""
        if step < self.schedule.warm_up_deform:
            return self.schedule.mesh_faces
        return self.schedule.batch if step < self.schedule.paired_steps else self.adversarial.batch
