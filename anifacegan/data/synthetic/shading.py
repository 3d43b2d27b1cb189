"""Shading of a head with hair and clothes: a compiled loop over the samples of a z-buffer.

At every sample, vertex attributes are interpolated and shaded with spherical-harmonics light and a specular highlight.
Light and highlight are computed in the head's frame, with the frontal viewing direction (0, 0, 1), so a surface point
has the same colour in every view. Signed distances to hair line and collar say whether a sample is in the hair or in
the clothes; because they are interpolated, hair line and collar are sharp. Strands of hair are a fixed pattern that
depends on the direction from the crown of the head.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float, UInt8

from anifacegan.data.rasterized_mesh import RasterizedMesh
from anifacegan.data.synthetic.appearance import Appearance
from anifacegan.data.synthetic.head import HeadSurface
from anifacegan.geometry.spherical_harmonics import AMBIENT, BAND_0, BAND_1, BAND_2
from anifacegan.runtime.compiled import kernel

CROWN = (0.0, 0.0, -1.168)
"""Crown of the head, in model units; the pattern of hair strands depends on the direction from here."""
ATTRIBUTES = 12
"""Number of columns of the vertex table: albedo (3), normal (3), position (3), gloss, hair distance, cloth distance."""
BACKGROUND_PLANE_MODEL = -1.2
"""The background plane z = -0.12 world, in model units; surfaces behind it are hidden."""


@dataclass(frozen=True)
class HairShading:
    """Shading parameters of a hair style."""

    width: float = 0.035
    """Half the width of the soft edge of the hair line, in model units."""
    ragged: float = 0.03
    """Largest distance by which strands of hair shift the hair line, in model units."""
    opacity: float = 1.0
    """Opacity of the hair inside its edge, in [0, 1]."""
    contrast: float = 1.0
    """Strength of the brightness pattern of strands."""


HAIR_SHADING = {
    "buzz": HairShading(0.06, 0.01, 0.88, 0.5),
    "shaved": HairShading(0.06, 0.01, 0.28, 0.5),
    "afro": HairShading(0.03, 0.02, 1.0, 0.5),
    "tied": HairShading(0.05, 0.015),
    "fringe": HairShading(0.02, 0.05),
}
"""Hair style -> its shading, for the hair styles that differ from the default."""


def hair_shading(style: str | None) -> HairShading:
    """Return the shading parameters of a hair style; None (a bald head) gets fully transparent hair."""
    return HairShading(opacity=0.0) if style is None else HAIR_SHADING.get(style, HairShading())


def strand_pattern() -> Float[np.ndarray, "360"]:
    """Return the fixed brightness pattern of hair strands: one entry for each degree of the angle around the crown."""
    fine = np.random.default_rng(3).normal(0, 1, 360)
    coarse = np.convolve(np.concatenate([fine, fine, fine]), np.ones(6) / 6, "same")[360:720] * 2
    return ((0.45 * fine + 0.55 * coarse) * 0.55).astype(np.float32)


def vertex_table(surface: HeadSurface) -> Float[np.ndarray, "vertex 12"]:
    """Return a table with the attributes of every vertex in one row, in the order of ``ATTRIBUTES``."""
    scalars = np.stack([surface.gloss, surface.hair_distance, surface.cloth_distance], axis=1)
    return np.concatenate(
        [surface.albedo, surface.normals, surface.vertices, scalars], axis=1, dtype=np.float32
    )


def light_matrix(appearance: Appearance) -> Float[np.ndarray, "3 9"]:
    """Return the weights, for each colour channel, of the terms 1, y, z, x, xy, yz, 3z^2-1, xz, x^2-y^2 of a normal.

    Their weighted sum is the light on a surface with the normal (x, y, z). The weights are the light coefficients (with
    the ambient term added) times the constants of the spherical harmonics.
    """
    light = appearance.gamma.reshape(3, 9).astype(np.float64)
    light[:, 0] += AMBIENT
    constants = [
        BAND_0,
        -BAND_1,
        BAND_1,
        -BAND_1,
        BAND_2,
        -BAND_2,
        BAND_2 / (2 * math.sqrt(3)),
        -BAND_2,
        BAND_2 / 2,
    ]
    return (light * constants).astype(np.float32)


def half_vector(appearance: Appearance) -> Float[np.ndarray, "3"]:
    """Return the unit vector halfway between the direction of the lamp and the frontal viewing direction.

    The direction of the lamp is estimated from the linear terms of the light ``gamma``.
    """
    gamma = appearance.gamma.reshape(3, 9).mean(axis=0).astype(np.float64)
    lamp = np.array([-gamma[3], -gamma[1], gamma[2]])
    between = lamp / max(np.linalg.norm(lamp), 1e-9) + [0.0, 0.0, 1.0]
    return (between / np.linalg.norm(between)).astype(np.float32)


class _Corners(NamedTuple):
    """The rasterized mesh as the kernel reads it."""

    triangles: np.ndarray
    x_px: np.ndarray
    y_px: np.ndarray
    inverse_depth: np.ndarray
    """(N,) projected vertices."""
    table: np.ndarray
    """(N, 12), see :func:`vertex_table`."""


class _Colours(NamedTuple):
    """An appearance as the kernel reads it."""

    light: np.ndarray
    """(3, 9), see :func:`light_matrix`."""
    half: np.ndarray
    """(3,) see :func:`half_vector`."""
    shine: float
    hair: np.ndarray
    """(4,) width, raggedness, opacity (0: no hair) and contrast of :class:`HairShading`."""
    hair_rgb: np.ndarray
    cloth_rgb: np.ndarray


@kernel()
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _strands(pattern, turns):
    """Interpolate the periodic strand pattern linearly at an angle, given in full turns."""
    position = (turns - math.floor(turns)) * len(pattern)
    low = int(position)
    share = position - low
    return pattern[low % len(pattern)] * (1 - share) + pattern[(low + 1) % len(pattern)] * share


@kernel()
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _hair(x, y, z, distance, width, ragged, opacity, contrast, pattern):
    """Return opacity and brightness of the hair at (x, y, z), a position relative to the crown.

    ``distance`` is the signed distance of the position to the hair line, positive in the hair.
    """
    radius = math.sqrt(x * x + z * z)
    angle = math.atan2(x, z) + 0.25 * math.sin(3 * y + 3)
    turns = angle / (2 * math.pi)
    strand = 0.6 * _strands(pattern, turns) + 0.4 * _strands(pattern, 2 * turns)
    rooted = min(radius / 0.18, 1.0)
    waves = 0.10 * math.sin(9 * angle + 2 * math.sin(2 * y + 3))
    brightness = min(max(1 + rooted * (contrast * 0.42 * strand + waves), 0.35), 2.0)
    cover = min(max((distance + ragged * 1.6 * strand + width) / (2 * width), 0.0), 1.0)
    return cover * cover * (3 - 2 * cover) * opacity, brightness


@kernel()
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _shade_samples(triangle_map, corners, appearance, pattern, background, factor, edge, out):
    """Average the colours of factor x factor samples into each pixel of ``out``.

    Args:
        triangle_map: (S*factor, S*factor) nearest triangle of each sample, -1 for none.
        corners: a :class:`_Corners`.
        appearance: a :class:`_Colours`.
        pattern: (360,) see :func:`strand_pattern`.
        background: (S, S, 3) colours where no surface is visible.
        edge: half the width of the collar's soft edge, model units.
        out: (S, S, 3) uint8.
    """
    triangles, x_px, y_px, inverse_depth, table = corners
    light, half, shine, hair, hair_rgb, cloth_rgb = appearance
    size = len(out)
    value = np.empty(ATTRIBUTES, np.float32)
    colour = np.empty(3, np.float32)
    for row in range(size):
        for column in range(size):
            red = green = blue = 0.0
            empty = 0
            for sample in range(factor * factor):
                sample_row, sample_column = row * factor + sample // factor, column * factor + sample % factor
                t = triangle_map[sample_row, sample_column]
                if t < 0:
                    empty += 1
                    continue
                a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                dx, dy = sample_column - x_px[a], sample_row - y_px[a]
                ux, uy, vx, vy = x_px[b] - x_px[a], y_px[b] - y_px[a], x_px[c] - x_px[a], y_px[c] - y_px[a]
                inverse_area = 1.0 / (ux * vy - uy * vx)
                wb = min(max((dx * vy - dy * vx) * inverse_area, 0.0), 1.0)
                wc = min(max((ux * dy - uy * dx) * inverse_area, 0.0), 1.0)
                wa = max(1.0 - wb - wc, 0.0)
                wa, wb, wc = wa * inverse_depth[a], wb * inverse_depth[b], wc * inverse_depth[c]
                total = 1.0 / (wa + wb + wc)
                wa, wb, wc = np.float32(wa * total), np.float32(wb * total), np.float32(wc * total)
                for k in range(ATTRIBUTES):
                    value[k] = wa * table[a, k] + wb * table[b, k] + wc * table[c, k]
                if value[8] < BACKGROUND_PLANE_MODEL:
                    empty += 1
                    continue
                nx, ny, nz = value[3], value[4], value[5]
                scale = np.float32(1) / np.sqrt(nx * nx + ny * ny + nz * nz + np.float32(1e-12))
                nx, ny, nz = nx * scale, ny * scale, nz * scale
                colour[:] = value[:3]
                distance = value[11]  # into the clothes
                if distance > -0.1:
                    cover = min(max((distance + edge) / (2 * edge), 0.0), 1.0)
                    hem = 1.0 - 0.25 * math.exp(-(((distance - 0.06) / 0.008) ** 2))
                    if 0.0 < distance < 0.055:
                        hem -= 0.18
                    shadow = 1.0 - 0.25 * math.exp(-((min(distance, 0.0) / 0.03) ** 2))
                    for k in range(3):
                        colour[k] = colour[k] * (1 - cover) * shadow + cover * cloth_rgb[k] * hem
                if hair[2] > 0 and value[10] > -0.12:
                    cover, brightness = _hair(
                        value[6] - CROWN[0], value[7] - CROWN[1], value[8] - CROWN[2],
                        value[10], hair[0], hair[1], hair[2], hair[3], pattern,
                    )  # fmt: skip
                    for k in range(3):
                        colour[k] = colour[k] * (1 - cover) + cover * hair_rgb[k] * brightness
                facing = max(nx * half[0] + ny * half[1] + nz * half[2], np.float32(0))
                power = facing * facing  # 2
                power_16 = (power * power) * (power * power)
                power_16 *= power_16
                power_32 = power_16 * power_16
                power_4 = power * power
                power_60 = power_32 * power_16 * power_4 * power_4 * power_4
                highlight = shine * value[9] * (0.35 * power_16 * power + 0.65 * power_60)
                for k in range(3):
                    lit = (
                        light[k, 0] + light[k, 1] * ny + light[k, 2] * nz + light[k, 3] * nx
                        + light[k, 4] * nx * ny + light[k, 5] * ny * nz + light[k, 6] * (3 * nz * nz - 1)
                        + light[k, 7] * nx * nz + light[k, 8] * (nx * nx - ny * ny)
                    )  # fmt: skip
                    colour[k] = min(max(colour[k] * lit + highlight, 0.0), 1.0)
                red += colour[0]
                green += colour[1]
                blue += colour[2]
            share = 255.0 / (factor * factor)
            out[row, column, 0] = np.uint8((red + empty * background[row, column, 0]) * share + 0.5)
            out[row, column, 1] = np.uint8((green + empty * background[row, column, 1]) * share + 0.5)
            out[row, column, 2] = np.uint8((blue + empty * background[row, column, 2]) * share + 0.5)


def shade(
    rasterized: RasterizedMesh,
    surface: HeadSurface,
    appearance: Appearance,
    background: Float[np.ndarray, "size size 3"],
    *,
    factor: int,
    collar_edge: float,
) -> UInt8[np.ndarray, "size size 3"]:
    """Shade a rasterized head and average its samples to pixels.

    Args:
        rasterized: ``surface`` rasterized with factor x factor samples for each pixel.
        surface: the head with hair and clothes.
        appearance: light, highlights, hair style and colours.
        background: colours in [0, 1] where no surface is visible.
        factor: samples along each side of a pixel.
        collar_edge: half the width of the collar's soft edge, in model units.

    Returns:
        The image, RGB in [0, 255].
    """
    hair = hair_shading(appearance.hair_style)
    corners = _Corners(
        surface.triangles, rasterized.x_px, rasterized.y_px, rasterized.inverse_depth, vertex_table(surface)
    )
    colours = _Colours(
        light_matrix(appearance),
        half_vector(appearance),
        appearance.shine,
        np.array([hair.width, hair.ragged, hair.opacity, hair.contrast], np.float32),
        appearance.hair_rgb,
        appearance.cloth_rgb,
    )
    image = np.empty(background.shape, np.uint8)
    _shade_samples(
        rasterized.triangle, corners, colours, strand_pattern(), background, factor, collar_edge, image
    )
    return image
