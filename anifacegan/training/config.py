"""The configurations of a generator's training run and of a coefficient prior's."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from anifacegan.data.config import DataConfig
from anifacegan.geometry.config import Backend
from anifacegan.geometry.conventions import BACKGROUND_Z, FOV_DEG
from anifacegan.models.config import (
    CoefficientVAEConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    PriorKind,
    ViewSamplingConfig,
)
from anifacegan.runtime.devices import Device
from anifacegan.runtime.errors import ConfigError, require_above, require_at_least
from anifacegan.runtime.output_places import OutputFolder
from anifacegan.training.init_config import AlignmentInitConfig, ManifoldInitConfig, ShadingInitConfig
from anifacegan.training.schedule import Schedule
from anifacegan.training.weights import AdversarialWeights, LossWeights, require_network


@dataclass(frozen=True)
class Split:
    """How many images and rays are rendered at a time with gradients; smaller parts need less memory."""

    images: int = 0
    """Number of images at a time; 0: the whole batch."""
    rays: int = 0
    """Number of rays of an image at a time; 0: all rays. If fewer than all, every image is rendered one extra time."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "images", "rays")


@dataclass(frozen=True)
class DualConfig:
    """Options of dual discrimination: beside each image the discriminator sees normals and a coarse texture of the face
    model's mesh, of the codes that the image was asked for (a real image: of its own .mat file). Not in the paper.
    """

    enabled: bool = False
    """Whether the discriminator sees the mesh."""
    blur: float = 1 / 64
    """Softening of the mesh's image: standard deviation of a Gaussian, in image heights."""
    shift: float = 1 / 32
    """Largest random shift, in image heights, by which image and mesh are moved together before they are shown."""

    def __post_init__(self) -> None:
        require_above(self, 0, "blur")
        require_at_least(self, 0, "shift")
        for name in ("blur", "shift"):
            if getattr(self, name) > 0.25:
                raise ConfigError(name, getattr(self, name), "at most 0.25")


@dataclass(frozen=True)
class AdversarialConfig:
    """Options of adversarial training: batch size, the optimizer steps in an iteration, and learning rates, which are
    constant.
    """

    batch: int = 4
    """Number of real images in each step of the discriminator, and of generated images in each step of every
    network."""
    split: Split = field(default_factory=Split)
    """Parts in which images are rendered with gradients; smaller ones need less memory."""
    views: ViewSamplingConfig = field(default_factory=ViewSamplingConfig)
    """Distribution of the camera poses and expressions of generated faces."""
    view_direction: Literal["locked", "rays"] = "locked"
    """View direction on which colours depend in adversarial training. rays: that of each ray, as in the released
    training configurations; locked: the frontal one, as in every finished model that renders."""
    skip_invisible: bool = False
    """Do not shade points that less than 1/16384 of the light reaches. This halves the time of a step and changes the
    gradients by less than a thousandth. Needs split.images 1."""
    discriminator_warmup: int = 0
    """Number of iterations at the beginning of adversarial training that consist of one optimizer step of the
    discriminator only; schedule.adversarial includes them. An untrained discriminator would harm a generator that is
    already good."""
    deformation_steps: int = 2
    """Number of optimizer steps in each iteration of adversarial training in which the deformation field
    learns from the imitation losses (losses that make generated faces follow the face model). After them come one step
    of the discriminator and one of the template and manifold fields. 0: all fields of the generator learn from all
    losses in one step."""
    image_steps: int = 1
    """How many of the last deformation_steps of an iteration also render images, for the losses 'landmarks' and
    'geometry', if the weight of either is not 0. Such a step costs as much as a step of the
    generator."""
    dual: DualConfig = field(default_factory=DualConfig)
    """Dual discrimination: the discriminator sees the face model's mesh beside each image."""
    paired_rays: int = 0
    """Number of rays of each paired image (a render in the data set, whose latents, pose and surface are known). If
    not 0, each step of the generator also renders the latents of schedule.batch paired images on this many rays each,
    and compares them with these images. Only manifolds near the surface are shaded. The losses are 'colour',
    'silhouette' and 'free_space', with their weights. 0: no paired images. Needs synthetic data."""
    mirror: bool = False
    """Mirror every real image with probability 0.5 when the discriminator sees it, and change the sign of its yaw.
    Camera poses that are drawn from the data are mirrored as often."""
    r1_every: int = 1
    """Interval N of the R1 penalty. The penalty is computed in every N-th discriminator step and multiplied by N, so
    that its mean strength does not depend on N."""
    lr_generator: float = 2e-5
    """Learning rate of the generator's fields."""
    lr_planes: float = 5e-4
    """Learning rate of the template's feature planes; higher than the networks', because few rays read a texel."""
    lr_discriminator: float = 2e-4
    """Learning rate of the discriminator."""
    gradient_limit: float = 0.3
    """Largest joint norm of the gradients of all the generator's fields, and of the discriminator's; larger gradients
    are scaled down to this norm."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "batch", "r1_every")
        require_at_least(self, 0, "discriminator_warmup", "deformation_steps", "image_steps", "paired_rays")
        require_above(self, 0, "lr_generator", "lr_planes", "lr_discriminator", "gradient_limit")
        if self.skip_invisible and self.split.images != 1:
            one = "1 with skip_invisible: visibility is found out one image at a time"
            raise ConfigError("split.images", self.split.images, one)

    def r1_factor(self, number: int) -> float:
        """Return the factor on the R1 penalty in discriminator step ``number``, counted from 0.

        The factor is r1_every in every r1_every-th step, and 0 in the others, in which the penalty is not computed.
        """
        return float(self.r1_every) if number % self.r1_every == 0 else 0.0


@dataclass(frozen=True)
class PriorConfig:
    """Options for fitting the VAEs of identity and expression coefficients."""

    steps: int = 2000
    """Number of optimizer steps for each VAE."""
    batch: int = 256
    """Number of faces in each step."""
    lr: float = 1e-4
    """Learning rate of Adam at the first step; it falls to 0 as half a cosine."""
    noise_variance: float = 0.03
    """Variance of the decoder's Gaussian likelihood, for coefficients scaled to variance 1; with a larger value the VAE
    loses more detail."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "steps", "batch")
        require_above(self, 0, "lr", "noise_variance")


@dataclass(frozen=True)
class PriorRun:
    """Fit a coefficient prior. All options with their values are written to config.yaml in the run folder."""

    out: OutputFolder
    """Run folder for the configuration; the finished prior is written to OUT/model."""
    data: DataConfig
    """Data set of faces, of which only the coefficients are used."""
    kind: PriorKind
    """Coefficients that the prior describes: identity or expression."""
    task: Literal["prior"] = "prior"
    """Kind of network that is trained: here a coefficient prior."""
    network: CoefficientVAEConfig = field(default_factory=CoefficientVAEConfig)
    """Sizes of the VAE's networks."""
    priors: PriorConfig = field(default_factory=PriorConfig)
    """How the VAE is fitted; the same options as in a generator's run."""
    seed: int = 0
    """Random seed of weights and batches."""
    threads: int = 0
    """Number of threads that PyTorch uses; 0: PyTorch's default."""
    name: str = "prior"
    """Name of the finished prior, written to its card.yaml."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "seed", "threads")


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
    """Train a generator. All options with their values are written to config.yaml in the run folder. Lengths are in
    world units, of which 1 counts as 1 m.
    """

    out: OutputFolder
    """Run folder for snapshots, logs and previews; the finished model is written to OUT/model."""
    data: DataConfig
    """Data set of faces with coefficients: synthetic images of the open face model, or photographs. Only the stages
    warm_up_deform and adversarial can learn from photographs."""
    task: Literal["generator"] = "generator"
    """Kind of network that is trained. This help lists the options of a generator. The other kinds are reconstruction
    (a face regressor) and prior (of identity or expression); 'anifacegan train --task reconstruction --help' and
    '--task prior --help' list their options."""
    face_model: Path | None = None
    """File of the face model that the coefficients belong to: an open face model or BFM_model_front.mat. null: the open
    face model in the cache."""
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    """Networks of the generator, and how its rays are sampled."""
    priors: PriorConfig = field(default_factory=PriorConfig)
    """How the VAEs of identity and expression coefficients are fitted before the first step."""
    manifold_init: ManifoldInitConfig = field(default_factory=ManifoldInitConfig)
    """How the radiance manifolds are fitted to their first shape before the first step."""
    alignment_init: AlignmentInitConfig = field(default_factory=AlignmentInitConfig)
    """How the alignment field is fitted to the face model before the first step."""
    shading_init: ShadingInitConfig = field(default_factory=ShadingInitConfig)
    """How the shading field is fitted to the light of synthetic people before the first step."""
    schedule: Schedule = field(default_factory=Schedule)
    """Stages of training, batch sizes and learning rates."""
    weights: LossWeights = field(default_factory=LossWeights)
    """Factors of two kinds of losses. Losses on paired images (renders with known latents and surface) compare with the
    renders. Imitation losses make faces follow the face model; they are used before and in adversarial training."""
    reconstruction: Path | None = None
    """Face reconstruction network (a network from an image to face coefficients) of the loss 'landmarks': its model
    folder, or Deep3DFaceRecon's .pth file. Required if weights.landmarks is not 0."""
    rasterizer: Backend = "auto"
    """Rasterizer that draws the face model's mesh for the loss 'geometry'. auto: numba on the CPU; on the GPU
    nvdiffrast, or torch where nvdiffrast is not installed."""
    real: DataConfig | None = None
    """Data set of the real images of adversarial training: any faces with .mat files, of which only the poses are
    used, or with camera poses in EG3D's dataset.json. null: the images of the option data."""
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    """Image size and network widths of the discriminator."""
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    """Batch size, steps and learning rates of adversarial training."""
    adversarial_weights: AdversarialWeights = field(default_factory=AdversarialWeights)
    """Factors of the losses of generator and discriminator in adversarial training."""
    reporting: Reporting = field(default_factory=Reporting)
    """How often logs, previews and snapshots are written."""
    initial_model: Path | None = None
    """Model folder whose weights a new run starts from. null: random weights, and newly fitted priors and
    manifolds."""
    identity_prior_model: Path | None = None
    """Folder of a finished identity prior ('anifacegan train --task prior'), which a new run uses instead of fitting
    one."""
    expression_prior_model: Path | None = None
    """Folder of a finished expression prior ('anifacegan train --task prior'), which a new run uses instead of fitting
    one."""
    device: Device = "auto"
    """Device that trains. auto: a GPU if PyTorch finds one, else the CPU. A run may be resumed on another device."""
    tf32: bool = False
    """Let GPUs round the inputs of float32 matrix products and convolutions to 10 bits (TF32): faster, but sine phases
    and head poses lose digits. With schedule.precision bfloat16 only coordinates, mapping networks, manifold levels and
    the discriminator are in float32."""
    compile: bool = False
    """Compile the fields with torch.compile: the first steps then take minutes, all later ones less time. Where
    compiling fails, training continues without it."""
    threads: int = 0
    """Number of threads that PyTorch uses; 0: PyTorch's default."""
    name: str = "demo"
    """Name of the finished model, written to its card.yaml."""
    plan: bool = False
    """Print the memory, operations and estimated time of every stage on one and on eight A100 and H100 GPUs, and exit.
    Needs neither a GPU nor the data set, the face model and the network R."""
    view: bool = False
    """Show the newest snapshot in a browser while training; the page's address is printed. The viewer, as 'anifacegan
    view' starts it, is a process of its own with low priority. Needs the extra viewer."""

    def __post_init__(self) -> None:
        require_at_least(self, 0, "threads")
        require_network(self.weights, self.reconstruction)
        manifolds = self.generator.manifolds.manifold_count
        if not 0 < self.schedule.near_levels < manifolds:
            raise ConfigError("schedule.near_levels", self.schedule.near_levels, f"1 to {manifolds - 1}")
        for name, of_data in (("fov_deg", FOV_DEG), ("background_z", BACKGROUND_Z)):
            value = getattr(self.generator.ray_sampling, name)
            if value != of_data:
                raise ConfigError(f"generator.ray_sampling.{name}", value, f"{of_data} as in the data")
        if self.weights.plane_variation and self.generator.template.planes is None:
            raise ConfigError(
                "weights.plane_variation", self.weights.plane_variation, "0 without generator.template.planes"
            )
        warmup, steps = self.adversarial.discriminator_warmup, self.schedule.adversarial
        if steps and warmup >= steps:
            raise ConfigError(
                "adversarial.discriminator_warmup",
                warmup,
                f"less than schedule.adversarial, which is {steps}",
            )
        if self.adversarial.dual.enabled and self.real is not None:
            other = "false with the option real: its coefficients may be of another face model"
            raise ConfigError("adversarial.dual.enabled", True, other)
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
