"""Clothes on the shoulders: a knitted shirt with a rolled collar, as a thicker surface and a colour."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float

from anifacegan.data.synthetic.surface.value_noise import value_noise
from anifacegan.data.synthetic.surface.vertex_table import (
    BENT,
    CLOTH,
    DIM,
    MIRROR,
    NORMAL,
    OPEN,
    PLACE,
    ROUGHNESS,
    SECOND,
    SHINE,
    SHINE_NORMAL,
    TURN,
)
from anifacegan.geometry.resampling import smoothstep
from anifacegan.runtime.compiled import kernel

CLOTH_THICKNESS = 0.05
"""Distance of the cloth from the skin, in model units."""
HEM_START, HEM_END = 0.08, 0.20
"""Distances from the collar's edge between which the cloth rises to its thickness, in model units; it lies on the skin
at the edge, for triangles are about as long there, and a rising one would be skin in part."""
FAR_FROM_CLOTHES = -0.9
"""Signed distance to the collar, in model units, beyond which a moved collar does not reach."""
RIBS_END = np.float32(0.13)
"""Distance from the edge at which the ribbed collar ends, in model units."""


def cloth_distance(collar: Float[np.ndarray, " vertex"], shift: float) -> Float[np.ndarray, " vertex"]:
    """Return the signed distance of each vertex to a collar that is moved up by ``shift``; positive in the clothes.

    ``collar`` is the signed distance to the common collar.
    """
    return collar + np.float32(shift) * (collar > FAR_FROM_CLOTHES)


def cloth_thickness(distance: Float[np.ndarray, " vertex"]) -> Float[np.ndarray, " vertex"]:
    """Return how far the clothes stand off the skin at a distance from the collar."""
    return (CLOTH_THICKNESS * smoothstep(HEM_START, HEM_END, distance)).astype(np.float32)


@kernel(fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def cloth_sample(value, looks, colour, material):
    """Give a sample of clothes its colour and describe its surface; arguments as those of ``skin_sample``."""
    one = np.float32(1)
    edge = value[CLOTH]
    px, py, pz = value[PLACE], value[PLACE + 1], value[PLACE + 2]
    down = py + np.float32(0.6) * pz
    if edge < RIBS_END:
        pattern = np.float32(0.20) * np.sin(np.arctan2(px, pz + np.float32(0.75)) * 75)
    else:
        column = px * 45 + np.float32(0.8) * value_noise(px * 6, down * 6, 3)
        stitch = np.sin(down * 70 + np.float32(1.6) * abs(np.sin(column * np.float32(0.5))))
        pattern = np.float32(0.10) * np.sin(column) + np.float32(0.08) * stitch
    pattern += np.float32(0.08) * value_noise(px * 60, down * 60, 8)
    fold = value_noise(px * 3 + 5, down * np.float32(4.5), 12)
    seam = one - np.float32(0.35) * np.exp(-(((edge - RIBS_END) / np.float32(0.009)) ** 2))
    hem = one - np.float32(0.35) * np.exp(-edge / np.float32(0.010))
    for k in range(3):
        colour[k] = looks.cloth_rgb[k] * (one + pattern) * seam * hem
    for axis in range(3):
        material[SHINE_NORMAL + axis] = value[NORMAL + axis]
    material[ROUGHNESS], material[SECOND], material[MIRROR] = np.float32(0.8), np.float32(0), np.float32(0.03)
    material[SHINE], material[DIM] = np.float32(0), one
    material[TURN] = np.float32(0.22) * fold * (one - abs(value[BENT + 2]) * np.float32(0.5))


@kernel(fastmath=True)
@no_type_check
def collar_shadow(value, material):
    """Darken skin just outside the collar."""
    edge = value[CLOTH]
    if edge > np.float32(-0.15):
        shade = np.exp(edge * np.float32(30))
        material[DIM] *= np.float32(1) - np.float32(0.5) * shade
        material[OPEN] *= np.float32(1) - np.float32(0.5) * shade
