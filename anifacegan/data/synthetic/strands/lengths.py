"""Lengths of the strands of a hair style, by the positions of their roots on the mean head."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from anifacegan.data.synthetic.strands.combing import KNOT
from anifacegan.data.synthetic.strands.head_chart import on_top
from anifacegan.data.synthetic.strands.roots import StrandNoise
from anifacegan.data.synthetic.strands.styles import HairStyle
from anifacegan.geometry.resampling import smoothstep

FRINGE_LINE = (0.88, 0.04)
"""Coordinates y and z of the hair line above the forehead, from which a fringe falls; model units."""
FRINGE_CUT = 0.54
"""Height at which a fringe is cut, above the brows; model units."""
LOW_ROUND = 0.16
"""Share by which the radius of hair that is cut to a sphere is smaller low at the head."""
EDGE = 0.07
"""Width of the strip along the hair line in which strands are shorter; model units."""


@dataclass(frozen=True)
class HairRegions:
    """How much each hair root belongs to the parts of the head, 0 to 1, and its distances from some points.

    Top, front, sides and nape sum to 1.
    """

    top: Float[np.ndarray, " root"]
    """Weight of the top of the head."""
    front: Float[np.ndarray, " root"]
    """Weight of the part behind the hair line above the forehead."""
    sides: Float[np.ndarray, " root"]
    """Weight of the sides and the back."""
    nape: Float[np.ndarray, " root"]
    """Weight of the lowest part at the back."""
    fringe: Float[np.ndarray, " root"]
    """Weight of the part that can be combed to a fringe over the forehead."""
    low: Float[np.ndarray, " root"]
    """Weight of the lower part of the head, where hair that is cut to a sphere is cut shorter."""
    to_cut: Float[np.ndarray, " root"]
    """Length from the root over the head to the height at which a fringe is cut, model units."""
    to_level: Float[np.ndarray, " root"]
    """Length from the root over the head and down to the height y = 0, model units; negative for roots below."""
    to_knot: Float[np.ndarray, " root"]
    """Length from the root over the head to the point at the back where tied hair meets, model units."""
    reach: Float[np.ndarray, " root"]
    """Distance of the root from the middle of the skull, model units."""

    def select(self, index: Int[np.ndarray, " selected"]) -> "HairRegions":
        """Return the numbers of the roots with the given indices."""
        return HairRegions(**{name: values[index] for name, values in vars(self).items()})


def hair_regions(places: Float[np.ndarray, "root 3"], centre: Float[np.ndarray, "3"]) -> HairRegions:
    """Compute the parts of the head to which roots belong.

    ``places`` are their positions on the mean head and ``centre`` is the middle of the skull, model units.
    """
    x, y, z = places.T
    radius = np.linalg.norm(places - centre, axis=1)
    above = np.clip((y - centre[1]) / radius, -1, 1)
    high = on_top(places)
    ahead = smoothstep(-0.60, -0.10, z) * smoothstep(0.35, 0.65, y)
    low = smoothstep(0.45, -0.05, y) * smoothstep(-0.95, -1.2, z)
    front = ahead
    top = high * (1 - front)
    nape = low * (1 - front) * (1 - high)
    to_line = np.hypot(y - FRINGE_LINE[0], z - FRINGE_LINE[1])
    return HairRegions(
        top=top,
        front=front,
        sides=1 - top - front - nape,
        nape=nape,
        fringe=smoothstep(0.56, 0.40, np.abs(x)) * smoothstep(-0.62, -0.35, z) * smoothstep(0.5, 0.8, y),
        low=smoothstep(0.65, -0.10, y),
        to_cut=1.06 * to_line + FRINGE_LINE[0] - FRINGE_CUT,
        to_level=np.where(above > 0, radius * np.arcsin(np.maximum(above, 0)) + centre[1], y),
        to_knot=_arc(places - centre, np.float32(KNOT) - centre),
        reach=radius,
    )


def _arc(start: Float[np.ndarray, "root 3"], end: Float[np.ndarray, "3"]) -> Float[np.ndarray, " root"]:
    """Return the length of arcs about the origin from points to another one."""
    near, far = np.linalg.norm(start, axis=1), np.linalg.norm(end)
    return np.arccos(np.clip(start @ end / (near * far), -1, 1)) * (near + far) / 2


def strand_lengths(
    style: HairStyle,
    regions: HairRegions,
    distance: Float[np.ndarray, " root"],
    noise: StrandNoise,
    factor: float,
) -> Float[np.ndarray, " root"]:
    """Compute the lengths of a person's strands of hair, model units.

    Args:
        style: the person's hair style, with lengths that are already multiplied by ``factor``.
        regions: the parts of the head to which the roots belong.
        distance: signed distance of the roots to the style's hair line, positive in the hair, model units.
        noise: random numbers of the strands.
        factor: how much longer the person's hair is than the style's; used for cuts to a height, a sphere or a fringe.
    """
    by_log = (
        regions.top * math.log(style.length_top)
        + regions.front * math.log(style.length_front)
        + regions.sides * math.log(style.length_sides)
        + regions.nape * math.log(style.length_nape)
    )
    level = np.maximum(regions.to_level - style.level_y, 0.15) * factor
    by_log = by_log + style.level * (np.log(level) - by_log)
    radius = style.round_radius * (1 - LOW_ROUND * regions.low) + 0.03 * noise.drift[:, 0]
    round_cut = np.maximum(radius - regions.reach, 0.08) * factor
    by_log = by_log + style.roundness * (np.log(round_cut) - by_log)
    by_log = by_log + style.knot * (np.log(regions.to_knot + 0.05) - by_log)
    fringe = style.fringe * regions.fringe
    by_log = by_log + fringe * (np.log(regions.to_cut * (0.9 + 0.1 * factor)) - by_log)
    shorter = 1 - style.uneven * (1 - 0.7 * fringe) * noise.length + 0.05 * noise.drift[:, 1]
    at_edge = np.maximum(smoothstep(-0.03, EDGE, distance), 0.12)
    return (np.exp(by_log) * shorter * (at_edge + (1 - at_edge) * fringe)).astype(np.float32)
