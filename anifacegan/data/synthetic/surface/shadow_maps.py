"""Shadows: depth maps of the head and its hair from every direction that light comes from.

A map is an orthographic view towards the head. Solid surfaces block light. Hair absorbs light, more the longer the way
of the light through the hair is. Lengths are model units, in the head's frame.
"""

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Bool, Float, Int

from anifacegan.data.synthetic.looks.light import LightSamples, perpendicular
from anifacegan.runtime.compiled import kernel

MAP_SIZE = 168
"""Height and width of a depth map in pixels."""
MAP_EXTENT = 3.4
"""Height and width of a depth map in model units; what is beyond it is lit."""
MAP_CENTRE = (0.0, -0.05, -0.75)
"""Centre of all depth maps, in model units."""
FAR = np.float32(10)
"""Number added to distances towards the light, model units, so that 0 in a depth map stands for nothing."""
OFF_SURFACE, HIDDEN_FROM, HIDDEN_AT = np.float32(0.012), np.float32(0.010), np.float32(0.034)
"""Light on a surface is gathered at the distance OFF_SURFACE from it. A solid surface that is nearer to the light
begins to block the light from the distance HIDDEN_FROM on, and blocks it wholly from HIDDEN_AT on. Model units."""
HAIR_ABSORPTION = np.float32(8)
"""Absorption of light by hair on its way to the skin, for each model unit of depth."""
HAIR_LEAST = np.float32(0.05)
"""Least share of light that passes through hair, however thick."""
SOLID, HAIR = 0, 1
"""Channels of ``ShadowMaps.depth``: nearest solid surface, and nearest strand of hair."""


@dataclass(frozen=True)
class ShadowMaps:
    """Depth maps of a head and its hair, seen from the directions of a light; unit vectors are in the head's frame."""

    towards: Float[np.ndarray, "direction 3"]
    """Unit vectors from the head to the light."""
    rights: Float[np.ndarray, "direction 3"]
    """Unit vectors to the right in each map, along its rows of pixels."""
    ups: Float[np.ndarray, "direction 3"]
    """Unit vectors up in each map."""
    radiance: Float[np.ndarray, "direction 3"]
    """Linear RGB colour that the light of each direction alone gives a white diffuse surface that faces it."""
    keys: int
    """Number of directions on the lamp's disc; they come first, those of the sky follow."""
    depth: Float[np.ndarray, "direction size size 2"]
    """Position toward the light, model units from ``centre`` plus ``FAR``, of the nearest solid surface (channel
    ``SOLID``) and of the nearest hair of the head (``HAIR``); 0 where there is none."""
    centre: Float[np.ndarray, "3"]
    """Point of the head's frame that all maps show in their centre, model units."""
    scale: float
    """Pixels of a map for each model unit."""


@dataclass(frozen=True)
class VertexLight:
    """Light that arrives at the vertices of a surface; all numbers are 0 where none was gathered."""

    irradiance: Float[np.ndarray, "vertex 3"]
    """Linear RGB colour that a white diffuse surface would have at each vertex."""
    bent: Float[np.ndarray, "vertex 3"]
    """Mean unit direction to the light, weighted by the light that arrives from each direction."""
    sky: Float[np.ndarray, " vertex"]
    """Share of the sky that is visible from each vertex, weighted by the cosine to the normal, 0 to 1."""
    lamp: Float[np.ndarray, " vertex"]
    """Share of the lamp's disc that is visible from each vertex, 0 to 1."""


def shadow_maps(
    light: LightSamples,
    vertices: Float[np.ndarray, "vertex 3"],
    triangles: Int[np.ndarray, "triangle 3"],
    hair: Float[np.ndarray, "point 3"],
) -> ShadowMaps:
    """Draw depth maps of a head and its hair from every direction of a light.

    Args:
        light: directions of the light.
        vertices, triangles: mesh of the head, which may be coarse; model units.
        hair: points on strands of hair, model units.
    """
    rights, ups = (axis.astype(np.float32) for axis in perpendicular(light.towards.astype(np.float64)))
    count = len(light.towards)
    depth = np.zeros((count, MAP_SIZE, MAP_SIZE, 2), np.float32)
    centre, scale = np.array(MAP_CENTRE, np.float32), np.float32(MAP_SIZE / MAP_EXTENT)
    axes = (rights, ups, light.towards)
    _draw_solid(vertices, triangles, axes, centre, scale, depth)
    _draw_points(hair, axes, centre, scale, depth)
    return ShadowMaps(light.towards, rights, ups, light.radiance, light.keys, depth, centre, float(scale))


def vertex_light(
    shadows: ShadowMaps,
    vertices: Float[np.ndarray, "vertex 3"],
    normals: Float[np.ndarray, "vertex 3"],
    seen: Bool[np.ndarray, " vertex"] | None = None,
    *,
    solid: bool = True,
) -> VertexLight:
    """Gather the light that arrives at vertices, with the shadows of head and hair.

    Args:
        shadows: depth maps from the directions of the light.
        vertices, normals: vertices and unit normals of a surface, model units.
        seen: whether light is gathered at each vertex (others get 0); None for all.
        solid: whether solid surfaces cast shadows; otherwise only hair does.
    """
    count = len(vertices)
    irradiance, bent = np.zeros((count, 3), np.float32), np.zeros((count, 3), np.float32)
    sky, lamp = np.zeros(count, np.float32), np.zeros(count, np.float32)
    seen = np.ones(count, bool) if seen is None else seen
    axes = (shadows.rights, shadows.ups, shadows.towards)
    scale = np.float32(shadows.scale)
    _gather(
        vertices, normals, seen, (shadows.depth, solid), axes, shadows.radiance, shadows.centre, scale, shadows.keys,
        irradiance, bent, sky, lamp,
    )  # fmt: skip
    return VertexLight(irradiance, bent, sky, lamp)


@kernel(inline="always", fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _axes_of(axes, k):
    """Return the unit vectors of the columns, against the rows and towards the light of map k, as nine numbers."""
    rights, ups, towards = axes
    return (
        rights[k, 0], rights[k, 1], rights[k, 2], ups[k, 0], ups[k, 1], ups[k, 2],
        towards[k, 0], towards[k, 1], towards[k, 2],
    )  # fmt: skip


@kernel(inline="always", fastmath=True)
@no_type_check
def project(x, y, z, axes, scale, half):
    """Return column, row and distance towards the light, plus FAR, of a point relative to the maps' centre."""
    column = half + scale * (x * axes[0] + y * axes[1] + z * axes[2])
    row = half - scale * (x * axes[3] + y * axes[4] + z * axes[5])
    return column, row, FAR + x * axes[6] + y * axes[7] + z * axes[8]


@kernel(inline="always", fastmath=True)
@no_type_check
def _from_centre(points, centre):
    """Return the coordinates of points relative to a centre, (3, N): one row for each axis."""
    moved = np.empty((3, len(points)), np.float32)
    for i in range(len(points)):
        for axis in range(3):
            moved[axis, i] = points[i, axis] - centre[axis]
    return moved


@kernel(fastmath=True)
@no_type_check
def _draw_solid(vertices, triangles, axes, centre, scale, maps):
    """Draw triangles into z-buffers of float32 depths; shadows forgive rounding at edges."""
    size = maps.shape[1]
    half = np.float32((size - 1) / 2)
    x, y = np.empty(len(vertices), np.float32), np.empty(len(vertices), np.float32)
    d = np.empty(len(vertices), np.float32)
    moved = _from_centre(vertices, centre)
    for k in range(len(maps)):
        depth, own = maps[k], _axes_of(axes, k)
        from_above = (
            own[7] > 0
        )  # then what is seen from behind is hidden by the head; below, the body is open
        for i in range(len(vertices)):
            x[i], y[i], d[i] = project(moved[0, i], moved[1, i], moved[2, i], own, scale, half)
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
            first_column, last_column = int(np.ceil(left)), int(right)
            first_row, last_row = int(np.ceil(top)), int(bottom)
            if first_column > last_column or first_row > last_row:
                continue
            ux, uy, vx, vy = x[b] - x[a], y[b] - y[a], x[c] - x[a], y[c] - y[a]
            area = ux * vy - uy * vx
            if abs(area) < np.float32(1e-6) or (area > 0 and from_above):
                continue
            inverse = np.float32(1) / area
            # weights of b and c, and depth, are linear in column and row
            b_right, b_down, c_right, c_down = vy * inverse, -vx * inverse, -uy * inverse, ux * inverse
            db, dc = d[b] - d[a], d[c] - d[a]
            step = b_right * db + c_right * dc
            for row in range(first_row, last_row + 1):
                dx, dy = np.float32(first_column) - x[a], np.float32(row) - y[a]
                wb, wc = dx * b_right + dy * b_down, dx * c_right + dy * c_down
                z = d[a] + wb * db + wc * dc
                for column in range(first_column, last_column + 1):
                    if wb >= 0 and wc >= 0 and wb + wc <= 1 and z > depth[row, column, SOLID]:
                        depth[row, column, SOLID] = z
                    wb += b_right
                    wc += c_right
                    z += step


@kernel(fastmath=True)
@no_type_check
def _draw_points(points, axes, centre, scale, maps):
    """Draw points as 2 x 2 pixels into z-buffers of float32 depths."""
    size = maps.shape[1]
    half = np.float32((size - 1) / 2)
    moved = _from_centre(points, centre)
    for k in range(len(maps)):
        depth, own = maps[k], _axes_of(axes, k)
        for i in range(len(points)):
            u, v, d = project(moved[0, i], moved[1, i], moved[2, i], own, scale, half)
            if u < 0 or v < 0 or u >= size - 1 or v >= size - 1:
                continue
            column, row = int(u), int(v)
            for r in range(row, row + 2):
                for c in range(column, column + 2):
                    if d > depth[r, c, HAIR]:
                        depth[r, c, HAIR] = d


@kernel(fastmath=True)
@no_type_check
def _gather(
    points, normals, seen, maps, axes, radiance, centre, scale, keys, irradiance, bent, sky, lamp,
):  # fmt: skip
    """Add up the light of one direction after the other, whose two maps then stay in the cache."""
    depth_maps, solid = maps
    towards = axes[2]
    size = depth_maps.shape[1]
    half = np.float32((size - 1) / 2)
    last = np.float32(size - 1)
    zero, one = np.float32(0), np.float32(1)
    one_over = one / (HIDDEN_AT - HIDDEN_FROM)
    count = len(points)
    total, rows = np.zeros(count, np.float32), np.empty(count, np.int64)
    place = np.empty((count, 6), np.float32)  # off the surface relative to the centre, and the normal
    used = 0
    for i in range(count):
        if not seen[i]:
            continue
        for axis in range(3):
            place[used, axis] = points[i, axis] + OFF_SURFACE * normals[i, axis] - centre[axis]
            place[used, 3 + axis] = normals[i, axis]
        rows[used] = i
        used += 1
    for k in range(len(towards)):
        own = _axes_of(axes, k)
        lx, ly, lz = towards[k, 0], towards[k, 1], towards[k, 2]
        red, green, blue = radiance[k, 0], radiance[k, 1], radiance[k, 2]
        depth_map = depth_maps[k]
        for j in range(used):
            cosine = place[j, 3] * lx + place[j, 4] * ly + place[j, 5] * lz
            if cosine <= 0:
                continue
            i = rows[j]
            u, v, depth = project(place[j, 0], place[j, 1], place[j, 2], own, scale, half)
            visible = one
            if u >= 0 and v >= 0 and u < last and v < last:
                column, row = int(u), int(v)
                fu, fv = u - np.float32(column), v - np.float32(row)
                visible = zero
                for dr in range(2):
                    wv = fv if dr else one - fv
                    for dc in range(2):
                        w = wv * (fu if dc else one - fu)
                        passed = one
                        if solid:
                            over = depth_map[row + dr, column + dc, SOLID] - depth
                            passed = min(max((HIDDEN_AT - over) * one_over, zero), one)
                        thick = depth_map[row + dr, column + dc, HAIR] - depth - np.float32(0.02)
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
    for i in range(count):
        bx, by, bz = bent[i, 0], bent[i, 1], bent[i, 2]
        norm = one / (np.sqrt(bx * bx + by * by + bz * bz) + np.float32(1e-9))
        bent[i, 0], bent[i, 1], bent[i, 2] = bx * norm, by * norm, bz * norm
        sky[i] /= max(total[i], np.float32(1e-6))
        lamp[i] /= np.float32(keys)
