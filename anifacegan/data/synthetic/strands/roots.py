"""Roots of strands: points of the skin, drawn once with a fixed seed, the same points of the mesh in every person."""

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Int

from anifacegan.data.synthetic.surface.head import HeadGeometry
from anifacegan.data.synthetic.surface.value_noise import random_waves
from anifacegan.geometry.normals import unit
from anifacegan.geometry.resampling import smoothstep
from anifacegan.runtime.compiled import kernel

WAVES = 6
"""Number of waves in each of the random functions of space by which hair varies over the head."""
SHADES = 0.22
"""Standard deviation of the logarithm of the brightness of strands."""


@dataclass(frozen=True)
class Roots:
    """Points of a mesh, at which strands grow: each is given by a triangle's corners and barycentric weights."""

    corners: Int[np.ndarray, "root 3"]
    """Vertex indices of the corners of the triangle that each root lies in."""
    weights: Float[np.ndarray, "root 3"]
    """Barycentric weights of the corners."""

    def at(self, values: Float[np.ndarray, "vertex *channel"]) -> Float[np.ndarray, "root *channel"]:
        """Interpolate values of the mesh's vertices at the roots, float32."""
        values = values.astype(np.float32, copy=False)
        if values.ndim == 1:
            return _interpolate(values[:, None], self.corners, self.weights)[:, 0]
        return _interpolate(values, self.corners, self.weights)

    def unit_at(self, normals: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, "root 3"]:
        """Interpolate unit normals of the mesh's vertices at the roots, and scale the results to length 1."""
        return unit(self.at(normals))

    def select(self, index: Int[np.ndarray, " selected"]) -> "Roots":
        """Return the roots with the given indices."""
        return Roots(self.corners[index], self.weights[index])

    def __len__(self) -> int:
        return len(self.corners)


def skin_triangles(head: HeadGeometry) -> Int[np.ndarray, "triangle 3"]:
    """Return the triangles of a head whose corners are all skin."""
    return head.triangles[(head.parts.part[head.triangles] == 0).all(axis=1)]


def scatter_roots(
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    density: Float[np.ndarray, " vertex"],
    count: int,
    rng: np.random.Generator,
) -> Roots:
    """Draw ``count`` random roots on triangles; their number for each unit of area is proportional to ``density``.

    The draws are stratified over the triangles, so that roots lie more evenly than independent ones. Their order is
    random.
    """
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    total = np.cumsum(area.astype(np.float64) * density[triangles].mean(axis=1))
    places = (np.arange(count) + rng.random(count)) / count * total[-1]
    owner = np.minimum(np.searchsorted(total, places), len(triangles) - 1)
    u, v = np.sqrt(rng.random(count)), rng.random(count)
    weights = np.stack([1 - u, u * (1 - v), u * v], axis=1).astype(np.float32)
    order = rng.permutation(count)  # any first part of the roots covers the whole region
    return Roots(triangles[owner][order].astype(np.int32), weights[order])


@dataclass(frozen=True)
class StrandNoise:
    """Random numbers of strands, by which strands of a style differ from each other; float32.

    Uniform numbers are in [0, 1]; normal ones have mean 0 and standard deviation about 1.
    """

    rank: Float[np.ndarray, " strand"]
    """Uniform; strands with low ranks remain when hair gets thinner."""
    layer: Float[np.ndarray, " strand"]
    """Uniform; distance from the head, from that of the lowest strands (0) to that of the outermost ones (1)."""
    length: Float[np.ndarray, " strand"]
    """Uniform; variation of the strand's length."""
    edge: Float[np.ndarray, " strand"]
    """Normal; shift of the hair line for the strand."""
    stray: Float[np.ndarray, "strand 3"]
    """About normal; deviation of the strand's direction, large for a few strands."""
    drift: Float[np.ndarray, "strand 3"]
    """About normal and smooth over the head; deviation of the direction that neighbours share."""
    shade: Float[np.ndarray, " strand"]
    """About normal, partly shared by neighbours; logarithm of the strand's brightness."""
    phase: Float[np.ndarray, " strand"]
    """Uniform; phase of the strand's curl, as a share of a turn."""

    def select(self, index: Int[np.ndarray, " selected"]) -> "StrandNoise":
        """Return the numbers of the strands with the given indices."""
        return StrandNoise(**{name: values[index] for name, values in vars(self).items()})


def strand_noise(places: Float[np.ndarray, "strand 3"], rng: np.random.Generator) -> StrandNoise:
    """Draw the random numbers of strands with roots at ``places`` of the mean head, model units."""
    count = len(places)
    strayed = 0.8 + 0.4 * rng.random(count) ** 4
    shade = (
        0.6 * rng.normal(size=count)
        + 0.5 * random_waves(places, 9.0, rng, WAVES)
        + 0.5 * random_waves(places, 30.0, rng, WAVES)
    )
    return StrandNoise(
        rank=rng.random(count, np.float32),
        layer=rng.random(count, np.float32),
        length=rng.random(count, np.float32),
        edge=rng.normal(size=count).astype(np.float32),
        stray=(np.clip(rng.normal(size=(count, 3)), -2, 2) * strayed[:, None]).astype(np.float32),
        drift=np.stack([random_waves(places, 7.0, rng, WAVES) for _ in range(3)], axis=1),
        shade=shade.astype(np.float32),
        phase=rng.random(count, np.float32),
    )


def opacity(
    share: Float[np.ndarray, " root"], rank: Float[np.ndarray, " root"]
) -> Float[np.ndarray, " root"]:
    """Return the opacity of strands, 0 to 1, of which only the share with the lowest ranks grows.

    ``share`` is that share at each root, 0 to 1; ``rank`` are the strands' random ranks, uniform in [0, 1]. Strands
    near the limit are translucent, so the opacity is a continuous function of the share.
    """
    fade = np.float32(0.2)
    return smoothstep(0.0, 1.0, (share * (1 + fade) - rank) / fade).astype(np.float32)


def tangent(
    vectors: Float[np.ndarray, "*place 3"], normals: Float[np.ndarray, "*place 3"]
) -> Float[np.ndarray, "*place 3"]:
    """Remove from each vector its component along a unit normal."""
    return vectors - (vectors * normals).sum(axis=-1, keepdims=True) * normals


def shaded(rgb: Float[np.ndarray, "3"], shade: Float[np.ndarray, " strand"]) -> Float[np.ndarray, "strand 3"]:
    """Return a colour for each strand: ``rgb``, made lighter or darker by the strand's standard normal ``shade``."""
    return (rgb * np.exp(SHADES * shade)[:, None]).astype(np.float32)


@kernel()
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _interpolate(values, corners, weights):
    out = np.empty((len(corners), values.shape[1]), np.float32)
    for root in range(len(corners)):
        a, b, c = corners[root, 0], corners[root, 1], corners[root, 2]
        wa, wb, wc = weights[root, 0], weights[root, 1], weights[root, 2]
        for k in range(values.shape[1]):
            out[root, k] = wa * values[a, k] + wb * values[b, k] + wc * values[c, k]
    return out
