"""Where template points are with an expression: x with x + D(x; z_id, z_exp) = x_template.

Found by fixed-point steps ``x <- x_template - D(x)``; and where these do not arrive, as between lips that open, by
Newton's, along intermediate strengths of the expression. All points are in world units.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.avatars.baking.charts import Field, ask
from anifacegan.models.generator import ConditionedFields

SETTLED = 3e-5
"""World units: points that are nearer to where they belong are left there."""
FIXED_POINT_STEPS, NEWTON_STEPS = 6, 8
STRENGTHS = (0.25, 0.5, 0.75, 1.0)
"""Of an expression, for points that the fixed-point steps do not lead home."""
DIFFERENCE, LONGEST_STEP = 1e-4, 3e-3
"""World units: for slopes of the deformation, and of a step of Newton's."""

Condition = Callable[[Float[np.ndarray, "64"]], ConditionedFields]
"""Expression coefficients -> the person with that expression, a batch of one."""


def targets(
    condition: Condition, code: Float[np.ndarray, "64"], x_template: Float[Tensor, "vertex 3"]
) -> tuple[Float[Tensor, "vertex 3"], Float[Tensor, "vertex"]]:
    """Where template points are with an expression, and by how much that is wrong, both in world units."""
    x, residual = _fixed_point(condition(code).offset, x_template)
    lost = residual > SETTLED
    if lost.any():
        goal = x_template[lost]
        found = goal
        for strength in STRENGTHS:
            found, miss = _newton(condition((strength * code).astype(np.float32)).offset, goal, found)
        better = miss < residual[lost]
        x[lost] = torch.where(better[:, None], found, x[lost])
        residual[lost] = torch.where(better, miss, residual[lost])
    return x, residual


def volume_ratio(offset: Field, x: Float[Tensor, "vertex 3"]) -> Float[Tensor, "vertex"]:
    """Of the template to the target, about target points."""
    places = x[:, None] + torch.cat([x.new_zeros(1, 3), DIFFERENCE * torch.eye(3, device=x.device)])
    reached = places + ask(offset, places)
    return torch.linalg.det((reached[:, 1:] - reached[:, :1]) / DIFFERENCE)


def _fixed_point(offset: Field, x_template: Float[Tensor, "vertex 3"]) -> tuple[Tensor, Tensor]:
    """The nearest that ``x <- x_template - D(x)`` comes, and its residual."""
    best, least = x_template.clone(), torch.full_like(x_template[:, 0], torch.inf)
    moving = torch.arange(len(x_template), device=x_template.device)
    x = x_template
    for _ in range(FIXED_POINT_STEPS):
        step = ask(offset, x)
        residual = (x + step - x_template[moving]).norm(dim=-1)
        better = residual < least[moving]
        best[moving[better]], least[moving[better]] = x[better], residual[better]
        going = residual > SETTLED
        moving, x = moving[going], x_template[moving[going]] - step[going]
        if not len(moving):
            break
    return best, least


def _newton(
    offset: Field, x_template: Float[Tensor, "vertex 3"], start: Float[Tensor, "vertex 3"]
) -> tuple[Tensor, Tensor]:
    """The nearest that Newton's steps from ``start`` come to x + D(x) = x_template, and its residual."""
    axes = DIFFERENCE * torch.eye(3, device=start.device)
    x, best, least = start, start, torch.full_like(start[:, 0], torch.inf)
    for _ in range(NEWTON_STEPS):
        probes = torch.cat([x[:, None], x[:, None] + axes], dim=1)  # (V, 4, 3)
        reached = probes + ask(offset, probes)
        miss = reached[:, 0] - x_template
        residual = miss.norm(dim=-1)
        better = residual < least
        best, least = torch.where(better[:, None], x, best), torch.where(better, residual, least)
        slope = (reached[:, 1:] - reached[:, :1]).transpose(1, 2) / DIFFERENCE  # (V, 3, 3)
        damped = slope.transpose(1, 2) @ slope + 1e-4 * torch.eye(3, device=start.device)
        step = torch.linalg.solve(damped, (slope.transpose(1, 2) @ miss[..., None]))[..., 0]
        x = x - step * (LONGEST_STEP / step.norm(dim=-1, keepdim=True).clamp(min=LONGEST_STEP))
    return best, least
