"""Invert the deformation: find the target point x of a template point, x + D(x; z_id, z_exp) = x_template.

D is the deformation field of one person with one expression. A target point is a point of the deformed face, a template
point one of the face without deformation. The fixed-point iteration ``x <- x_template - D(x)`` is tried first. Where it
does not converge, for example between lips that open, Newton's method is run with the expression at 25, 50, 75 and
100 % of its strength. Each run starts from the result of the previous one. All points are in world units.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from anifacegan.avatars.baking.charts import Field, evaluate_in_slices
from anifacegan.models.generator import ConditionedFields

TOLERANCE = 3e-5
"""The fixed-point iteration stops at a point if its residual |x + D(x) - x_template| is smaller, world units."""
FIXED_POINT_STEPS, NEWTON_STEPS = 6, 8
STRENGTHS = (0.25, 0.5, 0.75, 1.0)
"""Factors of the expression coefficients at which Newton's method is run; each run starts from the previous result."""
DIFFERENCE, LONGEST_STEP = 1e-4, 3e-3
"""Step of the finite differences for the Jacobian, and longest Newton step, world units."""

Condition = Callable[[Float[np.ndarray, "64"]], ConditionedFields]
"""Takes expression coefficients; returns the fields of one person with this expression, as a batch of one."""


def target_points(
    condition: Condition, z_exp: Float[np.ndarray, "64"], x_manifold: Float[Tensor, "vertex 3"]
) -> tuple[Float[Tensor, "vertex 3"], Float[Tensor, "vertex"]]:
    """Find the points of the deformed face that an expression's deformation D maps to given points of manifolds.

    ``condition`` is a function from expression coefficients to the fields of one person with this expression.
    ``x_manifold`` are points of the template; of the mean head, if the manifolds are aligned. Returns the points x of
    the deformed face and the residuals |x + D(x) - x_template|. All are in world units.
    """
    fields = condition(z_exp)
    x_template = fields.template_points(x_manifold[None])[0]
    x, residual = _fixed_point(fields.deformation, x_template)
    diverged = residual > TOLERANCE
    if diverged.any():
        goal = x_template[diverged]
        found = goal
        for strength in STRENGTHS:
            offset = condition((strength * z_exp).astype(np.float32)).deformation
            found, newton_residual = _newton(offset, goal, found)
        better = newton_residual < residual[diverged]
        x[diverged] = torch.where(better[:, None], found, x[diverged])
        residual[diverged] = torch.where(better, newton_residual, residual[diverged])
    return x, residual


def volume_ratio(offset: Field, x: Float[Tensor, "vertex 3"]) -> Float[Tensor, "vertex"]:
    """Compute det(d x_template / d x): a small volume of the face without deformation, divided by the volume that the
    same part has on the deformed face.

    ``offset`` is the deformation field; ``x`` are points of the deformed face. Both are in world units.
    """
    probes = x[:, None] + torch.cat([x.new_zeros(1, 3), DIFFERENCE * torch.eye(3, device=x.device)])
    template = probes + evaluate_in_slices(offset, probes)
    return torch.linalg.det((template[:, 1:] - template[:, :1]) / DIFFERENCE)


def _fixed_point(offset: Field, x_template: Float[Tensor, "vertex 3"]) -> tuple[Tensor, Tensor]:
    """Run the iteration ``x <- x_template - D(x)``; return, for each point, the x with the smallest residual, and this
    residual."""
    best, least = x_template.clone(), torch.full_like(x_template[:, 0], torch.inf)
    active = torch.arange(len(x_template), device=x_template.device)
    x = x_template
    for _ in range(FIXED_POINT_STEPS):
        step = evaluate_in_slices(offset, x)
        residual = (x + step - x_template[active]).norm(dim=-1)
        better = residual < least[active]
        best[active[better]], least[active[better]] = x[better], residual[better]
        unfinished = residual > TOLERANCE
        active, x = active[unfinished], x_template[active[unfinished]] - step[unfinished]
        if not len(active):
            break
    return best, least


def _newton(
    offset: Field, x_template: Float[Tensor, "vertex 3"], start: Float[Tensor, "vertex 3"]
) -> tuple[Tensor, Tensor]:
    """Run a damped Newton method for x + D(x) = x_template; return, for each point, the x with the smallest residual,
    and this residual."""
    axes = DIFFERENCE * torch.eye(3, device=start.device)
    x, best, least = start, start, torch.full_like(start[:, 0], torch.inf)
    for _ in range(NEWTON_STEPS):
        probes = torch.cat([x[:, None], x[:, None] + axes], dim=1)  # (V, 4, 3)
        template = probes + evaluate_in_slices(offset, probes)
        miss = template[:, 0] - x_template
        residual = miss.norm(dim=-1)
        better = residual < least
        best, least = torch.where(better[:, None], x, best), torch.where(better, residual, least)
        jacobian = (template[:, 1:] - template[:, :1]).transpose(1, 2) / DIFFERENCE  # (V, 3, 3)
        damped = jacobian.transpose(1, 2) @ jacobian + 1e-4 * torch.eye(3, device=start.device)
        step = torch.linalg.solve(damped, (jacobian.transpose(1, 2) @ miss[..., None]))[..., 0]
        x = x - step * (LONGEST_STEP / step.norm(dim=-1, keepdim=True).clamp(min=LONGEST_STEP))
    return best, least
