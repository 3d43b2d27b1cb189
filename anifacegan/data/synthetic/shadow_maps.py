"""Shadows: depth maps of the head and its hair from every direction that light comes from.

A map is an orthographic view towards the head. What is solid hides light; hair absorbs it with the depth of hair that
it passes. Lengths are model units, in the head's frame.
"""

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float, Int

from anifacegan.data.synthetic.light import LightSamples, perpendicular
from anifacegan.runtime.compiled import kernel

MAP_SIZE = 168
"""Height and width of a depth map in pixels."""
MAP_EXTENT = 3.4
"""Height and width of a depth map in model units; what is beyond it is lit."""
MAP_CENTRE = (0.0, -0.05, -0.75)
"""Centre of all depth maps, in model units."""
FAR = np.float32(10)
"""Is added to distances towards the light, so that 0 stands for nothing in a depth map."""
OFF_SURFACE, HIDDEN_FROM, HIDDEN_AT = np.float32(0.012), np.float32(0.010), np.float32(0.034)
"""Light is gathered this far off the surface; what is nearer to the light by ``HIDDEN_AT`` hides it, by ``HIDDEN_FROM``
not yet."""
HAIR_ABSORPTION = np.float32(8)
"""Absorption of light by hair on its way to the skin, for each model unit of depth."""
HAIR_LEAST = np.float32(0.05)
"""Share of light that passes any hair."""


@dataclass(frozen=True)
class ShadowMaps:
    """Depth maps from the directions of a light."""

    towards: Float[np.ndarray, "direction 3"]
    """Unit directions to the light."""
    rights: Float[np.ndarray, "direction 3"]
    """Unit directions of the maps' columns."""
    ups: Float[np.ndarray, "direction 3"]
    """Unit directions against the maps' rows."""
    radiance: Float[np.ndarray, "direction 3"]
    """What each direction adds to a white diffuse surface that faces it."""
    keys: int
    """Number of directions on the lamp's disc; they come first."""
    solid: Float[np.ndarray, "direction size size"]
    """Distance towards the light of the nearest solid surface, plus ``FAR``; 0 where there is none."""
    hair: Float[np.ndarray, "direction size size"]
    """The same of the strands of the scalp."""
    centre: Float[np.ndarray, "3"]
    """Position of the maps' centres."""
    scale: float
    """Pixels of a map for each model unit."""


@dataclass(frozen=True)
class VertexLight:
    """Light that arrives at the vertices of a surface."""

    irradiance: Float[np.ndarray, "vertex 3"]
    """Colour of a white diffuse surface there."""
    bent: Float[np.ndarray, "vertex 3"]
    """Unit direction that most of the light comes from."""
    sky: Float[np.ndarray, " vertex"]
    """Share of the sky that is visible, weighted by the cosine."""
    lamp: Float[np.ndarray, " vertex"]
    """Share of the lamp that is visible."""


def shadow_maps(
    light: LightSamples,
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    hair: Float[np.ndarray, "point 3"],
) -> ShadowMaps:
    """Draw depth maps of a mesh, which may be coarse, and of points on strands of hair."""
    rights, ups = (axis.astype(np.float32) for axis in perpendicular(light.towards.astype(np.float64)))
    count = len(light.towards)
    solid, hair_maps = (np.zeros((count, MAP_SIZE, MAP_SIZE), np.float32) for _ in range(2))
    centre, scale = np.array(MAP_CENTRE, np.float32), np.float32(MAP_SIZE / MAP_EXTENT)
    axes = (rights, ups, light.towards)
    _draw_solid(vertices, triangles, axes, centre, scale, solid)
    _draw_points(hair, axes, centre, scale, hair_maps)
    return ShadowMaps(
        light.towards, rights, ups, light.radiance, light.keys, solid, hair_maps, centre, float(scale)
    )


def vertex_light(
    shadows: ShadowMaps,
    vertices: Float[np.ndarray, "vertex 3"],
    normals: Float[np.ndarray, "vertex 3"],
    seen: Bool[np.ndarray, " vertex"] | None = None,
) -> VertexLight:
    """Gather the light that arrives at vertices through the shadow maps; those that are not ``seen`` stay dark."""
    count = len(vertices)
    irradiance, bent = np.zeros((count, 3), np.float32), np.zeros((count, 3), np.float32)
    sky, lamp = np.zeros(count, np.float32), np.zeros(count, np.float32)
    seen = np.ones(count, bool) if seen is None else seen
    axes = (shadows.rights, shadows.ups, shadows.towards)
    maps = (shadows.solid, shadows.hair)
    scale = np.float32(shadows.scale)
    _gather(
        vertices, normals, seen, maps, axes, shadows.radiance, shadows.centre, scale, shadows.keys,
        irradiance, bent, sky, lamp,
    )  # fmt: skip
    return VertexLight(irradiance, bent, sky, lamp)


@kernel(inline="always", fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _project(point, k, axes, centre, scale, half):
    """Return column, row and distance towards the light, plus FAR, of a point in map k."""
    rights, ups, towards = axes
    x, y, z = point[0] - centre[0], point[1] - centre[1], point[2] - centre[2]
    column = half + scale * (x * rights[k, 0] + y * rights[k, 1] + z * rights[k, 2])
    row = half - scale * (x * ups[k, 0] + y * ups[k, 1] + z * ups[k, 2])
    return column, row, FAR + x * towards[k, 0] + y * towards[k, 1] + z * towards[k, 2]


@kernel(fastmath=True)
@no_type_check
def _draw_solid(vertices, triangles, axes, centre, scale, maps):
    """Draw triangles into z-buffers of float32 depths; shadows forgive rounding at edges."""
    size = maps.shape[1]
    half = np.float32((size - 1) / 2)
    x, y = np.empty(len(vertices), np.float32), np.empty(len(vertices), np.float32)
    d = np.empty(len(vertices), np.float32)
    for k in range(len(maps)):
        depth = maps[k]
        for i in range(len(vertices)):
            x[i], y[i], d[i] = _project(vertices[i], k, axes, centre, scale, half)
        for t in range(len(triangles)):
            a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            left, right = (
                max(min(x[a], x[b], x[c]), np.float32(0)),
                min(max(x[a], x[b], x[c]), np.float32(size - 1)),
            )
            top, bottom = (
                max(min(y[a], y[b], y[c]), np.float32(0)),
                min(max(y[a], y[b], y[c]), np.float32(size - 1)),
            )
            if left > right or top > bottom:
                continue
            ux, uy, vx, vy = x[b] - x[a], y[b] - y[a], x[c] - x[a], y[c] - y[a]
            area = ux * vy - uy * vx
            if abs(area) < np.float32(1e-6):
                continue
            inverse = np.float32(1) / area
            # weights of b and c, and depth, are linear in column and row
            b_right, b_down, c_right, c_down = vy * inverse, -vx * inverse, -uy * inverse, ux * inverse
            db, dc = d[b] - d[a], d[c] - d[a]
            step = b_right * db + c_right * dc
            first_column, last_column = int(np.ceil(left)), int(right)
            for row in range(int(np.ceil(top)), int(bottom) + 1):
                dx, dy = np.float32(first_column) - x[a], np.float32(row) - y[a]
                wb, wc = dx * b_right + dy * b_down, dx * c_right + dy * c_down
                z = d[a] + wb * db + wc * dc
                for column in range(first_column, last_column + 1):
                    if wb >= 0 and wc >= 0 and wb + wc <= 1 and z > depth[row, column]:
                        depth[row, column] = z
                    wb += b_right
                    wc += c_right
                    z += step


@kernel(fastmath=True)
@no_type_check
def _draw_points(points, axes, centre, scale, maps):
    """Draw points as 2 x 2 pixels into z-buffers of float32 depths."""
    size = maps.shape[1]
    half = np.float32((size - 1) / 2)
    for k in range(len(maps)):
        depth = maps[k]
        for i in range(len(points)):
            u, v, d = _project(points[i], k, axes, centre, scale, half)
            if u < 0 or v < 0 or u >= size - 1 or v >= size - 1:
                continue
            column, row = int(u), int(v)
            for r in range(row, row + 2):
                for c in range(column, column + 2):
                    if d > depth[r, c]:
                        depth[r, c] = d


@kernel(fastmath=True)
@no_type_check
def _gather(
    points, normals, seen, maps, axes, radiance, centre, scale, keys, irradiance, bent, sky, lamp,
):  # fmt: skip
    """Add up the light of one direction after the other, whose two maps then stay in the cache."""
    solid, hair = maps
    towards = axes[2]
    size = solid.shape[1]
    half = np.float32((size - 1) / 2)
    last = np.float32(size - 1)
    zero, one = np.float32(0), np.float32(1)
    one_over = one / (HIDDEN_AT - HIDDEN_FROM)
    total = np.zeros(len(points), np.float32)
    moved = np.empty(3, np.float32)
    for k in range(len(towards)):
        lx, ly, lz = towards[k, 0], towards[k, 1], towards[k, 2]
        red, green, blue = radiance[k, 0], radiance[k, 1], radiance[k, 2]
        solid_map, hair_map = solid[k], hair[k]
        for i in range(len(points)):
            cosine = normals[i, 0] * lx + normals[i, 1] * ly + normals[i, 2] * lz
            if cosine <= 0 or not seen[i]:
                continue
            for axis in range(3):
                moved[axis] = points[i, axis] + OFF_SURFACE * normals[i, axis]
            u, v, depth = _project(moved, k, axes, centre, scale, half)
            visible = one
            if u >= 0 and v >= 0 and u < last and v < last:
                column, row = int(u), int(v)
                fu, fv = u - np.float32(column), v - np.float32(row)
                visible = zero
                for dr in range(2):
                    wv = fv if dr else one - fv
                    for dc in range(2):
                        w = wv * (fu if dc else one - fu)
                        over = solid_map[row + dr, column + dc] - depth
                        passed = min(max((HIDDEN_AT - over) * one_over, zero), one)
                        thick = hair_map[row + dr, column + dc] - depth - np.float32(0.02)
                        if thick > 0 and passed > 0:
                            passed *= max(HAIR_LEAST, np.exp(-HAIR_ABSORPTION * thick))
                        visible += w * passed
            weight = cosine * visible
            if k < keys:
                lamp[i] += visible
            else:
                total[i] += cosine
                sky[i] += weight
            irradiance[i, 0] += red * weight
            irradiance[i, 1] += green * weight
            irradiance[i, 2] += blue * weight
            power = green * weight
            bent[i, 0] += power * lx
            bent[i, 1] += power * ly
            bent[i, 2] += power * lz
    for i in range(len(points)):
        bx, by, bz = bent[i, 0], bent[i, 1], bent[i, 2]
        norm = one / (np.sqrt(bx * bx + by * by + bz * bz) + np.float32(1e-9))
        bent[i, 0], bent[i, 1], bent[i, 2] = bx * norm, by * norm, bz * norm
        sky[i] /= max(total[i], np.float32(1e-6))
        lamp[i] /= np.float32(keys)
