"""Directions of light and what they add up to."""

import dataclasses

import numpy as np
import pytest

from anifacegan.data.synthetic.looks.light import (
    LAMP_DIRECTIONS,
    lamp_directions,
    perpendicular,
    reflected_harmonics,
    sample_light,
    sky_radiance,
    sphere_directions,
)
from tests.fixtures.lights import even_sky


def test_an_even_sky_makes_a_white_surface_white_whichever_way_it_faces() -> None:
    samples = sample_light(even_sky())
    normals = sphere_directions(50)
    cosines = np.maximum(normals @ samples.towards.T, 0)
    assert cosines @ samples.radiance == pytest.approx(1, abs=0.08)  # 30 directions stand for the sphere


def test_the_lamp_has_its_colour_and_lies_on_its_disc() -> None:
    light = dataclasses.replace(even_sky(), key_rgb=np.float32([0.3, 0.5, 0.7]), key_size=0.3)
    samples = sample_light(light)
    assert np.allclose(samples.radiance[: samples.keys].sum(axis=0), [0.3, 0.5, 0.7], atol=1e-6)
    angles = np.arccos(np.clip(lamp_directions(light) @ light.key_direction, -1, 1))
    assert len(angles) == LAMP_DIRECTIONS and angles.max() <= 0.3 and angles.min() < 0.15
    assert np.allclose(
        lamp_directions(light).mean(axis=0)[1:], 0, atol=0.06
    )  # spread evenly about the middle


def test_the_sky_is_a_gradient_with_lobes() -> None:
    light = dataclasses.replace(
        even_sky(),
        base_rgb=np.float32([1, 2, 3]),
        ground_rgb=np.float32([0.1, 0.2, 0.3]),
        lobe_rgb=np.float32([[0, 0, 0.5], [0, 0, 0]]),
    )
    up, down, front = sky_radiance(light, np.array([[0, 1.0, 0], [0, -1.0, 0], [0, 0, 1.0]]))
    lobe = np.exp(-2.0) * 0.5  # a quarter turn from the middle, with sharpness 2
    assert up == pytest.approx([1, 2, 3 + lobe], abs=1e-6)
    assert down == pytest.approx([0.1, 0.2, 0.3 + lobe], abs=1e-6)
    assert front == pytest.approx([0.55, 1.1, 1.65 + 0.5], abs=1e-6)


def test_perpendicular_axes_are_orthonormal_for_every_direction() -> None:
    directions = np.concatenate([sphere_directions(40), [[0, 1.0, 0], [0, -1.0, 0]]])
    right, up = perpendicular(directions)
    frames = np.stack([right, up, directions], axis=1)
    assert np.allclose(frames @ frames.transpose(0, 2, 1), np.eye(3), atol=1e-12)
    assert np.allclose(np.linalg.det(frames), 1)


def test_reflections_of_a_gradient_are_exact() -> None:
    light = dataclasses.replace(even_sky(), ground_rgb=np.zeros(3, np.float32))
    sky = reflected_harmonics(light)
    expected = np.zeros(9)
    expected[:2] = 0.5  # half of the zenith everywhere, and half of it times y
    assert np.allclose(sky, expected, atol=1e-5)
