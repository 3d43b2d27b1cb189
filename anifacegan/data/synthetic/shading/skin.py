"""Colour and surface of a sample of skin: pigments, blood, pores, wrinkles of the expression, scalp and wet lids."""

from typing import no_type_check

import numpy as np

from anifacegan.data.synthetic.surface.value_noise import value_noise
from anifacegan.data.synthetic.surface.vertex_table import (
    BENT,
    CAVITY,
    DIM,
    FURROWS,
    GLOSS,
    LINES,
    MIRROR,
    NORMAL,
    OPEN,
    PLACE,
    ROUGHNESS,
    SCALP,
    SECOND,
    SHINE,
    SHINE_NORMAL,
    TURN,
    WET,
)
from anifacegan.runtime.compiled import kernel

SKIN_MIRROR = np.float32(0.035)
"""Reflectance of skin at normal incidence."""
SMOOTHED = np.float32(0.75)
"""Share of the mesh's normal in the normal that highlights use; the rest is the normal of the bumped surface."""
DIFFUSE_BUMP = np.float32(0.5)
"""Factor of the effect of bumps on diffuse light, which is weakened by scattering in the skin."""
LINE_DISTANCE = np.float32(0.085)
"""Distance of neighbouring wrinkles of the forehead, in model units."""
FURROW_DISTANCE = np.float32(0.06)
"""Distance of neighbouring wrinkles beside the eyes and between the brows, in model units."""


SCALP_COVER = np.float32(0.8)
"""Share of the roots' colour in the colour of the scalp under dense hair."""


@kernel(inline="always", fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _crease(position, distance):
    """Return depth (0 to 1) and slope, along the position, of narrow creases at regular distances."""
    turn = position * (np.float32(6.2831853) / distance)
    wave = np.float32(0.5) + np.float32(0.5) * np.cos(turn)
    depth = wave * wave * wave
    return depth, np.float32(3) * wave * wave * np.float32(0.5) * np.sin(turn)


@kernel(inline="always", fastmath=True)
@no_type_check
def skin_sample(value, detail, looks, colour, material):
    """Add the skin's detail to the colour of a sample (a point of an image), and describe its surface for highlights.

    Args:
        value: (COLUMNS,) vertex attributes interpolated at the sample, see
            :mod:`anifacegan.data.synthetic.surface.vertex_table`.
        detail: (8,) layers of the skin's detail at the sample, see
            :data:`anifacegan.data.synthetic.surface.skin_detail.LAYERS`.
        looks: numbers of the person's appearance, :class:`anifacegan.data.synthetic.shading.shading.Looks`.
        colour: (3,) linear colour of the mesh without light, changed in place.
        material: (MATERIAL,) receives what highlights need, see :mod:`anifacegan.data.synthetic.surface.vertex_table`.
    """
    nx, ny, nz = value[NORMAL], value[NORMAL + 1], value[NORMAL + 2]
    px, py = value[PLACE], value[PLACE + 1]
    gx, gy, gz = detail[0] * looks.bump, detail[1] * looks.bump, detail[2] * looks.bump
    groove = np.float32(0)
    if value[LINES] > np.float32(0.02):
        warp = np.float32(0.022) * value_noise(px * 5, py * 3, np.int64(31)) + np.float32(
            0.006
        ) * value_noise(px * 19, py * 9, np.int64(32))
        strong = min(value[LINES] * np.float32(3.2), np.float32(1))
        strong *= min(
            max(np.float32(0.65) + value_noise(px * 4 + 7, py * 22, np.int64(33)), np.float32(0)),
            np.float32(1),
        )
        depth, slope = _crease(py + warp, LINE_DISTANCE)
        gy += np.float32(0.34) * strong * slope
        groove += strong * depth
    if value[FURROWS] > np.float32(0.02):
        warp = np.float32(0.016) * value_noise(px * 6, py * 6, np.int64(34))
        strong = min(value[FURROWS] * np.float32(2.6), np.float32(1))
        strong *= min(
            max(np.float32(0.6) + value_noise(px * 18, py * 5, np.int64(35)), np.float32(0)), np.float32(1)
        )
        # crow's feet fan out from the corner of the eye, furrows of the frown are upright
        across = px + (
            np.float32(0.9) * (py - np.float32(0.26)) if abs(px) > np.float32(0.38) else np.float32(0)
        ) * (np.float32(1) if px < 0 else np.float32(-1))
        depth, slope = _crease(across + warp, FURROW_DISTANCE)
        gx += np.float32(0.26) * strong * slope
        groove += np.float32(0.8) * strong * depth
    along = gx * nx + gy * ny + gz * nz
    bx, by, bz = nx - gx + along * nx, ny - gy + along * ny, nz - gz + along * nz
    scale = np.float32(1) / np.sqrt(bx * bx + by * by + bz * bz + np.float32(1e-12))
    bx, by, bz = bx * scale, by * scale, bz * scale
    turn = (bx - nx) * value[BENT] + (by - ny) * value[BENT + 1] + (bz - nz) * value[BENT + 2]
    material[TURN] = DIFFUSE_BUMP * turn
    rough = np.float32(1) - SMOOTHED
    material[SHINE_NORMAL] = rough * bx + SMOOTHED * nx
    material[SHINE_NORMAL + 1] = rough * by + SMOOTHED * ny
    material[SHINE_NORMAL + 2] = rough * bz + SMOOTHED * nz

    blood = looks.blood * (np.float32(0.7) * detail[3] + np.float32(0.5) * detail[4])
    brown = looks.mottle * (np.float32(0.4) * detail[3] + np.float32(0.9) * detail[4])
    spots = looks.freckles * detail[5]
    chosen = np.float32(0.5) + np.float32(0.5) * np.cos(np.float32(6.2831853) * (detail[7] - looks.mole_turn))
    mole = detail[6] * min(max((chosen - looks.mole_from) * np.float32(8), np.float32(0)), np.float32(1))
    hollow = max(value[CAVITY], np.float32(0)) + np.float32(0.25) * groove
    colour[0] *= np.exp(
        -np.float32(0.10) * blood
        - np.float32(0.5) * brown
        - np.float32(0.7) * spots
        - np.float32(1.1) * mole
        - np.float32(0.35) * hollow
    )
    colour[1] *= np.exp(
        -np.float32(0.55) * blood
        - np.float32(0.7) * brown
        - np.float32(1.3) * spots
        - np.float32(1.7) * mole
        - np.float32(0.85) * hollow
    )
    colour[2] *= np.exp(
        -np.float32(0.50) * blood
        - np.float32(0.9) * brown
        - np.float32(1.6) * spots
        - np.float32(1.9) * mole
        - np.float32(0.95) * hollow
    )
    cover = value[SCALP]
    cover = SCALP_COVER * min(
        max(cover + np.float32(0.5) * cover * (1 - cover) * detail[3], np.float32(0)), np.float32(1)
    )
    for k in range(3):
        colour[k] += cover * (looks.scalp_rgb[k] - colour[k])
    wet = value[WET]
    material[ROUGHNESS] = looks.roughness * (1 + np.float32(0.04) * detail[4]) * (1 - np.float32(0.5) * wet)
    material[SECOND] = np.float32(0.35)
    material[MIRROR] = SKIN_MIRROR
    material[SHINE] = (
        value[GLOSS] * (1 - np.float32(0.8) * cover) * max(np.float32(1) - hollow, np.float32(0.2)) + wet
    )
    material[DIM] = np.float32(1) - np.float32(0.25) * min(max(hollow, np.float32(0)), np.float32(1))
    material[OPEN] *= max(np.float32(1) - np.float32(1.2) * hollow, np.float32(0.1))
