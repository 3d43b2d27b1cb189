"""Images of slices through a face: manifolds as lines, deformation offsets as arrows, the surface as a curve.

A sagittal slice (``yz``) is a plane of constant x; in its image z points right, toward the camera, and y points up. A
horizontal slice (``xz``) is a plane of constant y, seen from above; in its image x points right, and z points down,
toward the camera. Pixels are square. Positions are in world units, and the image edge next to the camera is at
z = 0.12.
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

PAPER, LINE_CLEAR, FRAME, SURFACE = (1.0, 1.0, 1.0), (0.8, 0.8, 0.8), (0.6, 0.6, 0.6), (200, 30, 60)
REACH = 0.09
"""Half the width of a slice, world units."""
LINE_PX = 0.5
"""Half the width of the line that shows a manifold, pixels."""
ARROWS = 18
"""Number of arrows along each edge of a slice."""
SHORTEST = 0.001
"""Length of the shortest deformation offset that is shown by an arrow, world units."""
SUPERSAMPLING = 2
"""For smooth edges, arrows and curves are drawn this many times larger, and then averaged."""


@dataclass(frozen=True)
class Slice:
    """A plane through the face, perpendicular to the x or y axis, in which figures show manifolds and offsets."""

    plane: Literal["yz", "xz"]
    """Axes that span the plane."""
    at: float
    """Coordinate of the plane on its perpendicular axis, world units."""

    @property
    def label(self) -> str:
        """Position of the plane on the axis that is perpendicular to it, in millimetres, for captions."""
        return f"{'x' if self.plane == 'yz' else 'y'} = {1000 * self.at:+.0f} mm"

    def points(
        self, across: Float[Tensor, "*shape"], down: Float[Tensor, "*shape"]
    ) -> Float[Tensor, "*shape 3"]:
        """Return the points of the plane, world units, at positions in its image.

        ``across`` is -1 at the left edge and 1 at the right one, ``down`` is -1 at the top and 1 at the bottom.
        """
        constant = torch.full_like(across, self.at)
        middle = WORLD_PER_NETWORK_UNIT - REACH
        if self.plane == "yz":
            xyz = (constant, -REACH * down, middle + REACH * across)
        else:
            xyz = (REACH * across, constant, middle + REACH * down)
        return torch.stack(xyz, dim=-1)

    def project(self, points: Float[Tensor, "point 3"], size: int) -> Float[np.ndarray, "point 2"]:
        """Project points (world units) perpendicularly onto the plane, and return their pixels (x right, y down) in its
        image of ``size`` x ``size`` pixels.
        """
        x, y, z = points.double().cpu().unbind(-1)
        z = z - (WORLD_PER_NETWORK_UNIT - REACH)
        across, down = (z, -y) if self.plane == "yz" else (x, z)
        return (torch.stack([across, down], dim=-1).numpy() / REACH + 1) / 2 * (size - 1)


def manifold_lines(
    fields: ConditionedFields, section: Slice, size: int, in_template: bool = False
) -> Float[Tensor, "height width 3"]:
    """Draw the radiance manifolds of a face where they cut a plane: a line has the manifold's colour where it is
    opaque, and is grey where it is transparent.

    Args:
        fields: the face's fields, as a batch of one.
        section: the plane.
        size: height and width of the image, pixels.
        in_template: draw them in the face without deformation (template space), not in the deformed face.
    """
    grid = torch.linspace(-1, 1, size).to(fields.levels)
    down, across = torch.meshgrid(grid, grid, indexing="ij")
    points = section.points(across, down).reshape(1, -1, 3)
    parts = [_read(fields, part, in_template) for part in points.split(SLICE_SAMPLES, dim=1)]
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
    image: Float[Tensor, "height width 3"], fields: ConditionedFields, section: Slice, scale: float
) -> Pixels:
    """Draw, over the image of a plane through a face, the deformation field's offsets as arrows, and the face's surface
    as a curve.

    An arrow goes from a point of the deformed face toward the same point of the face without deformation, projected
    onto the plane ``section``, and is ``scale`` times as long as the offset. Its colour shows the length of the offset
    in space: black for 0, then red, then yellow.
    """
    size = len(image)
    fine_size = SUPERSAMPLING * size
    canvas = Image.fromarray((image.numpy() * 255).round().astype(np.uint8))
    canvas = canvas.resize((fine_size, fine_size), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(canvas)
    for curve in surface_curves(fields, section, fine_size):
        draw.line([tuple(point) for point in curve], SURFACE, width=SUPERSAMPLING)
    middle = (torch.arange(ARROWS).to(fields.levels) + 0.5) * 2 / ARROWS - 1
    down, across = torch.meshgrid(middle, middle, indexing="ij")
    x = section.points(across, down).reshape(1, -1, 3)
    delta = fields.deformation(x)
    length = delta[0].norm(dim=-1)
    colours = (220 * heat_colours((length / WHITE_HOT).clamp(max=0.6))).cpu().numpy().astype(int)
    tails, heads = (section.project(points[0], fine_size) for points in (x, x + scale * delta))
    for tail, head, colour, long_enough in zip(tails, heads, colours, length > SHORTEST, strict=True):
        if long_enough:
            _arrow(draw, tail, head, tuple(colour.tolist()))
    return np.asarray(canvas.resize((size, size), Image.Resampling.BOX))


def surface_curves(
    fields: ConditionedFields, section: Slice, size: int
) -> list[Float[np.ndarray, "point 2"]]:
    """Find the surface of a face where it cuts the plane ``section``, by rays along -z.

    Returns curves of pixel positions in the plane's image of ``size`` x ``size`` pixels; a curve ends where the surface
    jumps or ends.
    """
    x = torch.linspace(-1, 1, size).to(fields.levels)
    zero = torch.zeros_like(x)
    across, down = (zero, x) if section.plane == "yz" else (x, zero)
    origins = section.points(across, down)[None].clone()
    origins[..., 2] = 1.0
    seen = render_rays(fields, Rays(origins, origins.new_tensor([0.0, 0.0, -1.0]).expand_as(origins)))
    weights = seen.weights[0, :, :-1, None]
    opacity = weights.sum(dim=(1, 2))
    points = (weights * seen.x_target[0, :, :-1]).sum(dim=1) / opacity.clamp(min=0.5)[:, None]
    pixels, there = section.project(points, size), (opacity >= 0.5).cpu().numpy()
    jumps = np.abs(np.diff(pixels, axis=0)).max(axis=1) > size / 16
    breaks = np.flatnonzero(jumps | ~there[1:] | ~there[:-1]) + 1
    return [run for run in np.split(pixels, breaks) if len(run) > 1]


def _read(
    fields: ConditionedFields, x: Float[Tensor, "1 point 3"], in_template: bool
) -> tuple[Float[Tensor, "1 point"], Float[Tensor, "1 point 3"], Float[Tensor, "1 point"]]:
    """Return manifold scalar, colour and opacity at points of the deformed face or, with ``in_template``, of the
    template."""
    delta = (fields.without_deformation() if in_template else fields).offset(x)
    s = fields.scalar(x + delta)
    x = x + fields.radiance_offset_gain * delta
    rgb, alpha = fields.radiance(x if fields.align is None else x + fields.align(x))
    return s, rgb, alpha


def _arrow(draw: ImageDraw.ImageDraw, tail: np.ndarray, head: np.ndarray, colour: tuple[int, ...]) -> None:
    """Draw a line with a small open tip."""
    along = head - tail
    length = float(np.hypot(*along))
    draw.line([tuple(tail), tuple(head)], colour, width=SUPERSAMPLING)
    if length < 2 * SUPERSAMPLING:
        return
    back = along / length * min(0.45 * length, 4.0 * SUPERSAMPLING)
    side = np.array([-back[1], back[0]]) * 0.6
    for corner in (head - back + side, head - back - side):
        draw.line([tuple(head), tuple(corner)], colour, width=SUPERSAMPLING)
