"""Stages, batch sizes and learning rates of a generator's training."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch.optim.lr_scheduler import LambdaLR

from anifacegan.losses.mesh_points import CONFIDENCE_RADIUS
from anifacegan.runtime.errors import ConfigError, require_above, require_at_least
from anifacegan.training.optim import Precision, cosine_decay, scheduled

Stage = Literal["warm_up_deform", "near_surface", "complete", "adversarial"]
"""The stages of training in their order; :mod:`anifacegan.training.loop` describes them."""


@dataclass(frozen=True)
class Schedule:
    """Steps of each stage, batch sizes, learning rates."""

    seed: int = 0
    """Random seed of everything that training draws."""
    warm_up_deform: int = 2000
    """Steps in which only the deformation field and the alignment learn, from the face model's mesh."""
    near_surface: int = 10_000
    """Steps that also teach the template on paired images, shading only the manifolds near the known surface."""
    complete: int = 3000
    """Steps in which all fields learn from paired images, shading all manifolds."""
    adversarial: int = 0
    """Steps of adversarial training."""
    batch: int = 24
    """Paired images in each step."""
    rays: int = 128
    """Rays through each paired image."""
    near_levels: int = 4
    """Manifolds shaded per ray near the known surface, in the steps of near_surface."""
    near_samples: int = 24
    """Samples along a ray in the steps of near_surface."""
    complete_samples: int = 0
    """Samples along a ray in the steps of complete; 0: generator.ray_sampling.samples, as in the finished model."""
    mesh_faces: int = 16
    """Faces in each step whose mesh the deformation imitates."""
    mesh_points: int = 384
    """Mesh vertices drawn in each step; the same vertices for all of its faces."""
    mesh_offset: float = 0.0
    """Largest distance of a training point from its vertex along the normal, world units; 0: on the vertices. The
    paper's confidence weights end at 0.00316."""
    prior_faces: int = 0
    """Number of faces sampled once from the priors whose meshes are imitated along with those of the data; 0: none.
    Adversarial training generates faces of the priors, whose expressions differ from the data's."""
    prior_share: float = 0.5
    """Probability that a face of mesh_faces is one of the prior_faces, from 0 to 1."""
    lr_template: float = 5e-4
    """Highest learning rate of the template."""
    lr_deformation: float = 1e-3
    """Highest learning rate of deformation and alignment; after warm_up_deform it begins at 0.3 times this."""
    lr_manifolds: float = 5e-5
    """Highest learning rate of the manifolds, in the steps of complete."""
    gradient_limit: float = 1.0
    """Largest gradient norm of each field; larger gradients are clipped."""
    precision: Precision = "float32"
    """Precision of matrix products in the fields' hidden layers. Coordinates, mapping networks, manifold levels and
    the discriminator stay float32. bfloat16 is up to twice as fast on hardware that supports it, slower elsewhere."""
    average_decay: float = 0.999
    """Decay of the moving average of the weights, which the finished model consists of."""

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
    """Schedule the learning rates of all fields over the stages before adversarial training, from ``step`` on.

    Each falls as a cosine over the steps in which its field learns; the template's first rises for 200 steps.
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
