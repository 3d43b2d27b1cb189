"""Light: kinds and their frequencies, white balance, directions, and the fit of gamma."""

import numpy as np
import pytest
import torch

from anifacegan.data.synthetic.looks.appearance import LIGHT_KINDS
from anifacegan.data.synthetic.looks.light import sphere_directions
from anifacegan.data.synthetic.looks.light_prior import (
    FREQUENCIES,
    GAMMA_LEVEL,
    LightPrior,
    direction,
    irradiance,
    kelvin_rgb,
)
from anifacegan.data.synthetic.renderer import SyntheticRenderer
from anifacegan.geometry.spherical_harmonics import shade


@pytest.fixture(scope="module")
def prior(renderer: SyntheticRenderer) -> LightPrior:
    return renderer.prior.light


def test_kinds_are_as_frequent_as_in_the_table(prior: LightPrior) -> None:
    noise = np.random.default_rng(0).normal(size=(1000, 12))
    shares = np.mean([prior.weights(z) for z in noise], axis=0)
    for name, share in zip(LIGHT_KINDS, shares, strict=True):
        assert share == pytest.approx(FREQUENCIES[name], abs=0.058), name  # 4 sigma of 1000 draws at 0.3


def test_lamps_are_in_front_on_both_sides_and_nearly_white(prior: LightPrior) -> None:
    noise = np.random.default_rng(1).normal(size=(200, 12))
    lights = [prior.light(z) for z in noise]
    keys = np.stack([light.key_direction for light in lights])
    assert (keys[:, 2] > 0).mean() > 0.99 and 0.36 < (keys[:, 0] > 0).mean() < 0.64
    colours = np.stack([light.key_rgb / light.key_rgb[1] for light in lights])
    assert colours.min() > 0.7 and colours.max() < 1.35
    fills = np.stack([light.lobe_directions[0, 0] for light in lights])
    aside = np.abs(keys[:, 0]) > 0.3
    assert (np.sign(fills[aside]) == -np.sign(keys[aside, 0])).mean() > 0.99  # the second light is opposite


def test_a_direction_is_named_by_azimuth_and_elevation() -> None:
    assert np.allclose(direction(0.0, 0.0), [0, 0, 1])
    assert np.allclose(direction(np.pi / 2, 0.0), [1, 0, 0]) and np.allclose(
        direction(1.0, np.pi / 2), [0, 1, 0]
    )


def test_a_lamp_of_low_temperature_is_red_and_of_a_high_one_blue() -> None:
    low, high = kelvin_rgb(3500.0), kelvin_rgb(8500.0)
    assert low[0] > low[1] > low[2] and high[0] < high[1] < high[2] and np.allclose(kelvin_rgb(6000.0), 1)


def test_gamma_describes_the_light_of_a_white_surface(prior: LightPrior) -> None:
    normals = sphere_directions(500)
    front = normals[:, 2] > 0.2
    for z in np.random.default_rng(2).normal(size=(10, 12)):
        light = prior.light(z)
        gamma = torch.from_numpy(prior.gamma(light)).double()[None]
        found = shade(torch.ones(1, 500, 3).double(), torch.from_numpy(normals)[None], gamma)[0].numpy()
        bright = irradiance(light, normals)
        level = np.average(irradiance(light, sphere_directions(200)).mean(axis=1), weights=np.maximum(
            sphere_directions(200)[:, 2], 0))  # fmt: skip
        truth = GAMMA_LEVEL * (bright / level * light.exposure / 1.2) ** (1 / 2.2)
        error = np.sqrt(np.square(found - truth)[front].mean())
        assert error < 0.08, (
            error
        )  # of about 0.9; harmonics of second order cannot follow the terminator exactly
        assert np.corrcoef(found[front].ravel(), truth[front].ravel())[0, 1] > 0.9
