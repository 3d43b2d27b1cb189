"""Hair on the head, brows, lashes and beard as smooth functions of a person's traits and appearance latents.

The latents are standard normal numbers, parts of ``z_noise`` (:mod:`.appearance`).
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from anifacegan.data.synthetic.looks.appearance import HAIR_STYLES, Beard, Brows, Hair, Lashes
from anifacegan.data.synthetic.looks.colour_prior import brow_colour, hair_colour
from anifacegan.data.synthetic.looks.score_space import between, biases, kind_weights, normal_cdf, places
from anifacegan.data.synthetic.looks.traits import Traits
from anifacegan.geometry.resampling import smooth_share

STYLE_PLACES = {
    # length, curls, bare scalp, combed back, over the forehead, volume
    "crop": (-0.6, -0.2, -0.1, -0.3, 0.5, 0.0),
    "side_part": (-0.3, -0.5, -0.5, 0.2, 0.1, 0.2),
    "swept_back": (-0.2, -0.4, -0.3, 0.8, -0.5, 0.2),
    "short_curls": (-0.4, 0.7, -0.3, -0.1, 0.4, 0.3),
    "buzz": (-0.8, 0.1, 0.5, 0.0, -0.1, -0.4),
    "bald": (-0.6, 0.0, 1.0, 0.0, -0.2, -0.4),
    "receding": (-0.5, -0.2, 0.7, 0.5, -0.4, -0.1),
    "afro": (-0.1, 0.8, -0.1, -0.2, -0.1, 0.9),
    "bob": (0.4, -0.4, -0.4, -0.2, 0.1, 0.3),
    "long": (0.9, -0.5, -0.2, 0.0, -0.2, -0.1),
    "long_waves": (0.8, 0.3, -0.4, 0.0, -0.1, 0.4),
    "curly_long": (0.6, 0.9, -0.2, 0.0, 0.0, 0.5),
    "tied": (0.3, 0.0, 0.1, 0.9, -0.4, -0.5),
    "fringe": (0.6, -0.4, -0.3, -0.5, 0.8, 0.1),
    "pixie": (-0.3, -0.3, -0.3, -0.3, 0.5, 0.5),
}
"""Direction of each hair style in the latent space ``HAIR_STYLE``: latents in that direction give that style, see
:mod:`.score_space`; lengths do not count."""
TEMPERATURE = 0.05
"""Temperature of the softmax that gives the shares of the styles; nine in ten people have one of more than 0.8."""

WOMEN = {
    "long": 0.24,
    "long_waves": 0.22,
    "bob": 0.12,
    "tied": 0.17,
    "fringe": 0.12,
    "pixie": 0.06,
    "curly_long": 0.07,
}
AFRICAN_WOMEN = {
    "curly_long": 0.30,
    "afro": 0.28,
    "tied": 0.24,
    "long": 0.08,
    "long_waves": 0.05,
    "buzz": 0.05,
}
MEN = {
    "crop": 0.29,
    "side_part": 0.18,
    "swept_back": 0.12,
    "short_curls": 0.09,
    "buzz": 0.11,
    "bald": 0.06,
    "receding": 0.09,
    "long": 0.02,
    "curly_long": 0.02,
    "tied": 0.02,
}
AFRICAN_MEN = {"buzz": 0.42, "bald": 0.16, "afro": 0.16, "short_curls": 0.14, "crop": 0.10, "tied": 0.02}
ASIAN_FACTORS = {
    "short_curls": 0.15,
    "curly_long": 0.1,
    "afro": 0.0,
    "long_waves": 0.6,
    "long": 1.5,
    "bald": 0.5,
}
"""Factors of the frequencies of hair styles for people of Asian descent."""
OLD_MEN = {"receding": 0.28, "bald": 0.08}
OLD_WOMEN = {"pixie": 0.30, "bob": 0.25}
"""Frequencies of hair styles that are added for old people before all are divided by their sum."""

GROUP_NAMES = tuple(
    (sex, descent, age)
    for sex in ("w", "m")
    for descent in ("african", "asian", "other")
    for age in ("young", "old")
)
"""Groups of people by sex, descent and age with frequencies of hair styles of their own, in the rows' order of
``style_biases``."""


def style_frequencies(sex: str, descent: str, age: str) -> dict[str, float]:
    """Return the frequencies of hair styles in a group of people: name of the style -> share of the people, with sum 1.
    Styles that are not named do not occur.

    ``sex`` is w or m; ``descent`` is african, asian or other; ``age`` is young or old.
    """
    usual = {"w": (WOMEN, AFRICAN_WOMEN), "m": (MEN, AFRICAN_MEN)}[sex]
    table = dict(usual[descent == "african"])
    if descent == "asian":
        table = {style: share * ASIAN_FACTORS.get(style, 1.0) for style, share in table.items()}
    if age == "old":
        for style, share in (OLD_WOMEN if sex == "w" else OLD_MEN).items():
            table[style] = table.get(style, 0.0) + share * (0.5 if descent == "african" else 1.0)
    total = sum(table.values())
    return {style: share / total for style, share in table.items()}


@functools.cache
def style_biases() -> Float[np.ndarray, "12 15"]:
    """Compute, once, the biases of the hair styles (columns) with which the styles are as frequent as they should be in
    each group of sex, descent and age (rows).

    The bias of a style is added to its score; the styles of a person are a softmax of the scores.
    """
    style_places = places(STYLE_PLACES, HAIR_STYLES)
    tables = [style_frequencies(*group) for group in GROUP_NAMES]
    return np.stack(
        [
            biases(np.array([table.get(style, 0.0) for style in HAIR_STYLES]), style_places, TEMPERATURE)
            for table in tables
        ]
    )


@dataclass(frozen=True)
class HairPrior:
    """Map from a person's traits and appearance latents to the hair of the head."""

    places: Float[np.ndarray, "15 6"]
    """Unit direction of each hair style in the latent space, see ``STYLE_PLACES``."""
    biases: Float[np.ndarray, "12 15"]
    """Bias of each hair style's score, which sets its frequency, in each group of sex, descent and age (rows as
    ``GROUP_NAMES``)."""

    @classmethod
    def fit(cls) -> "HairPrior":
        """Compute the biases in the choice of a style with which the hair styles are as frequent as they should be."""
        return cls(places(STYLE_PLACES, HAIR_STYLES), style_biases())

    def hair(
        self,
        traits: Traits,
        z_style: Float[np.ndarray, "6"],
        z_shape: Float[np.ndarray, "3"],
        z_colour: Float[np.ndarray, "3"],
    ) -> Hair:
        """Return the hair of a person.

        Args:
            traits: sex, age and descent of the person.
            z_style: latents of the style, a vector whose direction selects it.
            z_shape: latents of length, curl and parting.
            z_colour: latents of lightness, redness and grey.
        """
        sexes = (1 - traits.male, traits.male)
        descents = (traits.african, traits.asian, 1 - traits.african - traits.asian)
        ages = (1 - traits.old, traits.old)
        groups = np.einsum("s,d,a->sda", sexes, descents, ages).reshape(-1)
        weights = kind_weights(z_style, self.places, groups @ self.biases, TEMPERATURE)
        curliness = min(1.0, 0.35 * max(0.0, normal_cdf(z_shape[1]) - 0.3) / 0.7 + 0.5 * traits.african)
        return Hair(
            style_weights=weights.astype(np.float32),
            length=between(0.65, 1.4, z_shape[0]),
            curl=curliness,
            parting=math.tanh(1.5 * z_shape[2]),
            rgb=hair_colour(traits, z_colour),
        )


def brows(traits: Traits, z: Float[np.ndarray, "5"], z_colour: Float[np.ndarray, "3"]) -> Brows:
    """Return the brows of a person.

    ``z`` are latents of thickness, height, tilt, arch and density; ``z_colour`` of lightness, redness and grey.
    """
    return Brows(
        thickness=0.85 + 0.45 * traits.male + 0.65 * math.tanh(0.7 * z[0]),
        height=0.030 * math.tanh(0.4 * z[1]),
        tilt=-0.01 + 0.12 * math.tanh(0.5 * z[2]),
        arch=0.024 * normal_cdf(z[3]) * (1 - 0.4 * traits.male),
        density=between(0.65, 1.4, z[4]) * (1 - 0.15 * traits.old),
        rgb=brow_colour(traits, z_colour),
    )


def lashes(traits: Traits, z: Float[np.ndarray, "1"]) -> Lashes:
    """Return the lashes of a person; ``z`` is the latent of their length, on which their density depends, too."""
    length = 0.9 - 0.35 * traits.male - 0.15 * traits.old + 0.15 * math.tanh(z[0])
    return Lashes(length=length, density=min(1.0, 0.15 + 0.85 * length))


def beard(traits: Traits, z: Float[np.ndarray, "4"], z_colour: Float[np.ndarray, "3"]) -> Beard:
    """Return the beard of a person: none for women; a shadow, stubble or (a third of them) a beard for men.

    ``z`` are latents of density, length, cheeks, and moustache against chin; ``z_colour`` of lightness, redness and
    grey.
    """
    share = normal_cdf(z[0])
    grown = smooth_share(0.64, 0.76, share)  # a beard, not only a shadow or stubble
    density = traits.male * float(np.interp(share, (0, 0.34, 0.64, 0.76, 1.0), (0.05, 0.20, 0.50, 0.75, 1.0)))
    density *= (1 - 0.35 * traits.asian) * (0.55 + 0.45 * smooth_share(17.0, 27.0, traits.age_years))
    short = 0.006 + 0.010 * share
    long = 0.10 * math.exp(1.0 * math.tanh(0.7 * z[1]))
    bare_cheeks = grown * smooth_share(-0.1, -0.6, z[2])
    only_one = grown * abs(math.tanh(z[3])) ** 3
    return Beard(
        density=density,
        length=short + grown * (long - short),
        cheeks=1 - bare_cheeks,
        moustache=1 - only_one * float(z[3] > 0),
        chin=1 - only_one * float(z[3] < 0),
        rgb=(1.1 * brow_colour(traits, z_colour)).astype(np.float32),
    )
