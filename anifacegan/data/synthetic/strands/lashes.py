"""Lashes: strands from the margins of the lids, which follow the lids of the present expression."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from anifacegan.data.synthetic.appearance import Lashes
from anifacegan.data.synthetic.head import EYE_LABELS, HeadGeometry
from anifacegan.data.synthetic.strands.roots import unit
from anifacegan.data.synthetic.strands.strands import Strands

UPPER_LASHES, LOWER_LASHES, STEPS = 90, 46, 6
"""Numbers of lashes of an upper and of a lower lid, and of points of each."""
UPPER_LENGTH, LOWER_LENGTH = 0.080, 0.038
"""Lengths of the longest lashes, model units."""
WIDTH_MM = 0.17
LASH_RGB = (0.010, 0.008, 0.007)
EYE_MARKS = (range(42, 48), range(36, 42))
"""Indices of the landmarks of the eye at +x and of the eye at -x."""
COLUMNS, CORNER, REACH, FLATNESS = 17, 0.20, 0.14, 2.2
"""Numbers of places along a margin; angle about the eye's middle that is left out at each corner, and half the angle in
which a place's vertex is searched, radians; width of an eye's opening over its height."""
BEHIND = 0.09
"""Vertices farther behind the eye's middle than this are no margin, model units."""


@dataclass(frozen=True)
class LashRow:
    """Lashes of one lid, the same for everyone."""

    margin: Int[np.ndarray, " column"]
    """Vertices of the lid's margin from +x to -x."""
    ball: Int[np.ndarray, " ball_vertex"]
    """Vertices of the eyeball."""
    place: Float[np.ndarray, " lash"]
    """Position of each lash along the margin, in vertices."""
    length: Float[np.ndarray, " lash"]
    """Factor of the length of each lash."""
    stray: Float[np.ndarray, "lash 3"]
    """Deviation of each lash's direction."""
    rank: Float[np.ndarray, " lash"]
    """Uniform number, 0 to 1; lashes with low ranks remain where they are thin."""
    upper: bool
    """Whether it is an upper lid."""
    side: int
    """1 for the eye at +x, -1 for the eye at -x."""


def prepare_lashes(head: HeadGeometry) -> list[LashRow]:
    """Find the margins of the lids on the mean head and scatter lashes along them, with a fixed seed."""
    mean = head.mean.reshape(-1, 3)
    rng = np.random.default_rng(13)
    rows = []
    for marks, lids, label, side in zip(
        EYE_MARKS, tuple(eye.lids for eye in head.eyes), EYE_LABELS, (1, -1), strict=True
    ):
        middle = mean[head.landmark_vertices[list(marks)]].mean(axis=0)
        for upper in (True, False):
            margin = _margin(mean, lids, middle, upper)
            if len(margin) < 2:
                continue
            count = UPPER_LASHES if upper else LOWER_LASHES
            spread = (np.arange(count) + rng.uniform(-0.3, 0.3, count)) / (count - 1)
            rows.append(
                LashRow(
                    margin=margin,
                    ball=np.flatnonzero(head.parts.part == label),
                    place=np.clip(spread, 0, 1) * (len(margin) - 1),
                    length=rng.uniform(0.65, 1.1, count),
                    stray=rng.normal(0, 0.10, (count, 3)),
                    rank=rng.random(count),
                    upper=upper,
                    side=side,
                )
            )
    return rows


def _margin(
    mean: Float[np.ndarray, "vertex 3"],
    lids: Int[np.ndarray, " lid_vertex"],
    middle: Float[np.ndarray, "3"],
    upper: bool,
) -> Int[np.ndarray, " column"]:
    """Return the lid vertices nearest to the eye's middle in evenly spread directions, from +x to -x."""
    offset = mean[lids] - middle
    angle = np.arctan2(FLATNESS * offset[:, 1], offset[:, 0])
    radius = np.hypot(offset[:, 0], FLATNESS * offset[:, 1])
    found = []
    for turn in np.linspace(CORNER, np.pi - CORNER, COLUMNS):
        apart = np.abs(np.angle(np.exp(1j * (angle - (turn if upper else -turn)))))
        near = np.flatnonzero((apart < REACH) & (offset[:, 2] > -BEHIND))
        if len(near):
            found.append(lids[near[radius[near].argmin()]])
    return np.array(list(dict.fromkeys(found)), np.int64)


def grow_lashes(
    rows: list[LashRow], lashes: Lashes, vertices: Float[np.ndarray, "vertex 3"]
) -> Strands | None:
    """Grow a person's lashes on the lids of the present expression; None if the head has no lids."""
    if not rows:
        return None
    points = np.concatenate([_row_points(row, lashes, vertices) for row in rows]).astype(np.float32)
    cover = np.concatenate([_row_cover(row, lashes) for row in rows]).astype(np.float32)
    rgb = np.tile(np.float32(LASH_RGB), (len(points), 1))
    return Strands(points, rgb, cover, WIDTH_MM, 0.0, 0.15, on_scalp=False)


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
    fan = (0.9 * row.side * (outer - 0.42))[:, None] * np.array([1.0, 0, 0]) + row.stray
    share = np.linspace(0, 1, STEPS)[:, None]
    if row.upper:
        length = UPPER_LENGTH * (0.70 + 0.45 * outer)
        # out over the eye first, a little down, and then up
        path = (outward + fan - 0.20 * up)[:, None] * share + (1.05 * up)[:, None] * share**2.2
    else:
        length = LOWER_LENGTH * (0.70 + 0.40 * outer)
        path = (0.8 * outward + 0.7 * fan - 0.5 * up)[:, None] * share - (0.25 * up)[:, None] * share**2
    length = length * row.length * (0.55 + 0.45 * lashes.length)
    return roots[:, None] + length[:, None, None] * path + 0.003 * outward[:, None]


def _row_cover(row: LashRow, lashes: Lashes) -> Float[np.ndarray, " lash"]:
    share = (0.45 + 0.55 * lashes.density) * (1.0 if row.upper else 0.75)
    strength = np.clip((share * 1.2 - row.rank) / 0.2, 0, 1)
    return strength * ((0.55 if row.upper else 0.30) + (0.45 if row.upper else 0.25) * lashes.density)
