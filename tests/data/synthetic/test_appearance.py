"""Light, colours and slices of the appearance latents."""

import math

import numpy as np

from anifacegan.data.synthetic.appearance import (
    BACKGROUND,
    CLOTHES,
    HAIR_STYLE,
    LIGHT,
    TEXTURE,
    background_from_noise,
    colour_from_noise,
    light_from_noise,
)
from anifacegan.geometry.conventions import NOISE_DIM


def test_the_slices_of_the_noise_cover_it_without_overlap() -> None:
    covered = [
        i for part in (TEXTURE, LIGHT, HAIR_STYLE, CLOTHES, BACKGROUND) for i in range(NOISE_DIM)[part]
    ]
    assert covered == list(range(NOISE_DIM))


def test_light_never_leaves_the_front_and_is_monotone_in_its_strength() -> None:
    rng = np.random.default_rng(6)
    for _ in range(300):
        gamma, shine = light_from_noise(rng.standard_normal(12) * 2)
        assert np.isfinite(gamma).all() and 0.3 <= shine <= 0.55
        linear = gamma.reshape(3, 9).mean(axis=0)
        lamp = np.array([-linear[3], -linear[1], linear[2]])
        assert lamp[2] / np.linalg.norm(lamp) > 0.25
    z = np.zeros(12)
    strengths = []
    for z[3] in (-2.0, 0.0, 2.0):
        strengths.append(np.linalg.norm(light_from_noise(z)[0][1:4]))
    assert strengths == sorted(strengths)


def test_colours_stay_in_range_and_backgrounds_are_related() -> None:
    rng = np.random.default_rng(7)
    for _ in range(200):
        rgb = colour_from_noise(rng.standard_normal(3) * 3)
        assert rgb.min() >= 0.02 and rgb.max() <= 0.95
        ground = background_from_noise(rng.standard_normal(7))
        assert np.abs(ground.to_rgb - ground.from_rgb).max() < 0.55
        assert -math.pi <= ground.direction_rad <= math.pi
    dark, bright = (colour_from_noise(np.array([value, 0.0, 0.0])) for value in (-1.0, 1.0))
    assert (bright > dark).all()
