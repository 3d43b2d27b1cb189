"""The direction in which hair is combed, over the chart of the head: a sum of fields with a style's strengths."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from anifacegan.data.synthetic.strands.head_chart import HeadChart, azimuth_deg, on_top
from anifacegan.data.synthetic.strands.roots import tangent
from anifacegan.data.synthetic.strands.styles import HairStyle
from anifacegan.geometry.normals import unit
from anifacegan.geometry.resampling import smoothstep

CROWN = (0.05, 1.36, -1.15)
"""Crown of the head, from which hair turns down to all sides; model units."""
KNOT = (0.0, 0.62, -1.86)
"""Place where tied hair meets."""
PARTING_REACH, PARTING_WIDTH = 0.27, 0.05
"""Distance of the leftmost and rightmost parting from the middle, and the width over which the comb turns."""


Directions = Float[np.ndarray, "row column 3"]
"""Unit directions at the chart's nodes."""


@dataclass(frozen=True)
class CombFields:
    """Fields of directions over the chart's nodes, the same for everyone."""

    places: Float[np.ndarray, "row column 3"]
    """Places of the nodes on the mean head."""
    normals: Float[np.ndarray, "row column 3"]
    """Directions away from the head."""
    top: Float[np.ndarray, "row column"]
    """Weight of the top of the head."""
    face: Float[np.ndarray, "row column"]
    """Weight of the face, below the hair line."""
    front: Float[np.ndarray, "row column"]
    """Weight of the front part, from which a fringe is combed."""
    down: Directions
    """Down from the crown, along the head."""
    back: Directions
    """To the back, along the head."""
    forward: Directions
    """To the front, along the head."""
    bangs: Directions
    """To the front and a little aside, as a fringe lies."""
    knot: Directions
    """To the knot at the back of the head."""

    def combed(
        self, style: HairStyle, parting: float, fringe: float = 0.0
    ) -> Float[np.ndarray, "row column 4"]:
        """Return how a person's hair is combed: directions, mostly of length 1 or shorter, and the least hold.

        The hold is the share of the comb in a strand's direction; it falls with the distance from the head, but not
        before the face and not towards a knot. ``fringe`` is the share of the fringe's comb, for strands of the fringe.
        """
        x, _, z = np.moveaxis(self.places, -1, 0)
        top = self.top[..., None]
        toward_front = smoothstep(-1.0, -0.1, z)
        side = np.tanh((x - PARTING_REACH * parting) / PARTING_WIDTH)
        # behind the forehead hair rises over the head before it falls
        part = tangent(
            np.stack([side, -0.4 + 0.45 * toward_front, -0.2 - 0.15 * toward_front], -1), self.normals
        )
        combed = top * (
            style.top_down * self.down
            + style.top_back * self.back
            + style.top_forward * self.forward
            + style.top_part * part
        )
        combed = combed + (1 - top) * (
            style.sides_down * self.down + style.sides_back * self.back + style.sides_forward * self.forward
        )
        combed = combed + style.knot * (self.knot - combed)
        bangs = (fringe * self.front)[..., None]
        combed = combed + bangs * (self.bangs - combed)
        swept = style.off_face * ((1 - bangs) * self.face[..., None])
        combed = combed + swept * (
            2.5 * unit(np.stack([1.6 * side, np.full_like(x, -0.2), np.full_like(x, -0.8)], axis=-1)) - combed
        )
        held = np.clip(swept + style.knot, 0, 1)
        return np.concatenate([combed, held], axis=-1).astype(np.float32)


def comb_fields(chart: HeadChart, mean: Float[np.ndarray, "vertex 3"]) -> CombFields:
    """Lay the fields out over the chart of the mean head."""
    places = chart.places(mean).astype(np.float32)
    x, y, z = np.moveaxis(places, -1, 0)
    azimuth = azimuth_deg(places)
    line = np.interp(azimuth, (0, 38, 60, 80, 180), (0.90, 0.86, 0.50, 0.2, -2.0))
    face = smoothstep(0.14, -0.06, y - line) * smoothstep(80.0, 60.0, azimuth)
    front = smoothstep(-0.9, -0.6, z) * smoothstep(0.0, 0.4, y)
    outer, one = np.tanh(x / 0.10), np.ones_like(x)

    def along(fx: np.ndarray, fy: np.ndarray, fz: np.ndarray) -> np.ndarray:
        return unit(tangent(np.stack([fx, fy, fz], axis=-1), chart.directions))

    return CombFields(
        places=places,
        normals=chart.directions,
        top=on_top(places).astype(np.float32),
        face=face.astype(np.float32),
        front=front.astype(np.float32),
        down=unit(tangent(places - np.float32(CROWN) - np.float32([0, 0.05, 0]), chart.directions)),
        back=along(0.3 * outer, 0.1 * one, -one),
        forward=along(0.15 * outer, -0.1 * one, one),
        bangs=along(0.25 * x, -0.3 * one, one),
        knot=unit(tangent(np.float32(KNOT) - places, chart.directions)),
    )
