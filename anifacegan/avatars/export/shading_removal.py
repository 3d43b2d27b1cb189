"""A texture without the light's shading, as far as the views tell it.

The colour of skin is taken as the face model's mean albedo, times spherical harmonics of the surface's normal up to
degree 2 (:mod:`anifacegan.geometry.spherical_harmonics`), fitted to the skin that was seen. All texels are divided by
these harmonics, relative to their mean over the skin; the tone of the skin and the brightness of the light cannot be
told apart, so the mean colour stays. Cast shadows, highlights and the dark of creases stay in the texture.
"""

import numpy as np
import torch
from jaxtyping import Float

from anifacegan.avatars.export.head_texture import HeadTexture, filled_beside
from anifacegan.avatars.export.person_shape import PersonShape
from anifacegan.face_model.parts import SKIN
from anifacegan.geometry.normals import unit, vertex_normals_numpy
from anifacegan.geometry.spherical_harmonics import spherical_harmonics

ROUNDS, TOLERANCE = 4, 0.1
"""Number of fits, and relative difference of a colour from the fit at which its weight is halved in the next."""
SPREAD = 0.02
"""Share of the skin on either side whose shading is taken as an outlier."""
FEWEST_TEXELS = 100
"""Number of seen texels of skin below which nothing is removed."""
DARKEST = 0.02
"""Smallest albedo that is divided by."""


def without_shading(shape: PersonShape, texture: HeadTexture) -> Float[np.ndarray, "size size 3"]:
    """Divide a texture by the shading that is fitted to its skin."""
    owners, size = texture.owners, len(texture.rgb)
    colours = texture.colours
    parts = shape.parts
    bare = (parts.part == SKIN) & (parts.face_mask > 0.5) & (parts.lips_mask < 0.1) & (parts.beard_mask < 0.5)
    chosen = np.flatnonzero(texture.seen & bare[owners.corners].all(axis=1))
    if len(chosen) < FEWEST_TEXELS:
        return texture.rgb
    normals = vertex_normals_numpy(shape.neutral, shape.triangles)
    ways = unit(owners.interpolated(normals))
    harmonics = spherical_harmonics(torch.from_numpy(ways)).numpy()
    painted = shape.model.tex_mean.numpy()[owners.corners[chosen]]
    albedo = (painted * owners.shares[chosen][..., None]).sum(axis=1).clip(min=DARKEST)
    shading = np.empty_like(colours)
    for channel in range(3):
        light = _fitted(harmonics[chosen], colours[chosen, channel] / albedo[:, channel])
        lit = harmonics @ light
        low, high = np.quantile(lit[chosen], (SPREAD, 1 - SPREAD))
        shading[:, channel] = lit.clip(max(low, 1e-3), max(high, 1e-3)) / max(float(lit[chosen].mean()), 1e-3)
    return filled_beside((colours / shading).clip(0, 1), owners, size)


def _fitted(
    harmonics: Float[np.ndarray, "texel 9"], ratio: Float[np.ndarray, "texel"]
) -> Float[np.ndarray, "9"]:
    """Fit harmonics to the ratio of colour and albedo by least squares, in which outliers lose their weight."""
    weight = np.ones(len(ratio))
    for _ in range(ROUNDS):
        root = np.sqrt(weight)
        light = np.linalg.lstsq(root[:, None] * harmonics, root * ratio, rcond=1e-6)[0]
        apart = np.abs(ratio - harmonics @ light) / np.maximum(np.median(ratio), 1e-3)
        weight = 1 / (1 + np.square(apart / TOLERANCE))
    return light
