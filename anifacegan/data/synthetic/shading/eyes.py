"""Colour and surface of a sample (a point of an image) on an eye: iris with fibres and limbus, pupil, white, cornea."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float

from anifacegan.data.synthetic.surface.value_noise import value_noise
from anifacegan.data.synthetic.surface.vertex_table import (
    BENT,
    DIM,
    LIT,
    MIRROR,
    NORMAL,
    OPEN,
    PLACE,
    ROUGHNESS,
    SECOND,
    SHINE,
    SHINE_NORMAL,
    TURN,
    WET,
)
from anifacegan.runtime.compiled import kernel

IRIS_DEG = np.float32(25.5)
"""Angle, seen from the eye's centre, between the middle of the pupil and the edge of the iris, degrees."""
CORNEA_DEG = np.float32(30)
"""Angle, seen from the eye's centre, between the middle of the pupil and the edge of the bulging cornea, degrees."""
LID_SHADOW = 0.055
"""Distance below the upper lid, in model units, at which the lid's shadow on the eye has fallen to 1 / e."""


def lid_shadow(
    ball: Float[np.ndarray, "ball_vertex 3"], lid: Float[np.ndarray, "column 3"]
) -> Float[np.ndarray, " ball_vertex"]:
    """Compute how much the upper lid shades each vertex of an eyeball, from 1 at the lid's edge down to 0.

    ``ball`` are the eyeball's vertices and ``lid`` those of the edge of the lid, model units; fewer than two lid
    vertices give no shadow.
    """
    if len(lid) < 2:
        return np.zeros(len(ball), np.float32)
    order = np.argsort(lid[:, 0])
    below = np.interp(ball[:, 0], lid[order, 0], lid[order, 1]) - ball[:, 1]
    return np.exp(-np.maximum(below, 0) / LID_SHADOW).astype(np.float32)


@kernel(fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def eye_sample(value, looks, colour, material):
    """Compute the colour of a sample (a point of an image) on an eyeball, and describe its surface for highlights.

    Args:
        value: (COLUMNS,) vertex attributes interpolated at the sample, see
            :mod:`anifacegan.data.synthetic.surface.vertex_table`.
        looks: numbers of the person's appearance, :class:`anifacegan.data.synthetic.shading.shading.Looks`.
        colour: (3,) receives the linear colour without light.
        material: (MATERIAL,) receives what highlights need, see the same module as ``value``.
    """
    one, zero = np.float32(1), np.float32(0)
    ex, ey, ez = value[PLACE], value[PLACE + 1], value[PLACE + 2]
    scale = one / np.sqrt(ex * ex + ey * ey + ez * ez + np.float32(1e-12))
    ex, ey, ez = ex * scale, ey * scale, ez * scale
    polar = np.float32(57.29578) * np.arctan2(np.sqrt(ex * ex + ey * ey), ez)
    turn = np.arctan2(ey, ex)
    corner = min(max((polar - np.float32(36)) / np.float32(40), zero), one)
    vein = (
        max(zero, value_noise(turn * 6 + np.float32(0.15) * polar, polar * np.float32(0.1), np.int64(21)))
        * corner
    )
    pink = np.float32(0.26) * corner + np.float32(0.25) * vein
    colour[0] = looks.sclera_rgb[0] * (one - np.float32(0.12) * corner)
    colour[1] = looks.sclera_rgb[1] * (one - pink)
    colour[2] = looks.sclera_rgb[2] * (one - np.float32(1.05) * pink)
    limbus = np.exp(-(((polar - IRIS_DEG) / np.float32(2.4)) ** 2))
    if polar < IRIS_DEG + 4:
        fibre = np.float32(0.55) * value_noise(
            turn * np.float32(9.55), polar * np.float32(0.12), np.int64(3)
        )  # wraps at 60 / 2 pi
        fibre += np.float32(0.45) * value_noise(turn * np.float32(22.3), polar * np.float32(0.2), np.int64(4))
        fibre += np.float32(0.25) * value_noise(turn * np.float32(4.5), polar * np.float32(0.35), np.int64(9))
        span = max(IRIS_DEG - looks.pupil_deg, np.float32(2))
        inner = min(max((polar - looks.pupil_deg) / span, zero), one)
        collarette = np.exp(-(((inner - np.float32(0.28)) / np.float32(0.13)) ** 2))
        # the cornea gathers light on the side of the iris that is away from the lamp
        glow = min(
            max(one - np.float32(1.3) * (ex * value[BENT] + ey * value[BENT + 1]), np.float32(0.45)),
            np.float32(1.6),
        )
        body = (np.float32(0.9) + np.float32(0.55) * fibre) * (one - np.float32(0.72) * limbus) * glow
        body *= np.float32(0.85) + np.float32(0.15) * min(inner * 3, one)
        iris = min(max((IRIS_DEG + np.float32(0.9) - polar) / np.float32(1.8), zero), one)
        pupil = min(max((looks.pupil_deg - polar) / np.float32(1.2) + np.float32(0.5), zero), one)
        for k in range(3):
            warm = np.float32(0.45) if k == 0 else (np.float32(0.22) if k == 1 else zero)
            here = (
                looks.iris_rgb[k] * max(body + collarette * warm, np.float32(0.05)) * (one - pupil)
                + np.float32(0.003) * pupil
            )
            white = colour[k] * (one - np.float32(0.45) * limbus)
            colour[k] = here * iris + white * (one - iris)
    nx, ny, nz = value[NORMAL], value[NORMAL + 1], value[NORMAL + 2]
    if polar < CORNEA_DEG:  # it bulges, so its normals turn faster than the ball's
        nx, ny = nx + np.float32(0.55) * ex, ny + np.float32(0.55) * ey
        scale = one / np.sqrt(nx * nx + ny * ny + nz * nz + np.float32(1e-12))
        nx, ny, nz = nx * scale, ny * scale, nz * scale
    material[SHINE_NORMAL], material[SHINE_NORMAL + 1], material[SHINE_NORMAL + 2] = nx, ny, nz
    material[ROUGHNESS], material[SECOND], material[MIRROR] = np.float32(0.25), zero, np.float32(0.028)
    material[SHINE] = np.float32(5.0) if polar < CORNEA_DEG else np.float32(2.0)
    material[TURN] = zero
    material[DIM] = one - np.float32(0.68) * value[WET]
    material[OPEN] *= one - np.float32(0.7) * value[WET]
    material[LIT] = np.float32(0.4) + np.float32(0.6) * material[LIT]
