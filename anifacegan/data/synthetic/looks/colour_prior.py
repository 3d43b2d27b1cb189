"""Colours of hair, brows and irises by descent and age, in linear light."""

import numpy as np
from jaxtyping import Float

from anifacegan.data.synthetic.looks.colour import linear_light, palette_colour
from anifacegan.data.synthetic.looks.score_space import between, normal_cdf
from anifacegan.data.synthetic.looks.traits import Traits
from anifacegan.geometry.resampling import smooth_share

HAIR_PALETTE = (
    (0.055, 0.045, 0.045),
    (0.13, 0.085, 0.06),
    (0.23, 0.15, 0.10),
    (0.36, 0.25, 0.16),
    (0.60, 0.50, 0.37),
)
"""Hair colours from black to blond, sRGB in [0, 1]."""
HAIR_SHARES = ((0.80, 0.18, 0.02, 0.0, 0.0), (0.70, 0.25, 0.05, 0.0, 0.0), (0.13, 0.26, 0.29, 0.16, 0.16))
"""Frequency of each hair colour (columns) among people of African, Asian and other descent (rows)."""
RED_HAIR, GREY_HAIR, GREY_BROWS = (0.42, 0.19, 0.09), (0.52, 0.51, 0.50), (0.40, 0.39, 0.38)
DARKEST_HAIR, LIGHTEST_BROW = 0.011, 0.34
"""Least linear colour of hair, and largest sRGB colour of brows, in any channel."""

IRIS_PALETTE = (
    (0.20, 0.10, 0.05),
    (0.30, 0.17, 0.08),
    (0.38, 0.26, 0.13),
    (0.36, 0.36, 0.20),
    (0.42, 0.48, 0.52),
    (0.32, 0.44, 0.52),
    (0.25, 0.38, 0.55),
)
"""Iris colours from dark brown through hazel and green to blue, sRGB in [0, 1]."""
IRIS_SHARES = (
    (0.75, 0.22, 0.03, 0.0, 0.0, 0.0, 0.0),
    (0.6, 0.33, 0.07, 0.0, 0.0, 0.0, 0.0),
    (0.1, 0.25, 0.15, 0.13, 0.1, 0.15, 0.12),
)
"""Frequency of each iris colour (columns) among people of African, Asian and other descent (rows)."""


def hair_colour(traits: Traits, z: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """Return the linear colour of the hair on a person's head.

    ``z`` are standard normal numbers for lightness, redness and how early the hair turns grey.
    """
    colour = between(0.85, 1.2, z[1]) * _natural_hair(traits, z)
    grey = _greyness(traits, z[2])
    colour = colour * (1 - grey) + grey * between(0.85, 1.35, z[0]) * np.array(GREY_HAIR)
    return np.maximum(1.15 * linear_light(np.clip(colour, 0, 0.9)), DARKEST_HAIR).astype(np.float32)


def brow_colour(traits: Traits, z: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """Return the linear colour of a person's brows and beard, which turn less grey than the hair on the head.

    ``z`` are the standard normal numbers of the hair: lightness, redness and how early it turns grey.
    """
    grey = 0.6 * _greyness(traits, z[2])
    colour = 0.85 * _natural_hair(traits, z) * (1 - grey) + grey * np.array(GREY_BROWS)
    # light brows are darker than light hair: soft limit
    colour = colour * LIGHTEST_BROW / (LIGHTEST_BROW**4 + colour.max() ** 4) ** 0.25
    return np.maximum(linear_light(colour), 0.7 * DARKEST_HAIR).astype(np.float32)


def iris_colour(traits: Traits, z: Float[np.ndarray, "2"]) -> Float[np.ndarray, "3"]:
    """Return the linear colour of a person's irises.

    ``z`` are standard normal numbers: the position from dark brown to blue, and a factor of the brightness.
    """
    colour = palette_colour(IRIS_PALETTE, _place(IRIS_SHARES, traits, z[0]))
    return linear_light(colour * between(0.8, 1.2, z[1])).astype(np.float32)


def _natural_hair(traits: Traits, z: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """Return the hair colour of youth, encoded: from the palette, or red for one in sixteen of other descent."""
    colour = palette_colour(HAIR_PALETTE, _place(HAIR_SHARES, traits, z[0]))
    red = smooth_share(1.2, 1.9, z[1]) * (1 - traits.african - traits.asian)
    return colour + red * (np.array(RED_HAIR) - colour)


def _greyness(traits: Traits, z: float) -> float:
    return smooth_share(42.0, 70.0, traits.age_years + 7 * float(z))


def _place(shares: tuple[tuple[float, ...], ...], traits: Traits, z: float) -> float:
    """Return a place in a palette, from 0 to its last index; ``shares`` are the frequencies by descent."""
    quantile = normal_cdf(z)
    descents = (traits.african, traits.asian, 1 - traits.african - traits.asian)
    place = 0.0
    for descent, row in zip(descents, shares, strict=True):
        ends = np.cumsum(row) / sum(row)
        middles = ends - 0.5 * np.array(row) / sum(row)  # strictly rising up to the last colour that occurs
        occurring = int(np.count_nonzero(row))
        place += descent * float(np.interp(quantile, middles[:occurring], np.arange(occurring)))
    return place
