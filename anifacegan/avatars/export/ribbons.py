"""Ribbons along strands: narrow strips of triangles, and the texture of the hairs on them."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Float, Int

from anifacegan.geometry.normals import unit
from anifacegan.runtime.image_files import encoded_image

TEXTURE_WIDTH, TEXTURE_HEIGHT = 64, 128
"""Size of the texture of a ribbon, texels; columns run across it, rows from the root to the tip."""
HAIRS = 9
"""Number of hairs on a ribbon."""


@dataclass(frozen=True)
class Ribbons:
    """Ribbons as one mesh; each point of a strand gives two vertices, on the left and on the right."""

    points: Float[np.ndarray, "vertex 3"]
    uv: Float[np.ndarray, "vertex 2"]
    """Across the ribbon, and along it from the root (0) to the tip (1)."""
    normals: Float[np.ndarray, "vertex 3"]
    triangles: Int[np.ndarray, "triangle 3"]


def ribbons_along(
    paths: Float[np.ndarray, "strand step 3"],
    facing: Float[np.ndarray, "strand step 3"],
    width: Float[np.ndarray, "strand step"],
) -> Ribbons:
    """Lay a ribbon along each strand; ``facing`` is where its front looks, which need not be at right angles to it."""
    count, steps = paths.shape[:2]
    along = unit(np.gradient(paths, axis=1))
    side = unit(np.cross(along, facing))
    half = 0.5 * width[..., None] * side
    points = np.stack([paths - half, paths + half], axis=2)
    across, down = np.meshgrid([0.0, 1.0], np.linspace(0, 1, steps))
    first = 2 * (steps * np.arange(count)[:, None] + np.arange(steps - 1)).ravel()
    left, right, next_left, next_right = (first + k for k in range(4))
    triangles = np.concatenate(
        [np.stack([left, right, next_right], axis=1), np.stack([left, next_right, next_left], axis=1)]
    )
    return Ribbons(
        points=points.reshape(-1, 3),
        uv=np.tile(np.stack([across, down], axis=-1).reshape(-1, 2), (count, 1)),
        normals=np.repeat(np.cross(side, along), 2, axis=1).reshape(-1, 3),
        triangles=triangles,
    )


def resampled(path: Float[np.ndarray, "point 3"], steps: int) -> Float[np.ndarray, "steps 3"]:
    """Take points at equal distances along a strand, whose curls narrower than two of them are smoothed first."""
    window = max(1, round(len(path) / steps))
    if window > 1:
        padded = np.concatenate(
            [path[:1].repeat(window // 2, 0), path, path[-1:].repeat((window - 1) // 2, 0)]
        )
        path = np.stack(
            [np.convolve(padded[:, k], np.ones(window) / window, "valid") for k in range(3)], axis=1
        )
    length = np.append(0, np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1)))
    places = np.linspace(0, length[-1], steps)
    return np.stack([np.interp(places, length, path[:, k]) for k in range(3)], axis=1)


@cache
def hair_texture() -> bytes:
    """Draw the hairs of a ribbon, a PNG file: opacity, and brightness that differs from hair to hair."""
    rng = np.random.default_rng(0)
    row = (np.arange(TEXTURE_HEIGHT)[:, None] + 0.5) / TEXTURE_HEIGHT
    column = (np.arange(TEXTURE_WIDTH) + 0.5) / TEXTURE_WIDTH
    opacity, bright = np.zeros((2, TEXTURE_HEIGHT, TEXTURE_WIDTH))
    nearest = np.full(opacity.shape, np.inf)
    for place in (np.arange(HAIRS) + rng.uniform(0.2, 0.8, HAIRS)) / HAIRS:
        sway = 0.03 * np.sin(2 * np.pi * (rng.uniform(0.5, 1.2) * row + rng.random()))
        # the hairs of a lock come together toward its tip, and end one after another
        middle = 0.5 + (place - 0.5) * (0.9 - 0.25 * row**2) + sway
        away = np.abs(column - middle)
        thick = 0.06 * (1 - row / rng.uniform(0.85, 1.0)).clip(0, 1) ** 0.4
        opacity = np.maximum(opacity, (1 - 0.5 * away / np.maximum(thick, 1e-6)).clip(0, 1))
        bright = np.where(away < nearest, rng.uniform(0.7, 1.0), bright)
        nearest = np.minimum(nearest, away)
    pixels = np.concatenate([np.repeat(bright[..., None], 3, axis=-1), opacity[..., None]], axis=-1)
    return encoded_image(np.rint(255 * pixels).astype(np.uint8))
