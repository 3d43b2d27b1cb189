"""Light as a smooth function of standard normal latents, blended from five kinds, and its fit by spherical harmonics.

Light is a lamp and a sky (:class:`.appearance.EnvironmentLight`). Their colours are divided by the white that a camera
would measure, so only a part of their tint is left.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float

from anifacegan.data.synthetic.looks.appearance import LIGHT_KINDS, EnvironmentLight
from anifacegan.data.synthetic.looks.light import sky_radiance, sphere_directions
from anifacegan.data.synthetic.looks.score_space import between, biases, kind_weights, normal_cdf, places
from anifacegan.geometry.resampling import smooth_share
from anifacegan.geometry.spherical_harmonics import AMBIENT, spherical_harmonics

Span = tuple[float, float]


@dataclass(frozen=True)
class LightKind:
    """Ranges, (lowest, highest), of one kind of light; angles are radians, temperatures Kelvin."""

    azimuth: Span
    """Absolute azimuth of the lamp from the front."""
    elevation: Span
    size: Span
    """Angular radius of the lamp's disc."""
    power: Span
    """Irradiance, by the lamp, of a surface that faces it; a white surface then has this linear colour."""
    fill: Span
    """Radiance of the sky from straight above; under a sky of radiance 1, a white surface has the linear colour 1."""
    lamp_kelvin: Span
    sky_kelvin: Span


KINDS = {
    "window": LightKind(
        (0.3, 1.15), (0.1, 0.75), (0.25, 0.5), (0.7, 1.1), (0.12, 0.34), (4800.0, 7000.0), (4800.0, 7500.0)
    ),
    "overcast": LightKind(
        (0.0, 1.1), (0.6, 1.2), (0.7, 0.7), (0.3, 0.5), (0.6, 0.85), (6000.0, 7500.0), (6200.0, 8500.0)
    ),
    "sun": LightKind(
        (0.2, 1.2), (0.35, 0.9), (0.06, 0.06), (0.9, 1.3), (0.18, 0.35), (4200.0, 5600.0), (6500.0, 9000.0)
    ),
    "room": LightKind(
        (0.0, 0.9), (0.4, 0.9), (0.2, 0.4), (0.5, 0.9), (0.18, 0.36), (3600.0, 4800.0), (4200.0, 6000.0)
    ),
    "flash": LightKind(
        (0.0, 0.3), (0.05, 0.3), (0.12, 0.12), (0.8, 1.0), (0.15, 0.35), (5500.0, 6200.0), (4000.0, 6500.0)
    ),
}
FREQUENCIES = {"window": 0.3, "overcast": 0.25, "sun": 0.2, "room": 0.15, "flash": 0.1}
"""Frequency of each kind of light among random latents."""
KIND_PLACES = {
    "window": (1.0, 0.0, 0.0),
    "overcast": (-0.5, 0.87, 0.0),
    "sun": (-0.5, -0.87, 0.0),
    "room": (0.0, 0.0, 1.0),
    "flash": (0.0, 0.0, -1.0),
}
"""Unit direction of each kind of light in the space of the first three light latents: latents in that direction give
that kind, see :mod:`.score_space`."""
TEMPERATURE = 0.12

SIDE_SHARPNESS = 4.0
"""Steepness of the smooth change from a lamp at the left to one at the right; few people have a lamp in between."""
LAMP_IN_WHITE, WHITE_BALANCE = 0.6, 0.9
"""Share of the lamp's colour in the white that the camera measures, and the power of that white by which colours are
divided: 1 would remove the tint wholly."""
BEHIND_SHARPNESS, BEHIND_ELEVATION, BEHIND_SPREAD, BEHIND_KELVIN = 6.0, 0.4, 1.14, (4500.0, 7000.0)
"""Light from behind: sharpness of its lobe, elevation and largest azimuth from straight behind (radians), and colour
temperatures (Kelvin)."""
GROUND_TINT = (1.05, 1.0, 0.92)

ENCODING = 1 / 2.2
"""Exponent that stands for the sRGB encoding of image files when the light coefficients gamma are fitted."""
GAMMA_LEVEL = 0.9
"""Mean encoded brightness, at exposure 1.2, that the fitted light has on the normals of the front of a head."""
GAMMA_RIDGE = 1e-3


@dataclass(frozen=True)
class LightPrior:
    """Map from the 12 appearance latents of the light, ``z_noise[60:72]``, to light."""

    places: Float[np.ndarray, "5 3"]
    """Unit direction of each kind of light in latent space, see ``KIND_PLACES``."""
    bias: Float[np.ndarray, "5"]
    """Bias of each kind's score, which sets its frequency."""
    gamma_fit: Float[np.ndarray, "9 normal"]
    """Matrix that maps brightness at evenly spread normals (``sphere_directions``) to nine harmonics' coefficients."""

    @classmethod
    def fit(cls) -> "LightPrior":
        """Compute the biases with which the kinds of light are as frequent as they should be, and the matrix that fits
        spherical harmonics to a light.
        """
        kind_places = places(KIND_PLACES, LIGHT_KINDS)
        bias = biases(np.array([FREQUENCIES[name] for name in LIGHT_KINDS]), kind_places, TEMPERATURE)
        basis = spherical_harmonics(torch.from_numpy(sphere_directions(200))).numpy()  # (200, 9)
        normal_equations = basis.T @ basis + GAMMA_RIDGE * len(basis) * np.eye(9)
        return cls(kind_places, bias, np.linalg.solve(normal_equations, basis.T))

    def weights(self, z: Float[np.ndarray, "12"]) -> Float[np.ndarray, "5"]:
        """Return the share of each of the five kinds of light, with sum 1, for the 12 appearance latents of the light,
        ``z_noise[60:72]``.
        """
        return kind_weights(z[:3], self.places, self.bias, TEMPERATURE)

    def light(self, z: Float[np.ndarray, "12"]) -> EnvironmentLight:
        """Return the light of the 12 appearance latents of the light, ``z_noise[60:72]``."""
        kind = _blended(self.weights(z))
        azimuth, elevation, power, warmth, fill, second, second_power, behind, exposure = z[3:]
        turn = 2 * normal_cdf(azimuth) - 1
        side = math.tanh(SIDE_SHARPNESS * turn)
        lamp_rgb = kelvin_rgb(between(*kind.lamp_kelvin, warmth))
        sky_rgb = kelvin_rgb(between(*kind.sky_kelvin, 0.6 * warmth + 0.8 * second_power))
        white = LAMP_IN_WHITE * lamp_rgb + (1 - LAMP_IN_WHITE) * sky_rgb
        white = (white / white[1]) ** WHITE_BALANCE
        sky = sky_rgb / white * between(*kind.fill, fill)
        second_turn = 2 * normal_cdf(second) - 1
        from_behind = 1.4 * smooth_share(0.0, 2.0, behind)
        behind_rgb = kelvin_rgb(between(*BEHIND_KELVIN, warmth)) / white
        return EnvironmentLight(
            key_direction=direction(
                side * kind.azimuth[0] + turn * (kind.azimuth[1] - kind.azimuth[0]),
                between(*kind.elevation, elevation),
            ),
            key_rgb=lamp_rgb / white * between(*kind.power, power),
            key_size=between(*kind.size, elevation),
            lobe_directions=np.stack(
                [
                    direction(-side * (0.95 + 0.45 * second_turn), 0.2),
                    direction(math.pi + BEHIND_SPREAD * second_turn, BEHIND_ELEVATION),
                ]
            ),
            lobe_sharpness=np.array([3.5, BEHIND_SHARPNESS]),
            lobe_rgb=np.stack([sky * between(0.2, 1.0, second_power), behind_rgb * from_behind]),
            base_rgb=sky,
            ground_rgb=sky * between(0.25, 0.55, second) * np.array(GROUND_TINT),
            exposure=between(1.05, 1.4, exposure),
        )

    def gamma(self, light: EnvironmentLight) -> Float[np.ndarray, "27"]:
        """Fit spherical-harmonics coefficients in Deep3DFaceRecon's convention to a light, (RGB x 9).

        They are fitted to the brightness of a white surface, encoded as in an image file, without shadows and without
        the camera's contrast curve.
        """
        normals = sphere_directions(200)
        brightness = irradiance(light, normals)
        front = np.maximum(normals[:, 2], 0)
        level = (front @ brightness.mean(axis=1)) / front.sum()
        encoded = GAMMA_LEVEL * (np.maximum(brightness, 0) / level * light.exposure / 1.2) ** ENCODING
        gamma = (self.gamma_fit @ encoded).T  # (3, 9)
        gamma[:, 0] -= AMBIENT
        return gamma.reshape(27).astype(np.float32)


def irradiance(
    light: EnvironmentLight, normals: Float[np.ndarray, "normal 3"]
) -> Float[np.ndarray, "normal 3"]:
    """Return the linear RGB colour of a white diffuse surface with each unit normal, lit without shadows."""
    sky_directions = sphere_directions(200)
    sky = sky_radiance(light, sky_directions) * (4 / len(sky_directions))  # the mean of the cosine is 1 / 4
    from_sky = np.maximum(normals @ sky_directions.T, 0) @ sky
    return from_sky + np.maximum(normals @ light.key_direction, 0)[:, None] * light.key_rgb


def direction(azimuth: float, elevation: float) -> Float[np.ndarray, "3"]:
    """Return the unit vector with an azimuth from the front (+z) toward +x, and an elevation toward +y, in radians."""
    across = math.cos(elevation)
    return np.array([math.sin(azimuth) * across, math.sin(elevation), math.cos(azimuth) * across])


def kelvin_rgb(kelvin: float) -> Float[np.ndarray, "3"]:
    """Approximate the linear RGB colour of a lamp of a colour temperature (Kelvin), relative to daylight of 6000 K.

    Green is 1; red and blue are linear functions of the temperature below and above 6000 K.
    """
    away = (kelvin - 6000) / 6000
    if away > 0:
        return np.array([1 - 0.42 * away, 1.0, 1 + 0.45 * away])
    return np.array([1 - 0.75 * away, 1.0, 1 + 0.9 * away])


def _blended(weights: Float[np.ndarray, "5"]) -> LightKind:
    """Average the kinds' ranges."""
    kinds = [KINDS[name] for name in LIGHT_KINDS]
    low_high = {
        field.name: weights @ np.array([getattr(kind, field.name) for kind in kinds])
        for field in fields(LightKind)
    }
    return LightKind(**{name: (float(low), float(high)) for name, (low, high) in low_high.items()})
