"""Colour and surface of a sample (a point of an image) on teeth, gums or tongue."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float

from anifacegan.data.synthetic.surface.vertex_table import (
    DIM,
    MIRROR,
    NORMAL,
    PLACE,
    ROUGHNESS,
    SECOND,
    SHINE,
    SHINE_NORMAL,
    TURN,
    WET,
)
from anifacegan.face_model.parts import TOOTH_ARCH_RADIUS, UPPER_TOOTH_WIDTHS
from anifacegan.runtime.compiled import kernel

GUM_RGB, TONGUE_RGB = (0.40, 0.135, 0.125), (0.42, 0.13, 0.12)
"""Linear colours of gums and tongue."""


def tooth_gaps() -> Float[np.ndarray, " gap"]:
    """Return the angles of the gaps between upper teeth, radians from the front about the centre of the dental arch."""
    return (np.concatenate([[0.0], np.cumsum(UPPER_TOOTH_WIDTHS)]) / TOOTH_ARCH_RADIUS).astype(np.float32)


@kernel(fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def teeth_sample(value, looks, gaps, colour, material):
    """Compute the colour of a sample (a point of an image) on teeth or gums, and describe its surface for highlights.

    Args:
        value: (COLUMNS,) vertex attributes interpolated at the sample, see
            :mod:`anifacegan.data.synthetic.surface.vertex_table`.
        looks: numbers of the person's appearance, :class:`anifacegan.data.synthetic.shading.shading.Looks`.
        gaps: angles of the gaps between teeth, see :func:`tooth_gaps`.
        colour: (3,) receives the linear colour without light.
        material: (MATERIAL,) receives what highlights need, see the same module as ``value``.
    """
    one, zero = np.float32(1), np.float32(0)
    angle = np.arctan2(abs(value[PLACE]), value[PLACE + 2])
    gap = np.float32(9)
    for k in range(len(gaps)):
        off = angle - gaps[k]
        if abs(off) < abs(gap):
            gap = off
    gum = value[WET]
    groove = np.exp(-((gap / np.float32(0.021)) ** 2)) * (one - gum)
    round_off = np.exp(-((gap / np.float32(0.055)) ** 2)) * (one - gum)
    side = (one if gap > 0 else -one) * round_off * (one if value[PLACE] > 0 else -one)
    for k in range(3):
        tooth = looks.tooth_rgb[k] * (one - np.float32(0.48) * groove) * (one - np.float32(0.10) * round_off)
        colour[k] = tooth + gum * (GUM_RGB[k] - tooth)
    # each tooth is rounded, so its normals turn away from the gaps
    nx, ny, nz = value[NORMAL] - np.float32(0.45) * side, value[NORMAL + 1], value[NORMAL + 2]
    scale = one / np.sqrt(nx * nx + ny * ny + nz * nz + np.float32(1e-12))
    material[SHINE_NORMAL], material[SHINE_NORMAL + 1], material[SHINE_NORMAL + 2] = (
        nx * scale,
        ny * scale,
        nz * scale,
    )
    material[ROUGHNESS], material[SECOND], material[MIRROR] = np.float32(0.26), zero, np.float32(0.04)
    material[SHINE], material[TURN], material[DIM] = np.float32(0.8), zero, one


@kernel(fastmath=True)
@no_type_check
def tongue_sample(value, colour, material):
    """Compute the colour of a sample (a point of an image) on the tongue, and describe its surface for highlights.

    Args:
        value: (COLUMNS,) vertex attributes interpolated at the sample, see
            :mod:`anifacegan.data.synthetic.surface.vertex_table`.
        colour: (3,) receives the linear colour without light.
        material: (MATERIAL,) receives what highlights need, see the same module as ``value``.
    """
    middle = np.exp(-((value[PLACE] / np.float32(0.02)) ** 2))
    for k in range(3):
        colour[k] = TONGUE_RGB[k] * (np.float32(1) - np.float32(0.25) * middle)
    for axis in range(3):
        material[SHINE_NORMAL + axis] = value[NORMAL + axis]
    material[ROUGHNESS], material[SECOND], material[MIRROR] = (
        np.float32(0.36),
        np.float32(0),
        np.float32(0.03),
    )
    material[SHINE], material[TURN], material[DIM] = np.float32(0.8), np.float32(0), np.float32(1)
