"""Invert the deformation: find the target point x of a template point, x + D(x; z_id, z_exp) = x_template.

D is the deformation field of one person with one expression. A target point is a point of the deformed face, a template
point one of the face without deformation. The fixed-point iteration ``x <- x_template - D(x)`` is tried first. Where it
converges slowly, Newton's method goes on from its result. Where it does not converge, for example between lips that
open, Newton's method is run with the expression at 25, 50, 75 and 100 % of its strength, and each run starts from the
result of the previous one. A point takes no more steps than it needs. All points are in world units.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from anifacegan.avatars.baking.charts import Field, evaluate_in_slices
from anifacegan.models.generator import ConditionedFields

TOLERANCE = 3e-5
"""An iteration stops at a point if its residual |x + D(x) - x_template| is smaller, world units."""
LAST_STEP, LAST_SHARE = 1e-4, 0.3
"""The fixed-point iteration takes its last step already if the residual before the step is at most LAST_STEP, world
units, and at most LAST_SHARE of the residual one step earlier: the step then leaves about that share again."""
SLOW = 3e-4
"""Largest residual, world units, at which the fixed-point iteration counts as slow and not as diverging."""
FIXED_POINT_STEPS, NEWTON_STEPS = 6, 8
STRENGTHS = (0.25, 0.5, 0.75, 1.0)
"""Factors of the expression coefficients at which Newton's method is run; each run starts from the previous result."""
DIFFERENCE, LONGEST_STEP = 1e-4, 3e-3
"""Step of the finite differences for the Jacobian, and longest Newton step, world units."""

Condition = Callable[[Float[np.ndarray, "64"]], ConditionedFields]
"""Takes expression coefficients; returns the fields of one person with this expression, as a batch of one."""


def target_points(
    condition: Condition,
    z_exp: Float[np.ndarray, "64"],
    x_template: Float[Tensor, "vertex 3"],
    start: Float[Tensor, "vertex 3"] | None = None,
) -> tuple[Float[Tensor, "vertex 3"], Float[Tensor, "vertex"]]:
    """Find the points of the deformed face that an expression's deformation D maps to given points of the template.

    ``condition`` is a function from expression coefficients to the fields of one person with this expression. ``start``
    are points near the solutions, where they are known. Returns the points x of the deformed face and the residuals
    |x + D(x) - x_template|. All are in world units.
    """
    fields = condition(z_exp)
    x, residual = _fixed_point(fields.deformation, x_template, start)
    _improve(x, residual, (residual > TOLERANCE) & (residual <= SLOW), fields.deformation, x_template, x)
    diverged = residual > TOLERANCE
    if diverged.any():
        goal = x_template[diverged]
        found = goal
        for strength in STRENGTHS[:-1]:
            offset = condition((strength * z_exp).astype(np.float32)).deformation
            found, _ = _newton(offset, goal, found)
        near = x.clone()
        near[diverged] = found
        _improve(x, residual, diverged, fields.deformation, x_template, near)
    return x, residual


def _improve(
    x: Float[Tensor, "vertex 3"],
    residual: Float[Tensor, "vertex"],
    which: Bool[Tensor, "vertex"],
    offset: Field,
    x_template: Float[Tensor, "vertex 3"],
    start: Float[Tensor, "vertex 3"],
) -> None:
    """Run Newton's method at the points ``which`` from ``start``; write what has a smaller residual to x and
    residual."""
    if not which.any():
        return
    found, newton_residual = _newton(offset, x_template[which], start[which])
    better = newton_residual < residual[which]
    x[which] = torch.where(better[:, None], found, x[which])
    residual[which] = torch.where(better, newton_residual, residual[which])


def on_template(fields: ConditionedFields, x: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "point 3"]:
    """Return the points of a person's template that correspond to points x of the manifolds, world units: x itself,
    unless the manifolds are aligned to the mean head."""
    points = torch.from_numpy(x).to(fields.levels.device)
    return fields.template_points(points[None])[0].cpu().numpy()


def volume_ratio(offset: Field, x: Float[Tensor, "vertex 3"]) -> Float[Tensor, "vertex"]:
    """Compute det(d x_template / d x): a small volume of the face without deformation, divided by the volume that the
    same part has on the deformed face.

    ``offset`` is the deformation field; ``x`` are points of the deformed face. Both are in world units.
    """
    probes = x[:, None] + torch.cat([x.new_zeros(1, 3), DIFFERENCE * torch.eye(3, device=x.device)])
    template = probes + evaluate_in_slices(offset, probes)
    return torch.linalg.det((template[:, 1:] - template[:, :1]) / DIFFERENCE)


def _fixed_point(
    offset: Field, x_template: Float[Tensor, "vertex 3"], start: Float[Tensor, "vertex 3"] | None = None
) -> tuple[Tensor, Tensor]:
    """Run the iteration ``x <- x_template - D(x)``; return, for each point, the x with the smallest residual, and this
    residual.

    Where the iteration converges quickly, the result is one step further, and its residual is estimated from the last
    two: by the factor by which the step before it made the residual smaller. A step from ``start`` with a residual of
    at most LAST_STEP is taken to leave at most LAST_SHARE of it.
    """
    best, least = x_template.clone(), torch.full_like(x_template[:, 0], torch.inf)
    active = torch.arange(len(x_template), device=x_template.device)
    x, before = x_template if start is None else start, least.clone()
    if start is not None:
        before.fill_(LAST_STEP / LAST_SHARE)
    for _ in range(FIXED_POINT_STEPS):
        goal = x_template[active]
        following = goal - evaluate_in_slices(offset, x)
        residual = (x - following).norm(dim=-1)
        better = residual < least[active]
        best[active[better]], least[active[better]] = x[better], residual[better]
        ends = (residual <= LAST_STEP) & (residual <= LAST_SHARE * before) & before.isfinite()
        best[active[ends]], least[active[ends]] = following[ends], (residual.square() / before)[ends]
        unfinished = ~ends & (residual > TOLERANCE)
        active, x, before = active[unfinished], following[unfinished], residual[unfinished]
        if not len(active):
            break
    return best, least


def _newton(
    offset: Field, x_template: Float[Tensor, "vertex 3"], start: Float[Tensor, "vertex 3"]
) -> tuple[Tensor, Tensor]:
    """Run a damped Newton method for x + D(x) = x_template; return, for each point, the x with the smallest residual,
    and this residual.

    The Jacobian of a point is that of the step before where this step has left at most LAST_SHARE of the residual.
    """
    axes = DIFFERENCE * torch.eye(3, device=start.device)
    best, least = start.clone(), torch.full_like(start[:, 0], torch.inf)
    active, x = torch.arange(len(start), device=start.device), start
    before, jacobian = torch.zeros_like(least), x.new_zeros(len(start), 3, 3)
    for _ in range(NEWTON_STEPS):
        template = x + evaluate_in_slices(offset, x)
        miss = template - x_template[active]
        residual = miss.norm(dim=-1)
        better = residual < least[active]
        best[active[better]], least[active[better]] = x[better], residual[better]
        unfinished = ~(residual <= TOLERANCE)  # also where it is NaN
        if not unfinished.any():
            break
        active, x, template, miss, residual, before, jacobian = (
            part[unfinished] for part in (active, x, template, miss, residual, before, jacobian)
        )
        old = ~(residual <= LAST_SHARE * before)
        probes = x[old, None] + axes  # (V', 3, 3)
        moved = probes + evaluate_in_slices(offset, probes) - template[old, None]
        jacobian[old] = moved.transpose(1, 2) / DIFFERENCE
        damped = jacobian.transpose(1, 2) @ jacobian + 1e-4 * torch.eye(3, device=start.device)
        # A deformation far too strong gives singular matrices, and steps that are not finite: the best point stays.
        step = torch.linalg.solve_ex(damped, jacobian.transpose(1, 2) @ miss[..., None]).result[..., 0]
        x = x - step * (LONGEST_STEP / step.norm(dim=-1, keepdim=True).clamp(min=LONGEST_STEP))
        before = residual
    return best, least
