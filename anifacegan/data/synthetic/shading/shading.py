"""Shading of a person: a compiled loop over the samples of a z-buffer that gives each its linear colour.

Diffuse light is gathered at the vertices (:mod:`anifacegan.data.synthetic.surface.shadow_maps`) and interpolated.
Highlights use the frontal viewing direction (0, 0, 1) of the head's frame, so a point has one colour from every view;
they fade where the surface turns sideways, where that direction would be far from the camera's.
"""

import math
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float

from anifacegan.data.rasterized_mesh import RasterizedMesh
from anifacegan.data.synthetic.looks.appearance import Appearance, EnvironmentLight
from anifacegan.data.synthetic.looks.light import reflected_harmonics
from anifacegan.data.synthetic.shading.eyes import eye_sample
from anifacegan.data.synthetic.shading.mouth import teeth_sample, tongue_sample, tooth_gaps
from anifacegan.data.synthetic.shading.skin import skin_sample
from anifacegan.data.synthetic.strands.drawing import NOTHING_PASSES
from anifacegan.data.synthetic.surface.clothes import cloth_sample, collar_shadow
from anifacegan.data.synthetic.surface.person_surface import PersonSurface
from anifacegan.data.synthetic.surface.skin_detail import LAYER_SCALES, SkinDetail, read_detail
from anifacegan.data.synthetic.surface.vertex_table import (
    ALBEDO,
    CLOTH,
    COLUMNS,
    DIM,
    EYE,
    FRAME,
    GLOSS,
    IRRADIANCE,
    LAMP,
    LIT,
    MATERIAL,
    MIRROR,
    NORMAL,
    OPEN,
    ROUGHNESS,
    SECOND,
    SHINE,
    SHINE_NORMAL,
    SKIN,
    SKY,
    TEETH,
    TONGUE,
    TURN,
)
from anifacegan.runtime.compiled import kernel

SCLERA_RGB, TOOTH_RGB = (0.50, 0.455, 0.42), (0.56, 0.50, 0.40)
"""Linear colours of the white of the eye and of the teeth of young people."""
SAME_SURFACE = np.float32(0.0006)
"""Difference of the inverse depths, in 1 / world units, up to which neighbouring samples count as one surface."""
LAMPS = 3
"""Number of light sources that make highlights: the lamp, the brightest lobe of the sky, and the sky above."""


class Looks(NamedTuple):
    """Numbers of a person's appearance for the compiled shading functions; colours are linear."""

    roughness: float
    bump: float
    blood: float
    mottle: float
    freckles: float
    mole_turn: float
    mole_from: float
    scalp_rgb: tuple[float, float, float]
    cloth_rgb: tuple[float, float, float]
    iris_rgb: tuple[float, float, float]
    pupil_deg: float
    sclera_rgb: tuple[float, float, float]
    tooth_rgb: tuple[float, float, float]


class Highlights(NamedTuple):
    """The three light sources of highlights, and the sky that surfaces reflect."""

    halves: np.ndarray
    """(3, 3) unit vector halfway between the direction to each source and the front, +z."""
    rgb: np.ndarray
    """(3, 3) linear RGB irradiance of each source."""
    spread: np.ndarray
    """(3,) what the size of each source adds to the squared roughness of surfaces."""
    sky: np.ndarray
    """(3, 9) coefficients of the sky's radiance in red, green and blue, see
    :func:`anifacegan.data.synthetic.looks.light.reflected_harmonics`."""


class _Corners(NamedTuple):
    triangles: np.ndarray
    kind: np.ndarray
    texture: np.ndarray
    uv: np.ndarray
    x_px: np.ndarray
    y_px: np.ndarray
    inverse_depth: np.ndarray
    table: np.ndarray


def looks(appearance: Appearance) -> Looks:
    """Collect the numbers of a person's appearance that the compiled shading functions need."""
    skin = appearance.skin
    old = min(max((skin.age_years - 25) / 50, 0.0), 1.0)
    f = np.float32
    return Looks(
        roughness=f(skin.roughness),
        bump=f(skin.bump),
        blood=f(skin.blood),
        mottle=f(skin.mottle),
        freckles=f(skin.freckles),
        mole_turn=f(0.13 * float(skin.tex[2]) + 0.11 * float(skin.tex[5])),
        mole_from=f(0.97 - 0.05 * old),
        scalp_rgb=_three(0.45 * appearance.hair.rgb + 0.008),
        cloth_rgb=_three(appearance.clothes.rgb),
        iris_rgb=_three(appearance.eyes.iris_rgb),
        pupil_deg=f(appearance.eyes.pupil_deg),
        sclera_rgb=_three(np.array(SCLERA_RGB) * (1 - 0.08 * old)),
        tooth_rgb=_three(np.array(TOOTH_RGB) * (1 - old * np.array([0.10, 0.16, 0.30]))),
    )


def _three(rgb: Float[np.ndarray, "3"]) -> tuple[np.float32, np.float32, np.float32]:
    """Return a colour as a tuple, which compiled code passes on faster than an array."""
    return np.float32(rgb[0]), np.float32(rgb[1]), np.float32(rgb[2])


def highlights(light: EnvironmentLight) -> Highlights:
    """Choose the sources of highlights in a light: the lamp, the brighter of its lobes, and the sky above."""
    power = light.lobe_rgb.sum(axis=1)
    main = int(power.argmax())
    sources = np.stack([light.key_direction, light.lobe_directions[main], [0.0, 0.86, 0.51]])
    halves = sources + [0.0, 0.0, 1.0]
    norms = np.linalg.norm(halves, axis=1, keepdims=True)
    halves = np.where(norms > 0.05, halves / np.maximum(norms, 0.05), [[0.0, 0.0, 1.0]])
    width = 1 / math.sqrt(max(float(light.lobe_sharpness[main]), 0.5))
    return Highlights(
        halves=halves.astype(np.float32),
        rgb=np.stack([light.key_rgb, 0.6 * light.lobe_rgb[main], 0.25 * light.base_rgb]).astype(np.float32),
        spread=np.array([0.33 * light.key_size, 0.25 * width, 0.15], np.float32),
        sky=reflected_harmonics(light),
    )


def shade(
    rasterized: RasterizedMesh,
    through: Float[np.ndarray, "row column"],
    surface: PersonSurface,
    table: Float[np.ndarray, "vertex 24"],
    detail: SkinDetail,
    person: Looks,
    sources: Highlights,
    factor: int,
) -> Float[np.ndarray, "size size 3"]:
    """Compute the linear colour of the surface at every sample of a supersampled image of a person.

    It is 0 where no triangle is visible or hair hides it. To save time, only one of ``factor`` neighbouring samples in
    a row is shaded, at places that differ from row to row; the others take its colour where they show the same surface.

    Args:
        rasterized: projected vertices and nearest triangles of the samples.
        through: share of the surface that is seen through the hair at each sample, 0 to 1.
        surface: the person's surface.
        table: attributes of the vertices, see :mod:`anifacegan.data.synthetic.surface.vertex_table`.
        detail: texture map of the skin's detail.
        person: numbers of the person's appearance.
        sources: light sources of the highlights.
        factor: samples along each side of a pixel.
    """
    corners = _Corners(
        surface.triangles, surface.kind, detail.layout.corners, detail.layout.uv,
        rasterized.x_px, rasterized.y_px, rasterized.inverse_depth, table,
    )  # fmt: skip
    scales = (np.array(LAYER_SCALES) / 127).astype(np.float32)
    picture = np.zeros((*rasterized.triangle.shape, 3), np.float32)
    _shade_samples(
        rasterized.triangle, rasterized.nearest, through, corners, detail.layers, scales, tooth_gaps(), person, sources,
        factor, picture,
    )  # fmt: skip
    return picture


@kernel(inline="always", fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _lobe(nx, ny, nz, half, alpha):
    """Evaluate the GGX distribution of normals at a half vector; alpha is the squared roughness."""
    cosine = max(nx * half[0] + ny * half[1] + nz * half[2], np.float32(0))
    squared = alpha * alpha
    q = cosine * cosine * (squared - 1) + 1
    return squared / (np.float32(3.1415927) * q * q)


@kernel(inline="always", fastmath=True)
@no_type_check
def _highlight(kind, material, halves, rgb, spreads, skies, half, out):
    """Write the light that a sample mirrors towards the front to ``out`` (3,)."""
    one = np.float32(1)
    nx, ny, nz = material[SHINE_NORMAL], material[SHINE_NORMAL + 1], material[SHINE_NORMAL + 2]
    facing = max(nz, np.float32(0.30))
    fresnel = material[MIRROR] + (one - material[MIRROR]) * (one - facing) ** 5 * np.float32(0.25)
    turned = min(max((nz - np.float32(0.02)) * np.float32(1.9), np.float32(0)), one)
    strength = material[SHINE] * fresnel * turned * turned
    for k in range(LAMPS):
        for axis in range(3):
            half[axis] = halves[k, axis]
        if kind == EYE:  # the lids would hide lamps that stand high or far aside; they are seen in the middle
            half[0], half[1], half[2] = (
                np.float32(0.7) * half[0],
                np.float32(0.7) * half[1] - np.float32(0.02),
                np.float32(0.7) * half[2] + np.float32(0.4),
            )
            scale = one / np.sqrt(half[0] * half[0] + half[1] * half[1] + half[2] * half[2])
            half[0], half[1], half[2] = half[0] * scale, half[1] * scale, half[2] * scale
        spread = spreads[k] * (np.float32(0.3) if kind == EYE else one)
        alpha = min(material[ROUGHNESS] * material[ROUGHNESS] + spread, one)
        glint = (one - material[SECOND]) * _lobe(nx, ny, nz, half, alpha)
        if material[SECOND] > 0:
            glint += material[SECOND] * _lobe(nx, ny, nz, half, min(alpha * np.float32(2.6), one))
        amount = min(glint, np.float32(60)) * np.float32(0.25) / max(facing, np.float32(0.4)) * strength
        amount *= material[LIT] if k == 0 else material[OPEN]
        for channel in range(3):
            out[channel] += amount * rgb[k, channel]
    rx, ry, rz = 2 * nz * nx, 2 * nz * ny, 2 * nz * nz - 1
    share = strength * material[OPEN] * (np.float32(0.18) if kind == EYE else one)
    for channel in range(3):
        e = skies[channel, 0] + skies[channel, 1] * ry + skies[channel, 2] * rz + skies[channel, 3] * rx
        e += skies[channel, 4] * rx * ry + skies[channel, 5] * ry * rz + skies[channel, 6] * (3 * rz * rz - 1)
        e += skies[channel, 7] * rx * rz + skies[channel, 8] * (rx * rx - ry * ry)
        out[channel] += max(e, np.float32(0)) * share


@kernel(fastmath=True)
@no_type_check
def _shade_samples(
    triangle_map, nearest, through, corners, layers, scales, gaps, person, sources, factor, picture
):
    value = np.empty(COLUMNS, np.float32)
    detail = np.empty(len(scales), np.float32)
    colour, shine, half = np.empty(3, np.float32), np.empty(3, np.float32), np.empty(3, np.float32)
    material = np.empty(MATERIAL, np.float32)
    table, x_px, y_px, inverse_depth = corners.table, corners.x_px, corners.y_px, corners.inverse_depth
    triangles, kinds, texture, uv = corners.triangles, corners.kind, corners.texture, corners.uv
    halves, rgb, spreads, skies = sources.halves, sources.rgb, sources.spread, sources.sky
    height, width = triangle_map.shape
    for row in range(height):
        for column in range(width):
            t = triangle_map[row, column]
            if t < 0 or through[row, column] < NOTHING_PASSES:
                continue
            kind = kinds[t]
            if column > 0 and kind != EYE and (column + row) % factor != 0:
                before = triangle_map[row, column - 1]
                same = before == t or (
                    before >= 0
                    and kinds[before] == kind
                    and abs(nearest[row, column] - nearest[row, column - 1]) < SAME_SURFACE
                )
                if same and through[row, column - 1] >= NOTHING_PASSES:
                    for k in range(3):
                        picture[row, column, k] = picture[row, column - 1, k]
                    continue
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            dx, dy = column - x_px[a], row - y_px[a]
            ux, uy, vx, vy = x_px[b] - x_px[a], y_px[b] - y_px[a], x_px[c] - x_px[a], y_px[c] - y_px[a]
            inverse_area = 1.0 / (ux * vy - uy * vx)
            wb = min(max((dx * vy - dy * vx) * inverse_area, 0.0), 1.0)
            wc = min(max((ux * dy - uy * dx) * inverse_area, 0.0), 1.0)
            wa = max(1.0 - wb - wc, 0.0)
            wa, wb, wc = wa * inverse_depth[a], wb * inverse_depth[b], wc * inverse_depth[c]
            total = 1.0 / (wa + wb + wc)
            wa, wb, wc = np.float32(wa * total), np.float32(wb * total), np.float32(wc * total)
            for k in range(COLUMNS):
                value[k] = wa * table[a, k] + wb * table[b, k] + wc * table[c, k]
            nx, ny, nz = value[NORMAL], value[NORMAL + 1], value[NORMAL + 2]
            scale = np.float32(1) / np.sqrt(nx * nx + ny * ny + nz * nz + np.float32(1e-12))
            value[NORMAL], value[NORMAL + 1], value[NORMAL + 2] = nx * scale, ny * scale, nz * scale
            for k in range(3):
                colour[k] = value[ALBEDO + k]
                shine[k] = np.float32(0)
            material[OPEN], material[LIT] = value[SKY], value[LAMP]
            if kind == SKIN:
                if value[CLOTH] > 0:
                    cloth_sample(value, person, colour, material)
                else:
                    p, q, r = texture[t, 0], texture[t, 1], texture[t, 2]
                    u = wa * uv[p, 0] + wb * uv[q, 0] + wc * uv[r, 0]
                    v = wa * uv[p, 1] + wb * uv[q, 1] + wc * uv[r, 1]
                    read_detail(layers, scales, u, v, detail)
                    skin_sample(value, detail, person, colour, material)
                    collar_shadow(value, material)
            elif kind == EYE:
                eye_sample(value, person, colour, material)
            elif kind == TEETH:
                teeth_sample(value, person, gaps, colour, material)
            elif kind == TONGUE:
                tongue_sample(value, colour, material)
            elif kind == FRAME:
                for axis in range(3):
                    material[SHINE_NORMAL + axis] = value[NORMAL + axis]
                material[ROUGHNESS], material[SECOND], material[MIRROR] = (
                    np.float32(0.25),
                    np.float32(0),
                    np.float32(0.05),
                )
                material[SHINE], material[TURN], material[DIM] = value[GLOSS], np.float32(0), np.float32(1)
            if material[SHINE] > 0:
                _highlight(kind, material, halves, rgb, spreads, skies, half, shine)
            bumped = max(np.float32(0.2), np.float32(1) + material[TURN]) * material[DIM]
            for k in range(3):
                picture[row, column, k] = colour[k] * value[IRRADIANCE + k] * bumped + shine[k]
