"""Light around a head as a number of directions that it comes from, with a linear colour each.

The light is a lamp, a disc of some size, in a sky: a gradient from the ground to the zenith with a few broad lobes
(a window, a bright wall). It is fixed to the head. The light of a direction is given as what it adds to a white diffuse
surface that faces it, so the colour of a diffuse surface is its albedo times the sum over directions of light times the
cosine.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from anifacegan.data.synthetic.looks.appearance import EnvironmentLight
from anifacegan.geometry.normals import unit

SKY_DIRECTIONS = 26
"""Number of directions that stand for the sky."""
LAMP_DIRECTIONS = 5
"""Number of directions that stand for the lamp; they lie on its disc, which softens the edges of its shadows."""
GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


@dataclass(frozen=True)
class LightSamples:
    """Directions that stand for all light that reaches a head; those on the disc of the lamp come first, then those of
    the sky.
    """

    towards: Float[np.ndarray, "direction 3"]
    """Unit vectors from the head to the light, in the head's frame."""
    radiance: Float[np.ndarray, "direction 3"]
    """Linear RGB colour that the light of each direction alone gives a white diffuse surface that faces it."""
    keys: int = LAMP_DIRECTIONS
    """Number of directions on the lamp's disc; they come first."""


def sample_light(light: EnvironmentLight) -> LightSamples:
    """Choose directions that stand for a light: fixed ones for the sky, and some that move with the lamp."""
    sky = sphere_directions(SKY_DIRECTIONS)
    lamp = lamp_directions(light)
    radiance = np.concatenate(
        [
            np.tile(light.key_rgb / LAMP_DIRECTIONS, (LAMP_DIRECTIONS, 1)),
            sky_radiance(light, sky) * (4 / SKY_DIRECTIONS),  # the mean of the cosine over a sphere is 1 / 4
        ]
    )
    return LightSamples(np.concatenate([lamp, sky]).astype(np.float32), radiance.astype(np.float32))


def sky_radiance(
    light: EnvironmentLight, directions: Float[np.ndarray, "direction 3"]
) -> Float[np.ndarray, "direction 3"]:
    """Evaluate the radiance (linear RGB) that comes from unit directions, without the lamp."""
    up = 0.5 + 0.5 * directions[:, 1:2]
    lobes = np.exp(light.lobe_sharpness * (directions @ light.lobe_directions.T - 1))  # (D, L)
    return light.base_rgb * up + light.ground_rgb * (1 - up) + lobes @ light.lobe_rgb


def lamp_directions(light: EnvironmentLight) -> Float[np.ndarray, "key 3"]:
    """Spread unit directions over the lamp's disc, in a spiral of equal areas."""
    right, up = perpendicular(light.key_direction[None])
    number = np.arange(LAMP_DIRECTIONS)
    radius = math.tan(min(light.key_size, 1.2)) * np.sqrt((number + 0.5) / LAMP_DIRECTIONS)
    turn = GOLDEN_ANGLE * number
    spread = (
        light.key_direction + np.outer(radius * np.cos(turn), right) + np.outer(radius * np.sin(turn), up)
    )
    return unit(spread)


def sphere_directions(count: int) -> Float[np.ndarray, "count 3"]:
    """Spread unit vectors evenly over the sphere: a Fibonacci lattice about the y axis."""
    number = np.arange(count) + 0.5
    y = 1 - 2 * number / count
    radius, turn = np.sqrt(1 - y * y), GOLDEN_ANGLE * number
    return np.stack([radius * np.cos(turn), y, radius * np.sin(turn)], axis=1)


def perpendicular(
    directions: Float[np.ndarray, "direction 3"],
) -> tuple[Float[np.ndarray, "direction 3"], Float[np.ndarray, "direction 3"]]:
    """Return for each unit direction two unit vectors, right and up, that are perpendicular to it and to each other."""
    steep = np.abs(directions[:, 1:2]) > 0.9
    other = np.where(steep, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    right = unit(np.cross(other, directions))
    return right, np.cross(directions, right)


def reflected_harmonics(light: EnvironmentLight) -> Float[np.ndarray, "3 9"]:
    """Fit the radiance of the sky by quadratic polynomials of the direction, for blurred reflections.

    Rows are the coefficients of red, green and blue.

    The monomials are 1, y, z, x, xy, yz, 3z^2 - 1, xz and x^2 - y^2.
    """
    directions = sphere_directions(200)
    x, y, z = directions.T
    monomials = np.stack(
        [np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y], axis=1
    )
    fitted, *_ = np.linalg.lstsq(monomials, sky_radiance(light, directions), rcond=None)
    return fitted.T.astype(np.float32)
