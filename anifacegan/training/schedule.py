"""Stages, batch sizes and learning rates of a generator's training."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch.optim.lr_scheduler import LambdaLR

from anifacegan.losses.mesh_points import CONFIDENCE_RADIUS
from anifacegan.runtime.errors import ConfigError, require_above, require_at_least
from anifacegan.training.optim import Precision, cosine_decay, scheduled

Stage = Literal["warm_up_deform", "near_surface", "complete", "adversarial"]
"""The stages of training in their order, which :mod:`anifacegan.training.loop` describes."""


@dataclass(frozen=True)
class Schedule:
    """Number of steps of each stage, batch sizes, learning rates."""

    seed: int = 0
    """Random seed of everything that training draws at random."""
    warm_up_deform: int = 2000
    """Number of steps of the stage 'warm_up_deform', the first: only the deformation field and the alignment learn,
    from the face model's mesh."""
    near_surface: int = 10_000
    """Number of steps of the stage 'near_surface': the template also learns, from paired images (renders with known
    latents and surface), and only the manifolds near the known surface are shaded."""
    complete: int = 3000
    """Number of steps of the stage 'complete': all fields learn from paired images (renders with known latents and
    surface), and every manifold on a ray is shaded, not only those near the surface."""
    adversarial: int = 0
    """Number of steps of the stage 'adversarial', the last: the generator learns against a discriminator."""
    batch: int = 24
    """Number of paired images (renders with known latents and surface) in each step."""
    rays: int = 128
    """Number of rays that are rendered of each paired image in a step."""
    near_levels: int = 4
    """Number of manifolds nearest to the known surface that are shaded on each ray in the stage near_surface; one more
    is shaded in front of the surface."""
    near_samples: int = 24
    """Number of samples on a ray, between which the manifolds are searched, in the stage near_surface."""
    complete_samples: int = 0
    """Number of samples on a ray in the stage 'complete'; a manifold is found where its level lies between two
    neighbouring samples. 0: generator.ray_sampling.samples, as in the finished model."""
    mesh_faces: int = 16
    """Number of faces in each step whose meshes the deformation learns to imitate."""
    mesh_points: int = 384
    """Number of mesh vertices that are drawn in each step; all faces of the step have the same vertices."""
    mesh_offset: float = 0.0
    """Largest distance, along the vertex normal, between a vertex and the training point that is drawn for it, world
    units; 0: the points are the vertices. In the paper, a point's weight reaches 0 at the distance 0.00316."""
    prior_faces: int = 0
    """Number of faces that are sampled from the priors once, at the start; the deformation learns to imitate their
    meshes as it does those of the data. 0: none. Adversarial training generates faces from the priors, whose
    expressions differ from those of the data."""
    prior_share: float = 0.5
    """Probability with which each of the mesh_faces of a step is taken from the prior_faces, not from the data; from 0
    to 1."""
    lr_template: float = 5e-4
    """Learning rate of the template at its highest."""
    lr_deformation: float = 1e-3
    """Learning rate of deformation and alignment at its highest; after the stage warm_up_deform it starts again at 0.3
    times this value."""
    lr_manifolds: float = 5e-5
    """Learning rate of the manifolds at its highest; before adversarial training they learn in the stage complete
    only."""
    gradient_limit: float = 1.0
    """Largest norm of the gradient of each field; a larger gradient is scaled down to this norm."""
    precision: Precision = "float32"
    """Precision of matrix products in the fields' hidden layers. Coordinates, mapping networks, manifold levels and the
    discriminator are always float32. bfloat16 is up to twice as fast on hardware that supports it, and slower
    elsewhere."""
    average_decay: float = 0.999
    """Decay per step of the moving average of the weights; the finished model has the averaged weights."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "batch", "rays", "near_levels", "mesh_faces", "mesh_points")
        require_at_least(self, 0, "warm_up_deform", "near_surface", "complete", "adversarial")
        require_at_least(self, 0, "seed", "average_decay", "mesh_offset", "prior_faces", "prior_share")
        if self.prior_share > 1:
            raise ConfigError("prior_share", self.prior_share, "0 to 1")
        if self.mesh_offset > CONFIDENCE_RADIUS:
            raise ConfigError("mesh_offset", self.mesh_offset, f"at most {CONFIDENCE_RADIUS:.5f}")
        require_at_least(self, 2, "near_samples")
        if self.complete_samples:
            require_at_least(self, 2, "complete_samples")
        require_above(self, 0, "lr_template", "lr_deformation", "lr_manifolds", "gradient_limit")
        if self.average_decay >= 1:
            raise ConfigError("average_decay", self.average_decay, "less than 1")

    @property
    def paired_steps(self) -> int:
        """Number of steps before adversarial training."""
        return self.warm_up_deform + self.near_surface + self.complete

    @property
    def steps(self) -> int:
        """Number of steps of all stages together."""
        return self.paired_steps + self.adversarial

    def stage(self, step: int) -> Stage:
        """Return the stage that a step, counted from 0, belongs to."""
        if step < self.warm_up_deform:
            return "warm_up_deform"
        if step < self.warm_up_deform + self.near_surface:
            return "near_surface"
        return "complete" if step < self.paired_steps else "adversarial"


def learning_rates(optimizer: torch.optim.Optimizer, schedule: Schedule, step: int) -> LambdaLR:
    """Return a scheduler of the learning rates of all fields for the stages before adversarial training, beginning at
    ``step``.

    The rate of each field falls as half a cosine over the steps in which the field learns; the template's first rises
    for 200 steps.
    """

    def deformation(step: int) -> float:
        if step < schedule.warm_up_deform:
            return cosine_decay((step + 1) / schedule.warm_up_deform, floor=0.3)
        return 0.3 * cosine_decay(after_warm_up(step), floor=0.1)

    def template(step: int) -> float:
        ramp = min(1.0, max(0.0, (step - schedule.warm_up_deform + 1) / 200))
        return ramp * cosine_decay(after_warm_up(step), floor=0.03)

    def manifolds(step: int) -> float:
        complete_steps = step - schedule.warm_up_deform - schedule.near_surface + 1
        return cosine_decay(max(0.0, complete_steps / (schedule.complete + 1)), floor=0.03)

    def after_warm_up(step: int) -> float:
        return (step - schedule.warm_up_deform + 1) / (schedule.paired_steps - schedule.warm_up_deform + 1)

    rates = {
        "template": schedule.lr_template,
        "deformation": schedule.lr_deformation,
        "alignment": schedule.lr_deformation,
        "manifolds": schedule.lr_manifolds,
    }
    factors = {
        "template": template,
        "deformation": deformation,
        "alignment": deformation,
        "manifolds": manifolds,
    }
    return scheduled(optimizer, rates, factors, step)
