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
"""Distances inside the collar's edge between which the cloth rises from the skin to its thickness, in model units."""
FAR_FROM_CLOTHES = -0.9
"""Signed distance to the collar, in model units, at and below which vertices stay outside clothes however the collar is
shifted."""
RIBS_END = np.float32(0.13)
"""Distance inside the collar's edge at which the ribbed collar ends, in model units."""


def cloth_distance(collar: Float[np.ndarray, " vertex"], shift: float) -> Float[np.ndarray, " vertex"]:
    """Return the signed distance of each vertex to a person's collar, positive in the clothes; model units.

    ``collar`` is the signed distance to the collar of the face model, and ``shift`` the distance by which the person's
    is higher.
    """
    return collar + np.float32(shift) * (collar > FAR_FROM_CLOTHES)


def cloth_thickness(distance: Float[np.ndarray, " vertex"]) -> Float[np.ndarray, " vertex"]:
    """Return how far clothes stand off the skin, at signed distances inside the collar (positive); model units."""
    return (CLOTH_THICKNESS * smoothstep(HEM_START, HEM_END, distance)).astype(np.float32)


@kernel(fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def cloth_sample(value, looks, colour, material):
    """Compute the colour of a sample (a point of an image) on clothes, and describe its surface for highlights.

    Args:
        value: (COLUMNS,) vertex attributes interpolated at the sample, see :mod:`.vertex_table`.
        looks: numbers of the person's appearance, :class:`anifacegan.data.synthetic.shading.shading.Looks`.
        colour: (3,) receives the linear colour without light.
        material: (MATERIAL,) receives what highlights need, see :mod:`.vertex_table`.
    """
    one = np.float32(1)
    edge = value[CLOTH]
    px, py, pz = value[PLACE], value[PLACE + 1], value[PLACE + 2]
    down = py + np.float32(0.6) * pz
    if edge < RIBS_END:
        pattern = np.float32(0.20) * np.sin(np.arctan2(px, pz + np.float32(0.75)) * 75)
    else:
        column = px * 45 + np.float32(0.8) * value_noise(px * 6, down * 6, np.int64(3))
        stitch = np.sin(down * 70 + np.float32(1.6) * abs(np.sin(column * np.float32(0.5))))
        pattern = np.float32(0.10) * np.sin(column) + np.float32(0.08) * stitch
    pattern += np.float32(0.08) * value_noise(px * 60, down * 60, np.int64(8))
    fold = value_noise(px * 3 + 5, down * np.float32(4.5), np.int64(12))
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
    """Darken a sample (a point of an image) on skin just outside the collar, by changing what describes its surface.

    ``value`` (COLUMNS,) are vertex attributes interpolated at the sample, and ``material`` (MATERIAL,) the description
    of the surface, changed in place; for both see :mod:`.vertex_table`.
    """
    edge = value[CLOTH]
    if edge > np.float32(-0.15):
        shade = np.exp(edge * np.float32(30))
        material[DIM] *= np.float32(1) - np.float32(0.5) * shade
        material[OPEN] *= np.float32(1) - np.float32(0.5) * shade
