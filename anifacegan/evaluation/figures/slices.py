"""Cuts through a face: the manifolds as lines, the deformation as arrows, the skin as a curve.

A cut is the plane x = at (``yz``: z to the right, so the camera is there, y up) or y = at (``xz``: x to the right, z
down: seen from above, the camera below). World units; pixels are square, and the camera's edge of a cut is at z = 0.12.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw
from torch import Tensor

from anifacegan.evaluation.figures.panels import Pixels
from anifacegan.geometry.conventions import WORLD_PER_NETWORK_UNIT
from anifacegan.geometry.rays import Rays
from anifacegan.models.generator import ConditionedFields
from anifacegan.rendering.adaptive_tracing import SLICE_SAMPLES
from anifacegan.rendering.deformation_maps import WHITE_HOT, heat_colours
from anifacegan.rendering.volume import render_rays

PAPER, LINE_CLEAR, FRAME, SKIN = (1.0, 1.0, 1.0), (0.8, 0.8, 0.8), (0.6, 0.6, 0.6), (200, 30, 60)
REACH = 0.09
"""Half the width of a cut, world units."""
LINE_PX = 0.5
"""Half the width of a manifold's line."""
ARROWS = 18
"""Arrows along each edge."""
SHORTEST = 0.001
"""Shorter steps get no arrow, world units."""
FINER = 2
"""Arrows and curves are drawn at this many times the size, then averaged: smooth edges."""


@dataclass(frozen=True)
class Slice:
    plane: Literal["yz", "xz"]
    at: float
    """Where the plane cuts the remaining axis, world units."""

    @property
    def label(self) -> str:
        return f"{'x' if self.plane == 'yz' else 'y'} = {1000 * self.at:+.0f} mm"

    def points(
        self, across: Float[Tensor, "*shape"], down: Float[Tensor, "*shape"]
    ) -> Float[Tensor, "*shape 3"]:
        """Points of the plane from image coordinates in [-1, 1]: right and down."""
        constant = torch.full_like(across, self.at)
        middle = WORLD_PER_NETWORK_UNIT - REACH
        if self.plane == "yz":
            xyz = (constant, -REACH * down, middle + REACH * across)
        else:
            xyz = (REACH * across, constant, middle + REACH * down)
        return torch.stack(xyz, dim=-1)

    def place(self, points: Float[Tensor, "point 3"], size: int) -> Float[np.ndarray, "point 2"]:
        """Pixels (x right, y down) of points, whatever their distance from the plane."""
        x, y, z = points.double().cpu().unbind(-1)
        z = z - (WORLD_PER_NETWORK_UNIT - REACH)
        across, down = (z, -y) if self.plane == "yz" else (x, z)
        return (torch.stack([across, down], dim=-1).numpy() / REACH + 1) / 2 * (size - 1)


def manifold_lines(
    fields: ConditionedFields, cut: Slice, size: int, in_template: bool = False
) -> Float[Tensor, "height width 3"]:
    """The manifolds that a cut meets, in their own colour where they are opaque and in grey where they are clear.

    In target space, where the camera sees them; or ``in_template``, before any deformation.
    """
    grid = torch.linspace(-1, 1, size).to(fields.levels)
    down, across = torch.meshgrid(grid, grid, indexing="ij")
    points = cut.points(across, down).reshape(1, -1, 3)
    parts = [
        _read(fields, part, in_template) for part in points.split(SLICE_SAMPLES[points.device.type], dim=1)
    ]
    s, rgb, alpha = (torch.cat(values, dim=1).reshape(size, size, -1) for values in zip(*parts, strict=True))
    s, rgb = s[..., 0], rgb.clamp(0, 1)
    slope_down, slope_across = torch.gradient(s)
    slope = (slope_down.square() + slope_across.square()).sqrt().clamp(min=1e-8)
    nearest = (s[..., None] - fields.levels).abs().amin(dim=-1)
    ink = (LINE_PX + 0.5 - nearest / slope).clamp(0, 1)[..., None]  # (H, W, 1)
    line = torch.lerp(rgb.new_tensor(LINE_CLEAR).expand_as(rgb), rgb, alpha)
    image = torch.lerp(line.new_tensor(PAPER).expand_as(line), line, ink).cpu()
    image[[0, -1]] = image[:, [0, -1]] = image.new_tensor(FRAME)
    return image


def with_arrows(
    image: Float[Tensor, "height width 3"], fields: ConditionedFields, cut: Slice, scale: float
) -> Pixels:
    """Steps from the face to the template, ``scale`` times as long as they are, over a cut; and the skin as a curve.

    An arrow starts where a point of the face is and leads to where the template has it, as far as the plane shows.
    Its colour is the length of the whole step, as in :func:`anifacegan.rendering.deformation_maps.heat_colours` but dark where that is white.
    """
    size = len(image)
    drawn = Image.fromarray((image.numpy() * 255).round().astype(np.uint8))
    drawn = drawn.resize((FINER * size, FINER * size), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(drawn)
    for run in skin_curves(fields, cut, FINER * size):
        draw.line([tuple(point) for point in run], SKIN, width=FINER)
    middle = (torch.arange(ARROWS).to(fields.levels) + 0.5) * 2 / ARROWS - 1
    down, across = torch.meshgrid(middle, middle, indexing="ij")
    x = cut.points(across, down).reshape(1, -1, 3)
    delta = fields.offset(x)
    length = delta[0].norm(dim=-1)
    colours = (220 * heat_colours((length / WHITE_HOT).clamp(max=0.6))).cpu().numpy().astype(int)
    tails, heads = (cut.place(points[0], FINER * size) for points in (x, x + scale * delta))
    for tail, head, colour, long_enough in zip(tails, heads, colours, length > SHORTEST, strict=True):
        if long_enough:
            _arrow(draw, tail, head, tuple(colour.tolist()))
    return np.asarray(drawn.resize((size, size), Image.Resampling.BOX))


def skin_curves(fields: ConditionedFields, cut: Slice, size: int) -> list[Float[np.ndarray, "point 2"]]:
    """Pixels of the surface in a cut, as rays along -z see it; a curve ends where the surface jumps or ends."""
    x = torch.linspace(-1, 1, size).to(fields.levels)
    zero = torch.zeros_like(x)
    across, down = (zero, x) if cut.plane == "yz" else (x, zero)
    origins = cut.points(across, down)[None].clone()
    origins[..., 2] = 1.0
    seen = render_rays(fields, Rays(origins, origins.new_tensor([0.0, 0.0, -1.0]).expand_as(origins)))
    weights = seen.weights[0, :, :-1, None]
    opacity = weights.sum(dim=(1, 2))
    points = (weights * seen.x_target[0, :, :-1]).sum(dim=1) / opacity.clamp(min=0.5)[:, None]
    pixels, there = cut.place(points, size), (opacity >= 0.5).cpu().numpy()
    jumps = np.abs(np.diff(pixels, axis=0)).max(axis=1) > size / 16
    breaks = np.flatnonzero(jumps | ~there[1:] | ~there[:-1]) + 1
    return [run for run in np.split(pixels, breaks) if len(run) > 1]


def _read(
    fields: ConditionedFields, x: Float[Tensor, "1 point 3"], in_template: bool
) -> tuple[Float[Tensor, "1 point"], Float[Tensor, "1 point 3"], Float[Tensor, "1 point"]]:
    """Manifold scalar, colour and opacity at points of the face, or of the template."""
    delta = torch.zeros_like(x) if in_template else fields.offset(x)
    s = fields.level(x + delta)
    x = x + fields.radiance_offset_gain * delta
    rgb, alpha = fields.radiance(x if fields.align is None else x + fields.align(x))
    return s, rgb, alpha


def _arrow(draw: ImageDraw.ImageDraw, tail: np.ndarray, head: np.ndarray, colour: tuple[int, ...]) -> None:
    """A line with a small open tip."""
    along = head - tail
    length = float(np.hypot(*along))
    draw.line([tuple(tail), tuple(head)], colour, width=FINER)
    if length < 2 * FINER:
        return
    back = along / length * min(0.45 * length, 4.0 * FINER)
    side = np.array([-back[1], back[0]]) * 0.6
    for corner in (head - back + side, head - back - side):
        draw.line([tuple(head), tuple(corner)], colour, width=FINER)
