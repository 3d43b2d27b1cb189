"""The direction in which hair is combed at each place of the head: a sum of fixed fields with a style's strengths.

The fields are given on a square grid of directions from the middle of the skull (:mod:`.head_chart`).
"""

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
"""Point where tied hair meets, model units."""
PARTING_REACH, PARTING_WIDTH = 0.27, 0.05
"""Distance of the leftmost and rightmost parting from the middle, and the width over which combing changes from one
side to the other; model units."""


Directions = Float[np.ndarray, "row column 3"]
"""Unit directions at the nodes of the grid over the head."""


@dataclass(frozen=True)
class CombFields:
    """Directions in which hair can be combed, and parts of the head, at the nodes of a square grid of directions from
    the middle of the skull; the same for everyone.
    """

    places: Float[np.ndarray, "row column 3"]
    """Points of the mean head that belong to the nodes, model units."""
    normals: Float[np.ndarray, "row column 3"]
    """Unit directions away from the middle of the skull."""
    top: Float[np.ndarray, "row column"]
    """How much each node belongs to the top of the head, 0 to 1."""
    face: Float[np.ndarray, "row column"]
    """How much each node belongs to the face, below the hair line, 0 to 1."""
    front: Float[np.ndarray, "row column"]
    """How much each node belongs to the front part, from which a fringe is combed, 0 to 1."""
    down: Directions
    """Directions down from the crown, along the head."""
    back: Directions
    """Directions to the back, along the head."""
    forward: Directions
    """Directions to the front, along the head."""
    bangs: Directions
    """Directions to the front and a little aside, as a fringe lies."""
    knot: Directions
    """Directions to the point at the back of the head where tied hair meets."""

    def combed(
        self, style: HairStyle, parting: float, fringe: float = 0.0
    ) -> Float[np.ndarray, "row column 4"]:
        """Compute how a person's hair is combed at each node of the grid: a direction (the first three numbers), and
        the least influence of this direction on a strand (the fourth, 0 to 1).

        The direction is mostly of length 1 or shorter. Its influence falls with the strand's distance from the head,
        but not below the least influence, which is large before the face and in tied hair.

        Args:
            style: the person's hair style.
            parting: side of the parting, -1 (the person's right) to 1 (left).
            fringe: share by which the front is combed to a fringe, 0 to 1.
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
    """Compute the directions in which hair can be combed at the nodes of ``chart``, a square grid of directions from
    the middle of the skull.

    ``mean`` are the vertices of the mean head, model units.
    """
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
