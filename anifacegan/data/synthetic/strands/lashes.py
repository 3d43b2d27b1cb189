"""Lashes: strands from the margins (edges) of the lids, which move with the lids in every expression."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from anifacegan.data.synthetic.looks.appearance import Lashes
from anifacegan.data.synthetic.strands.strands import Strands
from anifacegan.data.synthetic.surface.head import HeadGeometry
from anifacegan.geometry.normals import unit

UPPER_LASHES, LOWER_LASHES, STEPS = 90, 46, 6
"""Numbers of lashes of an upper and of a lower lid, and of points of each."""
UPPER_LENGTH, LOWER_LENGTH = 0.078, 0.034
"""Lengths of the longest lashes, model units."""
WIDTH_MM = 0.17
LASH_RGB = (0.010, 0.008, 0.007)
SIDES = (1, -1)
"""Sides of the eye at +x and of the eye at -x."""
CORNER = 1
"""Number of vertices at each end of a lid's margin that bear no lashes."""


@dataclass(frozen=True)
class LashRow:
    """Where the lashes of one lid grow, on its margin (edge), and their random numbers; the same for everyone."""

    margin: Int[np.ndarray, " column"]
    """Vertex indices of the lid's margin from +x to -x, without the corners of the eye."""
    ball: Int[np.ndarray, " ball_vertex"]
    """Vertex indices of the eyeball."""
    place: Float[np.ndarray, " lash"]
    """Position of each lash along the margin, as a fractional index in ``margin``."""
    length: Float[np.ndarray, " lash"]
    """Random factor of the length of each lash."""
    stray: Float[np.ndarray, "lash 3"]
    """Random vector that is added to each lash's direction."""
    rank: Float[np.ndarray, " lash"]
    """Uniform random number of each lash, 0 to 1; those with low ranks remain where a person's lashes are thin."""
    upper: bool
    """Whether the lid is the upper one of the eye."""
    side: int
    """Side of the lid's eye: 1 at +x, -1 at -x."""


def prepare_lashes(head: HeadGeometry) -> list[LashRow]:
    """Scatter lashes along the margins (edges) of the lids, with a fixed seed, so that they are the same for
    everyone.
    """
    rng = np.random.default_rng(13)
    rows = []
    for eye, side in zip(head.eyes, SIDES[: len(head.eyes)], strict=True):
        for upper in (True, False):
            inner_to_outer = eye.closing.upper if upper else eye.closing.lower
            margin = inner_to_outer[CORNER:-CORNER][::-side]
            if len(margin) < 2:
                continue
            count = UPPER_LASHES if upper else LOWER_LASHES
            spread = (np.arange(count) + rng.uniform(-0.3, 0.3, count)) / (count - 1)
            rows.append(
                LashRow(
                    margin=margin,
                    ball=eye.ball,
                    place=np.clip(spread, 0, 1) * (len(margin) - 1),
                    length=rng.uniform(0.65, 1.1, count),
                    stray=rng.normal(0, 0.10, (count, 3)),
                    rank=rng.random(count),
                    upper=upper,
                    side=side,
                )
            )
    return rows


def grow_lashes(
    rows: list[LashRow], lashes: Lashes, vertices: Float[np.ndarray, "vertex 3"]
) -> Strands | None:
    """Grow a person's lashes on the lids; None if the head has no lids.

    Args:
        rows: lashes of all lids, see :func:`prepare_lashes`.
        lashes: length and density of the person's lashes.
        vertices: vertices of the person's head with an expression, model units.
    """
    if not rows:
        return None
    points = np.concatenate([_row_points(row, lashes, vertices) for row in rows]).astype(np.float32)
    cover = np.concatenate([_row_cover(row, lashes) for row in rows]).astype(np.float32)
    rgb = np.tile(np.float32(LASH_RGB), (len(points), 1))
    return Strands(points, rgb, cover, np.arange(len(points)), WIDTH_MM, 0.0, 0.15, on_scalp=False)


def _row_points(
    row: LashRow, lashes: Lashes, vertices: Float[np.ndarray, "vertex 3"]
) -> Float[np.ndarray, "lash step 3"]:
    margin = vertices[row.margin].astype(np.float64)
    low = np.minimum(row.place.astype(int), len(margin) - 2)
    roots = margin[low] + (row.place - low)[:, None] * (margin[low + 1] - margin[low])
    centre = vertices[row.ball].mean(axis=0) - np.array([0, 0, 0.05])
    outward = unit(roots - centre)
    up = unit(np.array([0, 1.0, 0]) - outward[:, 1:2] * outward)
    along = row.place / (len(margin) - 1)
    outer = 1 - along if row.side > 0 else along  # 0 at the nose, 1 at the temple
    fan = (0.6 * row.side * (outer - 0.45))[:, None] * np.array([1.0, 0, 0]) + row.stray
    share = np.linspace(0, 1, STEPS)[:, None]
    if row.upper:
        # shorter toward both corners, most at the nose
        length = UPPER_LENGTH * (0.45 + 0.9 * outer * (1 - 0.55 * outer))
        # out over the eye first, a little down, and then up
        path = (1.05 * outward + fan - 0.15 * up)[:, None] * share + (0.62 * up)[:, None] * share**2.2
    else:
        length = LOWER_LENGTH * (0.55 + 0.45 * outer)
        path = (0.8 * outward + 0.7 * fan - 0.5 * up)[:, None] * share - (0.25 * up)[:, None] * share**2
    length = length * row.length * (0.55 + 0.45 * lashes.length)
    return roots[:, None] + length[:, None, None] * path + 0.003 * outward[:, None]


def _row_cover(row: LashRow, lashes: Lashes) -> Float[np.ndarray, " lash"]:
    share = (0.45 + 0.55 * lashes.density) * (1.0 if row.upper else 0.75)
    strength = np.clip((share * 1.2 - row.rank) / 0.2, 0, 1)
    return strength * ((0.55 if row.upper else 0.30) + (0.45 if row.upper else 0.25) * lashes.density)
