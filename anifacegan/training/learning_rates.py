"""Learning rates of the generator's fields in the stages before adversarial training."""

import torch
from torch.optim.lr_scheduler import LambdaLR

from anifacegan.training.optim import cosine_decay, scheduled
from anifacegan.training.schedule import Schedule

LONGEST_RISE = 200
"""Largest number of steps in which a learning rate rises linearly before it falls."""


def learning_rates(optimizer: torch.optim.Optimizer, schedule: Schedule, step: int) -> LambdaLR:
    """Return a scheduler of the learning rates of all fields before adversarial training, beginning at ``step``.

    The rate of each field falls as half a cosine over the steps in which the field learns. The rates of the template,
    of its feature planes and of the shading rise for 200 steps before they fall, the deformation's for the first tenth
    of its warm-up, 200 steps at most: a first step of Adam at the full rate would move the face by centimetres.
    """
    rise = min(LONGEST_RISE, max(1, schedule.warm_up_deform // 10))

    def deformation(step: int) -> float:
        if step < schedule.warm_up_deform:
            return min(1.0, (step + 1) / rise) * cosine_decay((step + 1) / schedule.warm_up_deform, floor=0.3)
        return 0.3 * cosine_decay(after_warm_up(step), floor=0.1)

    def template(step: int) -> float:
        ramp = min(1.0, max(0.0, (step - schedule.warm_up_deform + 1) / LONGEST_RISE))
        return ramp * cosine_decay(after_warm_up(step), floor=0.03)

    def manifolds(step: int) -> float:
        complete_steps = step - schedule.warm_up_deform - schedule.near_surface + 1
        return cosine_decay(max(0.0, complete_steps / (schedule.complete + 1)), floor=0.03)

    def after_warm_up(step: int) -> float:
        return (step - schedule.warm_up_deform + 1) / (schedule.paired_steps - schedule.warm_up_deform + 1)

    rates = {
        "template": schedule.lr_template,
        "planes": schedule.lr_planes,
        "shading": schedule.lr_shading,
        "deformation": schedule.lr_deformation,
        "manifolds": schedule.lr_manifolds,
    }
    factors = {
        "template": template,
        "planes": template,
        "shading": template,
        "deformation": deformation,
        "manifolds": manifolds,
    }
    return scheduled(optimizer, rates, factors, step)
