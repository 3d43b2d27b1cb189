"""Glasses, clothes and background as smooth functions of the appearance latents, which are standard normal numbers."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import ndtri

from anifacegan.data.synthetic.looks.appearance import BACKGROUND_KINDS, Background, Clothes, Glasses
from anifacegan.data.synthetic.looks.colour import palette_colour
from anifacegan.data.synthetic.looks.score_space import between, biases, kind_weights, normal_cdf, places
from anifacegan.data.synthetic.looks.traits import Traits
from anifacegan.geometry.resampling import smooth_share

GLASSES_YOUNG, GLASSES_OLD = 0.10, 0.24
"""Share of young and of old people with glasses."""
GLASSES_EDGE = 0.12
"""Half the width of the transition between no glasses and glasses, in standard deviations of the latent."""
FRAME_COLOURS = (
    (0.01, 0.01, 0.01),
    (0.02, 0.02, 0.025),
    (0.05, 0.03, 0.02),
    (0.10, 0.05, 0.02),
    (0.25, 0.24, 0.23),
)
"""Linear colours of frames: black, dark, brown, tortoise, metal."""

CLOTH_QUANTILES = (0.0, 0.4, 0.8, 1.0)
CLOTH_LIGHTNESS = (0.02, 0.08, 0.35, 0.70)
COLLAR_QUANTILES, COLLARS = (0.0, 0.25, 0.35, 0.65, 0.75, 1.0), (-0.2, -0.2, 0.0, 0.0, 0.22, 0.22)

PALETTES = {
    "wall": ((0.55, 0.52, 0.48), (0.40, 0.40, 0.42), (0.65, 0.62, 0.58), (0.25, 0.28, 0.32)),
    "green": ((0.05, 0.10, 0.03), (0.12, 0.20, 0.06), (0.25, 0.32, 0.12), (0.45, 0.55, 0.50)),
    "room": ((0.20, 0.13, 0.08), (0.35, 0.28, 0.20), (0.08, 0.06, 0.05), (0.60, 0.52, 0.42)),
    "street": ((0.18, 0.19, 0.21), (0.30, 0.29, 0.28), (0.08, 0.08, 0.10), (0.50, 0.55, 0.60)),
    "studio": ((0.03, 0.03, 0.035), (0.12, 0.12, 0.13), (0.30, 0.30, 0.31), (0.55, 0.55, 0.56)),
}
"""Palette of linear colours of each kind of background."""
FREQUENCIES = {"wall": 0.25, "green": 0.2, "room": 0.25, "street": 0.15, "studio": 0.15}
"""Frequency of each kind of background among random latents."""
KIND_PLACES = {
    name: (math.cos(2 * math.pi * number / 5), math.sin(2 * math.pi * number / 5))
    for number, name in enumerate(("studio", "wall", "room", "street", "green"))
}
"""Unit direction of each kind of background in the space of its first two latents: latents in that direction give that
kind, see :mod:`.score_space`."""
TEMPERATURE = 0.08
LIGHTS = {"wall": 0.1, "green": 0.9, "room": 1.0, "street": 1.0, "studio": 0.0}
"""Largest opacity of the out-of-focus discs of light in each kind of background."""
LIGHT_TINTS = {
    "wall": (1.0, 0.95, 0.85),
    "green": (0.85, 1.0, 0.7),
    "room": (1.0, 0.9, 0.7),
    "street": (1.0, 0.9, 0.75),
    "studio": (1.0, 1.0, 1.0),
}
SHIFT_SIGMA = 0.05
"""Standard deviation of the background's random horizontal shift, in world units."""


def glasses(traits: Traits, z: Float[np.ndarray, "4"]) -> Glasses:
    """Return the glasses of a person; six in seven people get none (size 0).

    ``z`` are latents of size, width, roundness, and colour with thickness.
    """
    share = GLASSES_YOUNG + (GLASSES_OLD - GLASSES_YOUNG) * smooth_share(40.0, 65.0, traits.age_years)
    start = float(-ndtri(share))
    colour = palette_colour(FRAME_COLOURS, (len(FRAME_COLOURS) - 1) * normal_cdf(z[3]))
    return Glasses(
        size=smooth_share(start - GLASSES_EDGE, start + GLASSES_EDGE, z[0]),
        width=between(0.70, 0.80, z[1]),
        height=between(0.17, 0.24, 0.6 * z[1] + 0.8 * z[2]),
        roundness=between(4.5, 2.0, z[2]),
        thickness=between(0.022, 0.010, z[3]),
        rgb=colour.astype(np.float32),
    )


def clothes(z: Float[np.ndarray, "4"]) -> Clothes:
    """Return clothes, mostly dark and of little chroma.

    ``z`` are latents of lightness, of two chroma axes, and of the collar's height.
    """
    lightness = float(np.interp(normal_cdf(z[0]), CLOTH_QUANTILES, CLOTH_LIGHTNESS))
    return Clothes(
        rgb=lightness_and_chroma(lightness, z[1:3]),
        collar=float(np.interp(normal_cdf(z[3]), COLLAR_QUANTILES, COLLARS)),
    )


def lightness_and_chroma(lightness: float, z: Float[np.ndarray, "2"]) -> Float[np.ndarray, "3"]:
    """Return a linear RGB colour with a lightness (0 to 1) and, mostly weak, chroma.

    ``z`` are standard normal numbers on two chroma axes, blue to orange and magenta to green.
    """
    warm, green = (0.6 * math.tanh(0.4 * value * abs(value)) for value in z)
    rgb = lightness * np.exp(warm * np.array([1.0, 0.1, -1.0]) + green * np.array([-0.6, 0.8, -0.6]))
    return np.clip(rgb, 0.008, 0.85).astype(np.float32)


@dataclass(frozen=True)
class BackgroundPrior:
    """Map from the 8 appearance latents of the background, ``z_noise[72:80]``, to the background."""

    places: Float[np.ndarray, "5 2"]
    """Unit direction of each kind of background in latent space, see ``KIND_PLACES``."""
    bias: Float[np.ndarray, "5"]
    """Bias of each kind's score, which sets its frequency."""

    @classmethod
    def fit(cls) -> "BackgroundPrior":
        """Compute the biases with which the kinds of background are as frequent as they should be."""
        kind_places = places(KIND_PLACES, BACKGROUND_KINDS)
        frequencies = np.array([FREQUENCIES[name] for name in BACKGROUND_KINDS])
        return cls(kind_places, biases(frequencies, kind_places, TEMPERATURE))

    def background(self, z: Float[np.ndarray, "8"]) -> Background:
        """Return the background of the 8 appearance latents of the background, ``z_noise[72:80]``."""
        weights = kind_weights(z[:2], self.places, self.bias, TEMPERATURE)
        first, second, hue, turn, shift, lights = z[2:]
        palette = np.einsum("k,kpc->pc", weights, np.array([PALETTES[name] for name in BACKGROUND_KINDS]))
        palette = palette * np.exp(0.12 * math.tanh(hue) * np.array([1.0, 0.0, -1.0]))
        palette = palette * between(0.75, 1.25, 0.6 * hue + 0.8 * first)
        tint = weights @ np.array([LIGHT_TINTS[name] for name in BACKGROUND_KINDS])
        last = len(palette) - 1
        most = float(weights @ np.array([LIGHTS[name] for name in BACKGROUND_KINDS]))
        return Background(
            kind_weights=weights.astype(np.float32),
            first_rgb=palette_colour(palette, last * normal_cdf(first)).astype(np.float32),
            second_rgb=palette_colour(palette, last * normal_cdf(second)).astype(np.float32),
            turn_rad=math.pi * (2 * normal_cdf(turn) - 1),
            palette_rgb=palette.astype(np.float32),
            shift=SHIFT_SIGMA * float(shift),
            lights_rgb=(tint * between(0.6, 1.6, lights)).astype(np.float32),
            lights=most * smooth_share(-0.4, 0.6, lights),
        )
