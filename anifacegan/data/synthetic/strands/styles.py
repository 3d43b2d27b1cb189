"""The hair styles as one table of numbers, and the blend of them that a person wears.

A style is nothing but numbers, so styles can be blended: the roots and random numbers of strands are the same for all
styles, and a person's style is the mean of the table's rows, weighted by ``style_weights`` of
:class:`anifacegan.data.synthetic.looks.appearance.Hair`.
"""

import functools
import math
from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Float

from anifacegan.data.synthetic.looks.appearance import HAIR_STYLES, Hair

LENGTHS = ("length_top", "length_front", "length_sides", "length_nape", "tail_length")
"""Fields of :class:`HairStyle` whose logarithms are averaged when styles are blended: halfway between 0.1 and 1 is
0.3."""


@dataclass(frozen=True)
class HairStyle:
    """Numbers of a hair style; all lengths are model units (decimetres), all shares are from 0 to 1.

    Strengths weight the directions in which a strand is combed against each other; 0 has no effect, about 1 a full one.
    """

    length_top: float
    """Length of the hair on top of the head."""
    length_front: float
    """Length of the hair behind the hair line above the forehead."""
    length_sides: float
    """Length of the hair at the sides, above the ears."""
    length_nape: float
    """Length of the hair low at the back of the head."""
    level: float = 0.0
    """Share by which strands are cut so as to end at one height, ``level_y``, however high their roots are."""
    level_y: float = -0.6
    """Coordinate y at which ``level`` ends strands: the mouth is at -0.45, the chin at -0.8."""
    uneven: float = 0.15
    """Share by which the shortest strands are shorter than the longest next to them."""
    top_forward: float = 0.0
    """Strength with which the hair on top is combed to the front."""
    top_back: float = 0.0
    """Strength with which the hair on top is combed to the back."""
    top_part: float = 0.0
    """Strength with which the hair on top is combed away from the parting, to both sides."""
    top_down: float = 0.0
    """Strength with which the hair on top follows the head down from the crown."""
    sides_down: float = 1.0
    """Strength with which the hair at the sides and at the back is combed down."""
    sides_back: float = 0.2
    """Strength with which the hair at the sides is combed to the back."""
    sides_forward: float = 0.0
    """Strength with which the hair at the sides is combed to the front."""
    knot: float = 0.0
    """Share by which all hair is combed to one point at the back of the head, as tied hair is."""
    off_face: float = 0.0
    """Strength with which hair in front of the face is swept to its sides."""
    outward: float = 0.0
    """Strength with which hair grows straight away from the head."""
    root_lean: float = 0.5
    """Direction of strands at their roots, from upright on the skin (0) to the direction of combing (1)."""
    lift: float = 0.05
    """Length from the root over which a strand loses the direction of its root, to 1 / e."""
    bend: float = 0.05
    """Length over which a strand turns to a new direction, to 1 / e; long for stiff hair."""
    gravity: float = 0.4
    """Strength of gravity, which acts on the parts of a strand that are farther than ``gravity_from`` from the root."""
    gravity_from: float = 0.3
    """Length from the root at which gravity acts with two thirds of its strength."""
    tuck: float = 0.0
    """Strength with which hair that hangs freely turns in to the neck."""
    hug: float = 0.8
    """Share of a strand's motion away from the head that is suppressed while the strand is near the head."""
    volume: float = 0.03
    """Distance from the head of the outermost strands that lie on it."""
    over_ears: float = 0.0
    """Share by which hair passes outside the ears instead of behind them."""
    spread: float = 0.10
    """Random deviation of each strand's direction from that of combing."""
    wild: float = 0.15
    """Random deviation of the direction that neighbouring strands have in common."""
    clump: float = 0.5
    """Share by which the tips of strands are drawn to the strand that leads their clump (group of neighbours)."""
    curl_radius: float = 0.0
    """Radius of curls."""
    curl_turns: float = 1.0
    """Turns of a curl for each model unit of length."""
    curl_together: float = 0.85
    """How equal the phases of curls are among the strands of a clump: 0 (random) to 1 (equal)."""
    tip_detail: float = 0.0
    """Share by which the points of a strand are concentrated near its tip, for hair of which only the outside shows."""
    roundness: float = 0.0
    """Share by which hair is cut to a sphere about the middle of the skull."""
    round_radius: float = 1.3
    """Radius of the sphere to which ``roundness`` cuts hair."""
    fringe: float = 0.0
    """Share by which the hair of the front is cut and combed down to a fringe above the brows."""
    line_raised: float = 0.0
    """Rise of the hair line above the forehead."""
    line_temples: float = 0.0
    """Rise of the hair line at the temples."""
    line_peak: float = 0.0
    """Length of the tip of the hair line in the middle of the forehead."""
    line_soft: float = 0.05
    """Width of the strip along the hair line in which hair gets thinner."""
    crown_bald: float = 0.0
    """Share of the hair that is lost around the crown."""
    density: float = 1.0
    """Share of the long strands that grow."""
    stubble: float = 0.3
    """Share of the short hairs between the long strands that grow."""
    stubble_length: float = 0.03
    """Length of the short hairs between the long strands."""
    tail: float = 0.0
    """Share of the strands of tied hair, which hang from one point at the back of the head, that grow."""
    tail_length: float = 1.5
    """Length of tied hair, from the point at the back of the head where it meets."""
    width_mm: float = 0.26
    """Width of the strands, in millimetres."""
    shine: float = 1.0
    """Factor of the strength of highlights."""
    absorption: float = 7.0
    """Absorption of the light on strands by the hair above them, for each model unit of depth."""


SHORT = HairStyle(
    0.30, 0.28, 0.12, 0.07, top_forward=0.5, top_down=0.6, lift=0.06, gravity=0.2, hug=0.5, wild=0.35,
    spread=0.16, stubble=0.8, volume=0.02, sides_back=0.25, clump=0.45,
)  # fmt: skip
"""Short hair, the style "crop", from which other short styles are derived."""
LONG = HairStyle(
    2.3, 2.2, 2.2, 1.9, tuck=0.25, sides_forward=0.15, over_ears=0.9, level_y=-1.55, level=0.75, top_part=0.9,
    top_down=0.35, top_back=0.15, off_face=1.0, lift=0.05, bend=0.10,
    gravity=1.2, gravity_from=0.5, hug=0.95, volume=0.075, wild=0.12, spread=0.06, clump=0.6, stubble=0.35,
    sides_back=0.0, root_lean=0.6, uneven=0.3,
)  # fmt: skip
"""Long hair, the style "long", from which other long styles are derived."""

STYLES = {
    "crop": SHORT,
    "side_part": replace(
        SHORT, length_top=0.6, length_front=0.62, length_sides=0.16, top_forward=0.0, top_part=1.0, top_down=0.1,
        top_back=0.35, lift=0.10, bend=0.08, hug=0.97, volume=0.045, wild=0.15, spread=0.07, clump=0.6,
        root_lean=0.45, gravity=0.6, gravity_from=0.25,
    ),
    "swept_back": replace(
        SHORT, length_top=0.75, length_front=0.80, length_sides=0.18, length_nape=0.14, top_forward=0.0, top_down=0.0,
        top_back=1.0, sides_back=0.8, lift=0.07, bend=0.10, hug=0.95, volume=0.05, wild=0.15, spread=0.08, clump=0.65,
        line_temples=0.03, root_lean=0.55, gravity=0.35,
    ),
    "short_curls": replace(
        SHORT, length_top=0.42, length_front=0.34, length_sides=0.22, length_nape=0.12, top_down=0.8, top_forward=0.3,
        outward=0.25, lift=0.07, hug=0.5, volume=0.08, curl_radius=0.032, curl_turns=7.0, curl_together=0.9,
        clump=0.75, wild=0.6, spread=0.25, gravity=0.3,
    ),
    "buzz": replace(
        SHORT, length_top=0.055, length_front=0.05, length_sides=0.04, length_nape=0.03, top_forward=0.3, lift=0.05,
        root_lean=0.35, wild=0.2, spread=0.25, clump=0.0, stubble=1.0, stubble_length=0.03, line_soft=0.09,
        width_mm=0.18, gravity=0.0, line_temples=0.02, uneven=0.4, shine=0.5, absorption=3.0,
    ),
    "bald": replace(
        SHORT, length_top=0.02, length_front=0.02, length_sides=0.02, length_nape=0.02, density=0.0, stubble=0.0,
        stubble_length=0.008, line_raised=0.10, line_temples=0.08, line_soft=0.12, clump=0.0, width_mm=0.14,
    ),
    "receding": replace(
        SHORT, length_top=0.16, length_front=0.14, length_sides=0.13, length_nape=0.07, top_back=0.3, top_forward=0.2,
        line_raised=0.16, line_temples=0.17, line_peak=0.05, line_soft=0.16, crown_bald=0.55, density=0.75,
        stubble=0.5, stubble_length=0.02, width_mm=0.2, lift=0.04,
    ),
    "afro": replace(
        SHORT, length_top=0.60, length_front=0.50, length_sides=0.50, length_nape=0.22, top_forward=0.0, top_down=0.0,
        sides_down=0.0, sides_back=0.0, outward=1.2, root_lean=0.0, lift=0.5, gravity=0.0, hug=0.0, volume=0.0,
        spread=0.28, wild=0.35, clump=0.35, curl_radius=0.022, curl_turns=14.0, curl_together=0.3, tip_detail=0.5,
        roundness=0.8, round_radius=1.24, uneven=0.25, width_mm=0.34, shine=0.35, absorption=5.0, stubble=0.6,
        line_soft=0.06,
    ),
    "bob": replace(
        LONG, tuck=0.55, level_y=-0.62, level=0.9, length_top=1.35, length_front=1.30, length_sides=0.9,
        length_nape=0.4, volume=0.08, gravity=1.3, uneven=0.1, gravity_from=0.3,
    ),
    "long": LONG,
    "long_waves": replace(
        LONG, level_y=-1.5, length_top=2.2, length_front=2.1, volume=0.08, curl_radius=0.06, curl_turns=1.3,
        curl_together=0.92, clump=0.7, hug=0.8, wild=0.25, spread=0.05,
    ),
    "curly_long": replace(
        LONG, tuck=0.35, level_y=-1.0, level=0.5, length_top=1.7, length_front=1.5, length_sides=1.5, length_nape=1.2,
        top_part=0.5, top_down=0.6, outward=0.0, volume=0.13, hug=0.8, gravity=1.0, curl_radius=0.055,
        curl_turns=3.0, curl_together=0.92, clump=0.9, wild=0.3, spread=0.06, lift=0.08, off_face=1.4, shine=0.8,
    ),
    "tied": replace(
        LONG, tuck=0.0, root_lean=0.9, bend=0.03, sides_forward=0.0, over_ears=0.0, level=0.0, length_top=1.55,
        length_front=1.7, length_sides=1.3, length_nape=0.8, top_part=0.0, top_down=0.0,
        top_back=0.3, sides_down=0.0, off_face=0.0, knot=1.0, gravity=0.0, volume=0.03, wild=0.06, spread=0.03,
        tail=1.0, lift=0.02, uneven=0.05, line_raised=0.01, hug=1.0,
    ),
    "fringe": replace(LONG, length_top=2.0, length_front=2.0, fringe=1.0, volume=0.07, top_part=0.7, top_down=0.5),
    "pixie": replace(
        SHORT, length_top=0.55, length_front=0.50, length_sides=0.30, length_nape=0.16, top_forward=0.6, top_part=0.5,
        top_down=0.4, sides_forward=0.3, sides_back=0.0, lift=0.08, bend=0.07, volume=0.05, clump=0.65, hug=0.7,
        wild=0.3, stubble=0.4,
    ),
}  # fmt: skip
"""The numbers of each hair style, by its name."""


NAMES = tuple(field.name for field in fields(HairStyle))
BY_LOG = np.array([name in LENGTHS for name in NAMES])


@functools.cache
def _table() -> Float[np.ndarray, "style number"]:
    """Return the numbers of all styles, in the order of ``NAMES``; those of ``LENGTHS`` as logarithms."""
    table = np.array([[getattr(STYLES[style], name) for name in NAMES] for style in HAIR_STYLES])
    table[:, BY_LOG] = np.log(table[:, BY_LOG])
    return table


def blended_style(hair: Hair) -> HairStyle:
    """Return a person's hair style: the mean of all styles in ``STYLES``, weighted by the person's share of each,
    changed by the person's length and curl.
    """
    mean = np.asarray(hair.style_weights, np.float64) @ _table()
    mean[BY_LOG] = np.exp(mean[BY_LOG])
    style = HairStyle(**dict(zip(NAMES, mean.tolist(), strict=True)))
    return replace(
        style,
        **{name: getattr(style, name) * hair.length for name in LENGTHS},
        stubble_length=style.stubble_length * math.sqrt(hair.length),
        curl_radius=style.curl_radius + 0.02 * hair.curl * min(1.0, style.length_top / 0.6),
        curl_turns=style.curl_turns * (1 + 0.3 * hair.curl),
        wild=style.wild + 0.2 * hair.curl,
    )
