"""Appearance of a synthetic image: its attributes, and how entries of the appearance latents become light and colours.

The appearance latents ``z_noise`` are 80 independent standard normal numbers; they determine everything of an image
that is neither shape nor expression:

| slice of ``z_noise`` | meaning |
|---|---|
| 0:48 ``TEXTURE`` | texture coefficients and hair colour, along the directions of :mod:`.appearance_prior` |
| 48:60 ``LIGHT`` | ambient, azimuth, elevation, strength, tint (2), second-order terms (5), shine; fixed to the head |
| 60:70 ``HAIR_STYLE`` | one score for each of ``HAIR_STYLES``; the style with the largest score + bias(z_id) is used |
| 70:73 ``CLOTHES`` | lightness and two chroma axes |
| 73:80 ``BACKGROUND`` | two colours (lightness, two chroma axes each) and the direction of the gradient between them |

A quantity with a uniform distribution is computed by applying the normal distribution function to an entry.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

TEXTURE, LIGHT, HAIR_STYLE = slice(0, 48), slice(48, 60), slice(60, 70)
CLOTHES, BACKGROUND = slice(70, 73), slice(73, 80)

HAIR_STYLES = ("buzz", "short", "quiff", "medium", "afro", "receding", "tied", "long", "fringe", "bald")
"""Hair styles in the order of their scores: nine of the open face model's file, and a bald or shaved head."""


@dataclass(frozen=True)
class Background:
    """A gradient between two colours on the world plane z = -0.12; colours are in [0, 1]."""

    from_rgb: Float[np.ndarray, "3"]
    """Colour at the start of the gradient."""
    to_rgb: Float[np.ndarray, "3"]
    """Colour at the end of the gradient."""
    direction_rad: float
    """Direction of the gradient in the plane, counter-clockwise from +x."""


@dataclass(frozen=True)
class Appearance:
    """Appearance of one person in one image; colours are in [0, 1], gamma-encoded as in an image file."""

    tex: Float[np.ndarray, "80"]
    """Texture coefficients of the open face model."""
    gamma: Float[np.ndarray, "27"]
    """Spherical-harmonics light in Deep3DFaceRecon's convention (RGB x 9), in the head's frame."""
    shine: float
    """Strength of the specular highlights on eyes, lips and skin."""
    hair_style: str | None
    """Name of a hair style of the face model, ``"shaved"`` for stubble on the scalp, or None for a bald head."""
    hair_rgb: Float[np.ndarray, "3"]
    """Colour of the hair."""
    cloth_rgb: Float[np.ndarray, "3"]
    """Colour of the clothes."""
    background: Background
    """Colours behind the head."""


def normal_cdf(z: float | np.floating) -> float:
    """Evaluate the standard normal distribution function."""
    return 0.5 * (1 + math.erf(z / math.sqrt(2)))


def light_from_noise(z: Float[np.ndarray, "12"]) -> tuple[np.ndarray, float]:
    """Map ``z_noise[LIGHT]`` to the light of one soft lamp in front of the head.

    Returns the light as gamma (27,) float32, and the strength of specular highlights.
    """
    ambient = 0.07 + 0.07 * math.tanh(z[0] / 2) * 2
    azimuth = 1.1 * (2 * normal_cdf(z[1]) - 1)
    elevation = -0.25 + 1.15 * normal_cdf(z[2])
    strength = 0.08 + 0.20 * normal_cdf(z[3])
    blue = 0.86 + 0.18 * normal_cdf(z[5])  # warm .. cool
    tint = np.array([1.0, 0.5 + 0.5 * blue + 0.02 * (2 * normal_cdf(z[4]) - 1), blue])
    lamp = np.array(
        [
            math.sin(azimuth) * math.cos(elevation),
            math.sin(elevation),
            math.cos(azimuth) * math.cos(elevation),
        ]
    )
    gamma = np.zeros((3, 9))
    gamma[:, 0] = ambient + (tint - 1) * 0.6
    gamma[:, 1:4] = strength * tint[:, None] * np.array([-lamp[1], lamp[2], -lamp[0]])
    gamma[:, 4:9] = 0.03 * np.asarray(z[6:11])
    return gamma.reshape(27).astype(np.float32), 0.30 + 0.25 * normal_cdf(z[11])


def colour_from_noise(z: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """Map three normal numbers to an RGB colour: lightness is uniform from 0.1 to 0.85, and chroma is mostly low."""
    lightness = 0.10 + 0.75 * normal_cdf(z[0])
    warm = 0.30 * (2 * normal_cdf(z[1]) - 1)
    green = 0.18 * (2 * normal_cdf(z[2]) - 1)
    rgb = lightness * (1 + warm * np.array([1.0, 0.1, -1.0]) + green * np.array([-0.6, 0.8, -0.6]))
    return np.clip(rgb, 0.02, 0.95).astype(np.float32)


def background_from_noise(z: Float[np.ndarray, "7"]) -> Background:
    """Map ``z_noise[BACKGROUND]`` to two related colours and the direction of the gradient between them."""
    first = colour_from_noise(z[0:3])
    second = (0.45 * first + 0.55 * colour_from_noise(z[3:6])).astype(np.float32)
    return Background(first, second, math.pi * (2 * normal_cdf(z[6]) - 1))
