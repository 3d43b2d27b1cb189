"""Eyelids of the open face model: what a linear model cannot do with them.

A linear model moves an upper lid along straight lines and equally far in every person: at full blink it stops above the
lower lid in one person and passes it in another. Two corrections follow the linear model.

*Closing.* A margin is the edge of a lid at the eye. Let s in [0, 1] be the strength of the blink. For each vertex of
the upper margin (a column), let g be the angle between the two margins about the horizontal axis through the centre of
the eyeball. The upper lid is turned about that axis until the angle is

    g = (1 - s) g(shape without the blink's displacement),

so that half a blink leaves half of the person's own opening and a full blink none. The other vertices of the lid turn
by a share of the margin's turn. s is a fixed linear function (read-out) of the expression coefficients, clipped
smoothly to [0, 1]. It is exactly 0 for the neutral expression, so the lids of a neutral face do not turn.

*Clearing.* Lid vertices inside the eyeball are pushed out of it.

The centre and radius of an eyeball are those of the sphere that fits its vertices best (least squares). Everything is
differentiable, and the same function serves images, meshes and losses. Lengths are model units, faces are not posed.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

LID_CLEARANCE = 1.012
"""Smallest distance of eyelid vertices from the centre of the eyeball, in radii of the eyeball."""
KNEE = 0.05
"""Width of the soft clipping of the read-out r to the strength s of the blink. s is 0 with slope 0 at r = 0, linear
from r = 2 KNEE to r = 1 - 2 KNEE, and 1 with slope 0 at r = 1. So small errors of the read-out move no lid."""
MEETING_POWER = 4
"""Power p of the blink's strength. While it turns, the upper margin also moves sideways and in depth toward the lower
margin, by strength^p of their distance. Otherwise closed lids would show gaps at the corners of the eye."""
BALL_SAMPLES = 32
"""Largest number of vertices to which an eyeball's sphere is fitted if only a part of the mesh is computed."""


class TensorsOfArrays:
    """Base of dataclasses of arrays, which gives the arrays as tensors that are copied to each device once."""

    @cached_property
    def _tensors(self) -> dict[tuple[str, torch.device, torch.dtype], Tensor]:
        return {}

    def tensor(self, name: str, like: Tensor) -> Tensor:
        """Return the array in the field ``name`` as a tensor on the device of ``like``.

        Integers become int64; floating-point numbers get the type of ``like``.
        """
        values: np.ndarray = getattr(self, name)
        index = values.dtype.kind in "iu"
        dtype = torch.int64 if index else like.dtype
        key = (name, like.device, dtype)
        if key not in self._tensors:
            copy = values.astype(np.int64 if index else values.dtype)
            with torch.inference_mode(False):  # a kept tensor may be used where gradients are needed
                self._tensors[key] = torch.from_numpy(copy).to(like.device, dtype)
        return self._tensors[key]

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: the arrays without their copies as tensors."""
        return {name: value for name, value in vars(self).items() if name != "_tensors"}


@dataclass(frozen=True)
class LidClosing(TensorsOfArrays):
    """How the upper lid of one eye closes, by turning about the horizontal axis through the eyeball's centre.

    A lid's margin is its edge at the eye. Each vertex of the upper margin turns by an angle at which it meets the lower
    margin. A follower is a skin vertex that turns with the lid: its turn is a weighted sum of the turns of the nearest
    vertices of the upper margin. The axis ``column`` runs along a margin, ``near`` over these nearest vertices. Lengths
    are model units.
    """

    upper: Int[np.ndarray, " column"]
    """Vertex indices of the upper margin, from the inner to the outer corner of the eye, corners included."""
    lower: Int[np.ndarray, " column"]
    """Vertex indices of the lower margin, from the inner to the outer corner of the eye, corners included."""
    below: Float[np.ndarray, " column"]
    """Position on the lower margin below each vertex of the upper margin, as a fractional index in ``lower``."""
    followers: Int[np.ndarray, " follower"]
    """Indices of the skin vertices that turn when the lid closes, the upper margin among them."""
    columns: Int[np.ndarray, "follower near"]
    """Indices in ``upper`` of the vertices of the upper margin that each follower follows."""
    shares: Float[np.ndarray, "follower near"]
    """Weights, in a follower's turn, of the turns of the vertices in ``columns``."""
    blink_upper: Float[np.ndarray, "column 3"]
    """Displacement of the upper margin by the linear face model at full blink."""
    blink_lower: Float[np.ndarray, "column 3"]
    """Displacement of the lower margin by the linear face model at full blink."""
    blink_ball: Float[np.ndarray, "3"]
    """Displacement of the eyeball by the linear face model at full blink."""
    read_out: Float[np.ndarray, "64"]
    """Weights whose scalar product with the expression coefficients is the read-out of the blink: 1 at full blink."""

    @cached_property
    def first_below(self) -> Int[np.ndarray, " column"]:
        """Integer part of each position in ``below``: an index in ``lower``, never that of the last vertex."""
        return np.minimum(self.below.astype(np.int64), len(self.lower) - 2)

    @cached_property
    def share_below(self) -> Float[np.ndarray, " column"]:
        """Fractional part of each position in ``below``: 0 at ``lower[first_below]``, 1 at the next vertex."""
        return self.below - self.first_below


@dataclass(frozen=True)
class Eye(TensorsOfArrays):
    """Vertices of an eyeball and of the lids that move over it."""

    ball: Int[np.ndarray, " ball_vertex"]
    """Indices of the vertices of the eyeball."""
    lids: Int[np.ndarray, " lid_vertex"]
    """Indices of the eyelid vertices that must stay outside the eyeball."""
    closing: LidClosing
    """How the upper lid closes: the margins of both lids, and the vertices that turn."""


def place_lids(
    vertices: Float[Tensor, "batch vertex 3"],
    z_exp: Float[Tensor, "batch 64"] | None,
    eyes: tuple[Eye, ...],
) -> Float[Tensor, "batch vertex 3"]:
    """Correct the eyelids of faces of the linear face model.

    First each upper lid is turned until the eye is closed as far as the expression's blink says. Then lid vertices
    that are inside an eyeball, or too near to it, are pushed outward. All other vertices stay.

    Args:
        vertices: faces with the expressions ``z_exp``, not posed, model units.
        z_exp: expression coefficients; None stands for neutral faces, whose lids do not close.
        eyes: the eyeballs and their lids; without any, nothing changes.
    """
    result = vertices.clone()
    for eye in eyes:
        centre, radius = _fitted_spheres(vertices[:, eye.tensor("ball", vertices)])
        if z_exp is not None:
            followers = eye.closing.tensor("followers", vertices)
            result[:, followers] = vertices[:, followers] + _closing_steps(
                vertices, z_exp, eye.closing, centre
            )
        lids = eye.tensor("lids", vertices)
        result[:, lids] = _cleared(result[:, lids], centre, radius)
    return result


def blink_strength(z_exp: Float[Tensor, "batch 64"], closing: LidClosing) -> Float[Tensor, "batch"]:
    """Compute how far expressions close the eye that ``closing`` describes, from 0 (not at all) to 1 (full blink)."""
    return _clipped((z_exp * closing.tensor("read_out", z_exp)).sum(dim=1))


def subset_with_lids(
    selected: Int[np.ndarray, " point"], eyes: tuple[Eye, ...]
) -> tuple[Int[np.ndarray, " more_points"], tuple[Eye, ...]]:
    """Extend a selection of a mesh's vertices so that :func:`place_lids` can place the selected lid vertices.

    ``selected`` are vertex indices, which may repeat. Two values are returned. The first has the indices in
    ``selected``, followed by added ones: the margins of the lids and some vertices of each eyeball. The second has the
    eyes, with indices into this longer list instead of the mesh. As a sphere is fitted to fewer vertices of an eyeball,
    lids differ a little from those of the whole mesh.
    """
    support = [part for eye in eyes for part in (_ball_samples(eye), eye.closing.upper, eye.closing.lower)]
    start, found = len(selected), []
    selected = np.concatenate([selected, *support])
    for eye in eyes:
        closing = eye.closing
        ball = start + np.arange(len(_ball_samples(eye)))
        upper = ball[-1] + 1 + np.arange(len(closing.upper))
        lower = upper[-1] + 1 + np.arange(len(closing.lower))
        start = lower[-1] + 1
        order = np.argsort(closing.followers)
        followers = np.flatnonzero(np.isin(selected, closing.followers))
        row = order[np.searchsorted(closing.followers[order], selected[followers])]
        found.append(
            Eye(
                ball=ball,
                lids=np.flatnonzero(np.isin(selected, eye.lids)),
                closing=replace(
                    closing,
                    upper=upper,
                    lower=lower,
                    followers=followers,
                    columns=closing.columns[row],
                    shares=closing.shares[row],
                ),
            )
        )
    return selected, tuple(found)


def _ball_samples(eye: Eye) -> Int[np.ndarray, " sample"]:
    count = min(BALL_SAMPLES, len(eye.ball))
    return eye.ball[np.linspace(0, len(eye.ball) - 1, count).astype(int)]


def _fitted_spheres(
    ball: Float[Tensor, "batch ball_vertex 3"],
) -> tuple[Float[Tensor, "batch 1 3"], Float[Tensor, "batch 1 1"]]:
    """Fit spheres to points by least squares; return their centres and radii."""
    middle = ball.mean(dim=1, keepdim=True)
    local = ball - middle  # (B, N, 3); |p|^2 = 2 p.c + (r^2 - |c|^2)
    equations = torch.cat([2 * local, torch.ones_like(local[..., :1])], dim=-1)
    square = equations.transpose(1, 2) @ equations  # (B, 4, 4)
    right = equations.transpose(1, 2) @ local.square().sum(-1, keepdim=True)
    solution = torch.linalg.solve_ex(square, right).result  # solve itself would make a GPU wait for its check
    centre = solution[:, :3, 0]
    radius = (solution[:, 3, 0] + centre.square().sum(-1)).sqrt()
    return centre[:, None] + middle, radius[:, None, None]


def _cleared(
    lids: Float[Tensor, "batch lid_vertex 3"],
    centre: Float[Tensor, "batch 1 3"],
    radius: Float[Tensor, "batch 1 1"],
) -> Float[Tensor, "batch lid_vertex 3"]:
    """Move points that are too near to an eyeball away from its centre."""
    outward = lids - centre
    distance = outward.norm(dim=-1, keepdim=True)
    return centre + outward * (LID_CLEARANCE * radius / distance).clamp(min=1)


def _clipped(reading: Float[Tensor, "batch"]) -> Float[Tensor, "batch"]:
    """Clip readings to [0, 1] with a continuous slope, see KNEE; 0, 0.5 and 1 stay exactly as they are."""
    slope = 1 / (1 - 2 * KNEE)
    rise = reading.clamp(0, 2 * KNEE).square() * (slope / (4 * KNEE))
    line = (reading.clamp(2 * KNEE, 1 - 2 * KNEE) - 2 * KNEE) * slope
    end = (1 - reading).clamp(0, 2 * KNEE).square() * (slope / (4 * KNEE))
    return torch.where(reading >= 1 - 2 * KNEE, 1 - end, rise + line)


def _closing_steps(
    vertices: Float[Tensor, "batch vertex 3"],
    z_exp: Float[Tensor, "batch 64"],
    closing: LidClosing,
    centre: Float[Tensor, "batch 1 3"],
) -> Float[Tensor, "batch follower 3"]:
    """Compute the displacements that close a lid; exactly 0 at strength 0."""
    strength = blink_strength(z_exp, closing)[:, None]  # (B, 1)
    upper, lower = (vertices[:, closing.tensor(margin, vertices)] - centre for margin in ("upper", "lower"))
    ball = closing.tensor("blink_ball", vertices)
    blink_upper, blink_lower = (
        strength[..., None] * (closing.tensor(step, vertices) - ball)
        for step in ("blink_upper", "blink_lower")
    )
    opening = _apart(upper - blink_upper, lower - blink_lower, closing)[..., 0]
    present = _apart(upper, lower, closing)  # (B, C, 3)
    turns = (1 - strength) * opening - present[..., 0]  # (B, C)
    meeting = -(strength[..., None] ** MEETING_POWER) * present[..., 1:]
    steps = torch.cat([turns[..., None], meeting], dim=-1)
    columns, shares = closing.tensor("columns", vertices), closing.tensor("shares", vertices)
    turn, along, outward = (steps[:, columns] * shares[..., None]).sum(dim=2).unbind(-1)  # (B, N)
    _, y, z = (vertices[:, closing.tensor("followers", vertices)] - centre).unbind(-1)
    sine, less = turn.sin(), -2 * (turn / 2).sin().square()  # less = cosine - 1
    up, forward = less * y + sine * z, less * z - sine * y
    longer = outward / torch.hypot(y, z)
    return torch.stack([along, up + longer * (y + up), forward + longer * (z + forward)], dim=-1)


def _apart(
    upper: Float[Tensor, "batch column 3"], lower: Float[Tensor, "batch column 3"], closing: LidClosing
) -> Float[Tensor, "batch column 3"]:
    """Compute the differences upper minus lower margin in cylinder coordinates about the axis along x.

    The last axis has angle (radians), x, and distance from the axis.
    """
    first = closing.tensor("first_below", upper)
    part = closing.tensor("share_below", upper)[:, None].expand_as(upper)
    lower = torch.lerp(lower[:, first], lower[:, first + 1], part)
    angles, distances = zip(
        *((torch.atan2(p[..., 1], p[..., 2]), p[..., 1:].norm(dim=-1)) for p in (upper, lower)), strict=True
    )
    return torch.stack(
        [angles[0] - angles[1], upper[..., 0] - lower[..., 0], distances[0] - distances[1]], dim=-1
    )
