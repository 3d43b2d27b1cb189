"""The configuration of a face reconstruction network's training run."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from anifacegan.data.config import AugmentationConfig, DataConfig
from anifacegan.models.config import FaceRegressorConfig
from anifacegan.runtime.devices import Device
from anifacegan.runtime.errors import require_above, require_at_least
from anifacegan.runtime.output_places import OutputFolder
from anifacegan.training.schedule import Precision


@dataclass(frozen=True)
class ReconstructionWeights:
    """Factors of the losses of a face reconstruction network; 0 switches a loss off."""

    id: float = 0.5
    """Factor of the squared error of identity coefficients, in standard deviations."""
    exp: float = 1.0
    """Factor of the squared error of expression coefficients, in standard deviations."""
    tex: float = 0.25
    """Factor of the squared error of texture coefficients, in standard deviations."""
    angle: float = 2.0
    """Factor of the squared error of the head's angles, in standard deviations."""
    gamma: float = 0.5
    """Factor of the squared error of lighting coefficients, in standard deviations."""
    trans: float = 0.25
    """Factor of the squared error of the head's translation, in standard deviations."""
    landmarks: float = 0.2
    """Factor of the mean absolute error of the landmarks in x and y, in pixels of an image of 128 px."""
    effect_exponent: float = 0.0
    """Weights the coefficients of id, exp and tex among each other by how much they change the face model's mesh, to
    this power. 0: all count alike, also those that nobody can see."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, *vars(self))


@dataclass(frozen=True)
class ReconstructionSchedule:
    """Number of steps, batch size and learning rate of a face reconstruction network's training."""

    seed: int = 0
    """Random seed of weights, batches and augmentations."""
    steps: int = 2000
    """Number of steps."""
    batch: int = 64
    """Number of images in each step."""
    lr: float = 2e-3
    """Learning rate at its highest, after warm_up steps; then it falls as half a cosine to a hundredth of this
    value."""
    warm_up: int = 100
    """Number of steps at the start in which the learning rate rises linearly."""
    weight_decay: float = 1e-2
    """Weight decay of AdamW."""
    gradient_limit: float = 5.0
    """Largest norm of the gradient; a larger gradient is scaled down to this norm."""
    precision: Precision = "float32"
    """Precision of the backbone's convolutions. bfloat16 is faster on hardware that supports it, slower elsewhere;
    auto: bfloat16 on such hardware, float32 elsewhere."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "steps", "seed", "weight_decay")
        require_at_least(self, 1, "warm_up")
        require_at_least(self, 2, "batch")
        require_above(self, 0, "lr", "gradient_limit")


@dataclass(frozen=True)
class ReconstructionReporting:
    """Intervals of logs, measurements and snapshots."""

    log_every: int = 50
    """Number of steps between two lines of stats.jsonl."""
    report_every: int = 500
    """Number of steps between two measurements on held-out images."""
    snapshot_every: int = 500
    """Number of steps between two snapshots."""
    keep_snapshots: int = 2
    """Number of snapshots to keep, the newest ones."""
    held_out: int = 512
    """Number of images at the end of the data set that training never uses."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, *vars(self))


@dataclass(frozen=True)
class ReconstructionRun:
    """Train a face reconstruction network. All options are written to config.yaml in the run folder."""

    out: OutputFolder
    """Run folder for snapshots and logs; the finished model is written to OUT/model."""
    data: DataConfig
    """Data set of synthetic images with exact coefficients."""
    task: Literal["reconstruction"] = "reconstruction"
    """Kind of network that is trained: here a face reconstruction network."""
    face_model: Path | None = None
    """File of the face model that the coefficients belong to: an open face model or BFM_model_front.mat. null: the open
    face model in the cache."""
    initial_model: Path | None = None
    """Folder of a finished network whose weights a new run starts from; both need the same network options. null:
    random weights."""
    network: FaceRegressorConfig = field(default_factory=FaceRegressorConfig)
    """Architecture of the network, and the camera that its coefficients belong to."""
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    """How the training images are changed at random in every step."""
    schedule: ReconstructionSchedule = field(default_factory=ReconstructionSchedule)
    """Number of steps, batch size and learning rate."""
    weights: ReconstructionWeights = field(default_factory=ReconstructionWeights)
    """Factors of the losses."""
    reporting: ReconstructionReporting = field(default_factory=ReconstructionReporting)
    """How often logs, measurements and snapshots are written."""
    device: Device = "auto"
    """Device that trains. auto: a GPU if PyTorch finds one, else the CPU. A run may be resumed on another device."""
    tf32: bool = False
    """Let GPUs round the inputs of float32 matrix products and convolutions to 10 bits (TF32)."""
    threads: int = 0
    """Number of threads that PyTorch uses; 0: PyTorch's default."""
    name: str = "reconstruction"
    """Name of the finished model, written to its card.yaml."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "threads")

    def image_count(self, step: int) -> int:
        """Return the number of images that a step learns from."""
        return self.schedule.batch
