"""A chart: a square grid of directions from the middle of the skull, which holds how far the head reaches in each.

Directions are laid out on the square as an octahedron (Cigolle et al. 2014, "A Survey of Efficient Representations for
Independent Unit Vectors"): no trigonometry is needed to look one up, and all parts of the square have about the same
resolution. The middle of the square is the direction to the front, +z, and its corners are that to the back, -z.
"""

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import maximum_filter

from anifacegan.geometry.normals import unit
from anifacegan.geometry.resampling import smoothstep
from anifacegan.runtime.compiled import kernel

CHART_SIZE = 65
"""Number of grid nodes along each side of the square of directions; values are interpolated between nodes."""
AXIS_Z = -0.9656
"""Coordinate z of the head's vertical axis, about which azimuths are measured; model units."""
LOWEST_Y = -1.2
"""Height, in model units, below which the surface of the body is ignored: shoulders are outside of the image."""
FARTHEST_MOVE = 0.08
"""Largest relative correction of a surface's distance by its slope; it would be huge where the surface is edge-on."""


def azimuth_deg(places: Float[np.ndarray, "*place 3"]) -> Float[np.ndarray, "*place"]:
    """Return the unsigned angle of points (model units) about the head's vertical axis, degrees: 0 in front, 90 at
    either ear, 180 behind."""
    return np.degrees(np.arctan2(np.abs(places[..., 0]), places[..., 2] - AXIS_Z))


def on_top(places: Float[np.ndarray, "*place 3"]) -> Float[np.ndarray, "*place"]:
    """Return how much points of the mean head (model units) belong to the top of the head, 0 to 1."""
    return smoothstep(0.62, 1.05, places[..., 1])


@dataclass(frozen=True)
class HeadChart:
    """A square grid of directions from the middle of the skull, and the points of the mean head that they meet.

    Where a direction meets none, that of the nearest direction that does is taken.
    """

    centre: Float[np.ndarray, "3"]
    """Middle of the skull, model units."""
    directions: Float[np.ndarray, "row column 3"]
    """Unit direction of each grid node from the centre."""
    corners: Int[np.ndarray, "row column 3"]
    """Vertex indices of the outermost triangle that each direction meets on the mean head."""
    weights: Float[np.ndarray, "row column 3"]
    """Barycentric weights, in that triangle, of the point that each direction meets."""

    def places(self, vertices: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, "row column 3"]:
        """Return the points of another head's surface that correspond to those of the mean head, for each direction.

        ``vertices`` are that head's, model units.
        """
        return np.einsum("ijk,ijkc->ijc", self.weights, vertices[self.corners])

    def radii(self, vertices: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, "row column"]:
        """Return the distance from the centre to a head's surface in each direction, model units.

        The point of a head that corresponds to the mean head's (:meth:`places`) lies a little beside the direction; the
        plane of its triangle corrects this. ``vertices`` are the head's, model units.
        """
        corners = vertices[self.corners] - self.centre  # (S, S, 3, 3)
        place = np.einsum("ijk,ijkc->ijc", self.weights, corners)
        normal = np.cross(corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :])
        reach = np.linalg.norm(place, axis=-1)
        along = (normal * self.directions).sum(axis=-1)
        along = np.where(np.abs(along) < 1e-12, 1e-12, along)
        ratio = (normal * place).sum(axis=-1) / along / reach
        return (reach * np.clip(ratio, 1 - FARTHEST_MOVE, 1 + FARTHEST_MOVE)).astype(np.float32)

    def hull(self, vertices: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, "row column"]:
        """Return, for each direction, the largest distance from the centre to a head's surface (:meth:`radii`) among
        the direction and its neighbours, which encloses the rims of the ears.

        ``vertices`` are the head's, model units.
        """
        radii = self.radii(vertices)
        # the nodes beyond an edge are those inside it, mirrored about the edge's middle
        framed = np.pad(radii, 1)
        framed[0, 1:-1], framed[-1, 1:-1] = radii[1, ::-1], radii[-2, ::-1]
        framed[1:-1, 0], framed[1:-1, -1] = radii[::-1, 1], radii[::-1, -2]
        return maximum_filter(framed, 3)[1:-1, 1:-1]


def head_chart(
    mean: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    scalp: Bool[np.ndarray, " vertex"],
) -> HeadChart:
    """Lay out a square grid of directions from the middle of the skull, and find where each meets the mean head.

    Args:
        mean: vertices of the mean head, model units.
        triangles: triangles of the skin.
        scalp: whether each vertex belongs to the scalp; directions start at the centre of the sphere that fits it best.
    """
    centre = _sphere_centre(mean[scalp])
    directions = _node_directions()
    above = triangles[mean[triangles][..., 1].min(axis=1) > LOWEST_Y]
    flat = directions.reshape(-1, 3)
    owner, weights = _outermost_hits((mean - centre).astype(np.float32), above, flat)
    hit = owner >= 0
    nearest = np.flatnonzero(hit)[np.argmax(flat @ flat[hit].T, axis=1)]
    source = np.where(hit, np.arange(len(flat)), nearest)
    corners = above[owner[source]].reshape(CHART_SIZE, CHART_SIZE, 3)
    return HeadChart(centre, directions, corners, weights[source].reshape(CHART_SIZE, CHART_SIZE, 3))


def _sphere_centre(points: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, "3"]:
    """Return the centre of the sphere that fits points best: |p|^2 = 2 p.c + (r^2 - |c|^2), in the least squares."""
    points = points.astype(np.float64)
    equations = np.concatenate([2 * points, np.ones((len(points), 1))], axis=1)
    solution, *_ = np.linalg.lstsq(equations, (points**2).sum(axis=1), rcond=None)
    return solution[:3].astype(np.float32)


def _node_directions() -> Float[np.ndarray, "row column 3"]:
    line = np.linspace(-1, 1, CHART_SIZE)
    v, u = np.meshgrid(line, line, indexing="ij")
    z = 1 - np.abs(u) - np.abs(v)
    folded = z < 0
    x = np.where(folded, (1 - np.abs(v)) * np.where(u < 0, -1, 1), u)
    y = np.where(folded, (1 - np.abs(u)) * np.where(v < 0, -1, 1), v)
    directions = np.stack([x, y, z], axis=-1)
    return unit(directions).astype(np.float32)


@kernel()
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@kernel()
@no_type_check
def _triple_product(d, a, b):
    """Compute d . (a x b) in double precision."""
    a0, a1, a2 = np.float64(a[0]), np.float64(a[1]), np.float64(a[2])
    b0, b1, b2 = np.float64(b[0]), np.float64(b[1]), np.float64(b[2])
    return d[0] * (a1 * b2 - a2 * b1) + d[1] * (a2 * b0 - a0 * b2) + d[2] * (a0 * b1 - a1 * b0)


@kernel()
@no_type_check
def _cones(points, triangles):
    """Find the narrowest cone about the middle of each triangle, seen from the origin: unit axes, and the cosines of
    the angle between axis and side."""
    middle, cosine = np.zeros((len(triangles), 3), np.float32), np.ones(len(triangles), np.float32)
    for t in range(len(triangles)):
        for k in range(3):
            p = points[triangles[t, k]]
            length = np.sqrt(_dot(p, p))
            for axis in range(3):
                middle[t, axis] += p[axis] / length
        length = np.sqrt(_dot(middle[t], middle[t]))
        for axis in range(3):
            middle[t, axis] /= length
        for k in range(3):
            p = points[triangles[t, k]]
            cosine[t] = min(cosine[t], _dot(p, middle[t]) / np.sqrt(_dot(p, p)))
    return middle, cosine


@kernel()
@no_type_check
def _outermost_hits(points, triangles, directions):
    """Find for each direction from the origin the farthest triangle; -1 where there is none.

    Vectors are added up number by number: numba takes seven seconds to compile the same in array expressions.
    """
    middle, cosine = _cones(points, triangles)
    owner, weights = np.full(len(directions), -1, np.int64), np.zeros((len(directions), 3), np.float32)
    for i in range(len(directions)):
        d = directions[i]
        farthest = 0.0
        for t in range(len(triangles)):
            if _dot(d, middle[t]) < cosine[t] - 1e-6:
                continue
            a, b, c = points[triangles[t, 0]], points[triangles[t, 1]], points[triangles[t, 2]]
            wa, wb, wc = _triple_product(d, b, c), _triple_product(d, c, a), _triple_product(d, a, b)
            if wa + wb + wc < 0:
                wa, wb, wc = -wa, -wb, -wc
            total = wa + wb + wc
            if wa < 0 or wb < 0 or wc < 0 or total < 1e-14:
                continue
            reach = 0.0
            for axis in range(3):
                reach += (wa * a[axis] + wb * b[axis] + wc * c[axis]) / total * d[axis]
            if reach > farthest:
                farthest = reach
                owner[i] = t
                weights[i, 0], weights[i, 1], weights[i, 2] = wa / total, wb / total, wc / total
    return owner, weights


@kernel(inline="always")
@no_type_check
def chart_cell(x, y, z, last):
    """Find the cell of the square grid of directions (see :class:`HeadChart`) that a direction (x, y, z) lies in.

    Returns row and column of the cell's first node, and the weights, 0 to 1, of the next row and of the next column in
    an interpolation. ``last`` is the number of nodes along a side minus 1, as float32. The direction may have any
    length.
    """
    inverse = np.float32(1) / (abs(x) + abs(y) + abs(z) + np.float32(1e-12))
    u, v = x * inverse, y * inverse
    if z < 0:
        folded = (np.float32(1) - abs(v)) * (np.float32(-1) if u < 0 else np.float32(1))
        v = (np.float32(1) - abs(u)) * (np.float32(-1) if v < 0 else np.float32(1))
        u = folded
    half = np.float32(0.5) * last
    column, row = (u + np.float32(1)) * half, (v + np.float32(1)) * half
    c = min(max(int(column), 0), int(last) - 1)
    r = min(max(int(row), 0), int(last) - 1)
    return r, c, row - np.float32(r), column - np.float32(c)


@kernel()
@no_type_check
def chart_values(values, centre, points):
    """Interpolate values that are given on the square grid of directions, in the directions of points.

    Args:
        values: (S, S, C) at the grid's nodes, see :class:`HeadChart`.
        centre: (3,) point from which directions start.
        points: (N, 3) points, of which only the direction from the centre counts.

    Returns:
        (N, C) interpolated values.
    """
    channels, last, one = values.shape[2], np.float32(values.shape[0] - 1), np.float32(1)
    out = np.empty((len(points), channels), np.float32)
    for i in range(len(points)):
        x, y, z = points[i, 0] - centre[0], points[i, 1] - centre[1], points[i, 2] - centre[2]
        r, c, fr, fc = chart_cell(x, y, z, last)
        for k in range(channels):
            low = values[r, c, k] * (one - fc) + values[r, c + 1, k] * fc
            high = values[r + 1, c, k] * (one - fc) + values[r + 1, c + 1, k] * fc
            out[i, k] = low * (one - fr) + high * fr
    return out
