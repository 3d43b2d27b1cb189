"""Stages, batch sizes and learning rates of a generator's training."""

from dataclasses import dataclass
from typing import Literal

from anifacegan.losses.config import CONFIDENCE_RADIUS
from anifacegan.runtime.errors import ConfigError, require_above, require_at_least

Precision = Literal["float32", "bfloat16", "auto"]
"""Precision of matrix products and convolutions. bfloat16 is faster on hardware that supports it, slower elsewhere;
auto is bfloat16 on such hardware and float32 elsewhere."""


Stage = Literal["warm_up_deform", "near_surface", "complete", "adversarial"]
"""The stages of training in their order, which :mod:`anifacegan.training.loop` describes."""


@dataclass(frozen=True)
class Schedule:
    """Number of steps of each stage, batch sizes, learning rates."""

    seed: int = 0
    """Random seed of everything that training draws at random."""
    warm_up_deform: int = 2000
    """Number of steps of the stage 'warm_up_deform', the first: only the deformation field learns, from the face
    model's mesh."""
    near_surface: int = 10_000
    """Number of steps of the stage 'near_surface': the template also learns, from paired images (renders with known
    latents and surface), and only the manifolds near the known surface are shaded."""
    complete: int = 3000
    """Number of steps of the stage 'complete': all fields learn from paired images (renders with known latents and
    surface), and every manifold on a ray is shaded, not only those near the surface."""
    adversarial: int = 0
    """Number of iterations of the stage 'adversarial', the last: the generator learns against a discriminator. An
    iteration counts as one step of the run, but takes several optimizer steps, see the option
    adversarial.deformation_steps."""
    batch: int = 24
    """Number of paired images (renders with known latents and surface) in each step."""
    rays: int = 128
    """Number of rays that are rendered of each paired image in a step."""
    near_levels: int = 4
    """Number of manifolds nearest to the known surface that are shaded on each ray in the stage near_surface. In
    addition, up to two random manifolds in front of the surface are shaded."""
    near_samples: int = 24
    """Number of samples on a ray, between which the manifolds are searched, in the stage near_surface."""
    complete_samples: int = 0
    """Number of samples on a ray in the stage 'complete'; a manifold is found where its level lies between two
    neighbouring samples. 0: generator.ray_sampling.samples, as in the finished model."""
    mesh_faces: int = 16
    """Number of faces in each step whose meshes the deformation field learns to imitate."""
    mesh_points: int = 384
    """Number of mesh vertices that are drawn in each step; all faces of the step have the same vertices."""
    mesh_offset: float = 0.0
    """Largest distance, along the vertex normal, between a vertex and the training point that is drawn for it, world
    units; 0: the points are the vertices. In the loss L_3DMM (weights.deformation), the weight of a point falls with
    its own distance from the vertex, and is 0 from 0.00316 on."""
    prior_faces: int = 0
    """Number of faces that are sampled from the priors once, at the start; the deformation learns to imitate their
    meshes as it does those of the data. 0: none. Adversarial training generates faces from the priors, whose
    expressions differ from those of the data."""
    prior_share: float = 0.5
    """Probability with which each of the mesh_faces of a step is taken from the prior_faces, not from the data; from 0
    to 1."""
    lr_template: float = 5e-4
    """Learning rate of the template at its highest. It rises linearly in the first 200 steps after the stage
    warm_up_deform, then falls as half a cosine to 0.03 times this value at the end of the stage complete."""
    lr_planes: float = 1e-2
    """Learning rate of the template's feature planes at its highest; it rises and falls as lr_template does. A texel is
    read by few rays and needs larger steps than the weights of a network."""
    lr_shading: float = 1e-3
    """Learning rate of the shading field at its highest; it rises and falls as lr_template does."""
    lr_deformation: float = 1e-3
    """Learning rate of the deformation at its highest. It rises linearly in the first tenth of the stage warm_up_deform
    (200 steps at most), falls as half a cosine to 0.3 times this value at the end of the stage, then to 0.03 times this
    value at the end of the stage complete."""
    lr_manifolds: float = 5e-5
    """Learning rate of the manifolds at the first step of the stage complete. It falls as half a cosine to 0.03 times
    this value at the end of the stage. The manifolds do not learn in the stages before."""
    adam_betas: tuple[float, float] = (0.9, 0.99)
    """Decay per step of Adam's moving averages of the gradient and of its square, before adversarial training. The
    second is 0.99, not Adam's usual 0.999, so that the averages of a texel of the feature planes that no ray has read
    for some hundred steps have decayed to about 0."""
    gradient_limit: float = 1.0
    """Largest norm of the gradient of each field; a larger gradient is scaled down to this norm."""
    precision: Precision = "float32"
    """Precision of matrix products in the fields' hidden layers. Coordinates, mapping networks, manifold levels and the
    discriminator are always float32. bfloat16 is faster on hardware that multiplies it (GPUs; CPUs with AMX or
    AVX-512 BF16), and slower elsewhere; auto: bfloat16 on such hardware, float32 elsewhere."""
    average_decay: float = 0.999
    """Decay per step of the moving average of the weights; the finished model has the averaged weights."""
    slow_average_decay: float = 0.0
    """Decay per step of a second, slower moving average, which snapshots keep beside the first ('anifacegan export
    snapshot --average slow' makes a model of it); 0: no second average."""
    left_out_limit: int = 0
    """Number of optimizer steps in a row that may be left out because a loss or a gradient is not finite, as happens
    in bfloat16 now and then; one more ends the run. 0: the first one ends it."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "batch", "rays", "near_levels", "mesh_faces", "mesh_points")
        require_at_least(self, 0, "warm_up_deform", "near_surface", "complete", "adversarial")
        require_at_least(self, 0, "seed", "average_decay", "mesh_offset", "prior_faces", "prior_share")
        require_at_least(self, 0, "slow_average_decay", "left_out_limit")
        if self.prior_share > 1:
            raise ConfigError("prior_share", self.prior_share, "0 to 1")
        if self.mesh_offset > CONFIDENCE_RADIUS:
            raise ConfigError("mesh_offset", self.mesh_offset, f"at most {CONFIDENCE_RADIUS:.5f}")
        require_at_least(self, 2, "near_samples")
        if self.complete_samples:
            require_at_least(self, 2, "complete_samples")
        require_above(self, 0, "lr_template", "lr_planes", "lr_shading", "lr_deformation", "lr_manifolds")
        require_above(self, 0, "gradient_limit")
        if not all(0 <= beta < 1 for beta in self.adam_betas):
            raise ConfigError("adam_betas", self.adam_betas, "two numbers from 0 to less than 1")
        for name in ("average_decay", "slow_average_decay"):
            if getattr(self, name) >= 1:
                raise ConfigError(name, getattr(self, name), "less than 1")

    @property
    def paired_steps(self) -> int:
        """Number of steps before adversarial training."""
        return self.warm_up_deform + self.near_surface + self.complete

    @property
    def steps(self) -> int:
        """Number of steps of all stages together."""
        return self.paired_steps + self.adversarial

    def stage(self, step: int) -> Stage:
        """Return the stage (warm_up_deform, near_surface, complete or adversarial) that a step, counted from 0, belongs
        to.
        """
        if step < self.warm_up_deform:
            return "warm_up_deform"
        if step < self.warm_up_deform + self.near_surface:
            return "near_surface"
        return "complete" if step < self.paired_steps else "adversarial"
