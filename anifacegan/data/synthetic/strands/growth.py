"""Compiled growth of strands: a path from each root that follows combing, gravity and the head, and then curls.

Along its path, a strand's direction turns, over the length ``bend``, towards the wanted direction
``w = (1 - k) (s comb + g gravity + outward) + k root``, where comb is the direction in which the hair there is combed.
``k`` falls from 1 at the root over the length ``lift``, and ``s`` falls with the distance from the head. A path has a
fixed number of points. It is pulled to the path of the strand's clump (a group of neighbours with one leading strand),
and then sampled as finely as curls need.
"""

from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float, Int

from anifacegan.data.synthetic.strands.head_chart import chart_cell
from anifacegan.data.synthetic.strands.styles import HairStyle
from anifacegan.runtime.compiled import kernel

WALK_STEPS = 20
"""Number of points of a strand's path before it curls."""
SUPPORT_REACH = np.float32(0.15)
"""Distance above hair that lies on the head, model units, at which the influence of combing has fallen to a quarter."""
ROOT_FREE = np.float32(0.12)
"""Length from the root, model units, within which the distance that a strand keeps from the head grows to its full
size."""
LEAST_CURL = np.float32(2e-4)
"""Radius of curls, model units, below which strands are not curled."""


class WalkedStrands(NamedTuple):
    """Numbers of N strands from which their paths are computed; float32, model units."""

    roots: Float[np.ndarray, "strand 3"]
    """Positions of the roots."""
    starts: Float[np.ndarray, "strand 3"]
    """Unit directions of the strands at their roots."""
    lengths: Float[np.ndarray, " strand"]
    """Lengths of the strands."""
    layers: Float[np.ndarray, " strand"]
    """Distance that each strand keeps from the head."""
    stray: Float[np.ndarray, "strand 3"]
    """Vector that is added to the wanted direction all along each strand, as a random deviation."""


class Curls(NamedTuple):
    """How each of N strands joins its clump (a group of neighbours with one leading strand) and curls; float32."""

    leader: Int[np.ndarray, " strand"]
    """Index of the clump, among the paths of leading strands."""
    pull: Float[np.ndarray, " strand"]
    """Share of the way to the leading strand's path by which the strand's tip is moved, 0 to 1."""
    radius: Float[np.ndarray, " strand"]
    """Radius of the curls, model units."""
    turns: Float[np.ndarray, " strand"]
    """Angle by which the curl turns about the strand's path in each model unit of length, radians."""
    phase: Float[np.ndarray, " strand"]
    """Angle of the curl at the root, radians."""
    axis: Float[np.ndarray, "strand 3"]
    """Unit vector from which the angle about the path is measured."""


def walk_numbers(style: HairStyle) -> tuple[np.float32, ...]:
    """Return the seven numbers of a hair style that :func:`walk_paths` needs, in its order: lift, bend, gravity,
    gravity_from, hug, outward and tuck.
    """
    return tuple(
        np.float32(number)
        for number in (
            style.lift,
            style.bend,
            style.gravity,
            style.gravity_from,
            style.hug,
            style.outward,
            style.tuck,
        )
    )


@kernel(inline="always", fastmath=True)
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _mixed(chart, r, c, k, shares):
    """Interpolate channel k between the nodes of a cell."""
    return (
        shares[0] * chart[r, c, k]
        + shares[1] * chart[r, c + 1, k]
        + shares[2] * chart[r + 1, c, k]
        + shares[3] * chart[r + 1, c + 1, k]
    )


@kernel(inline="always", fastmath=True)
@no_type_check
def _walk(root, start, length, layer, stray, numbers, chart, centre, path):
    """Walk one strand and write its ``WALK_STEPS`` points into ``path``."""
    lift, bend, gravity, gravity_from, hug, outward, tuck = numbers
    one, last = np.float32(1), np.float32(chart.shape[0] - 1)
    px, py, pz = root[0], root[1], root[2]
    dx, dy, dz = start[0], start[1], start[2]
    path[0, 0], path[0, 1], path[0, 2] = px, py, pz
    step = length / np.float32(WALK_STEPS - 1)
    keep_step, fall_step = np.exp(-step / lift), np.exp(-step / gravity_from)
    turn = one - np.exp(-step / bend)
    keep, rest = one, one
    clear_step = step / ROOT_FREE
    for i in range(1, WALK_STEPS):
        keep *= keep_step
        rest *= fall_step
        qx, qy, qz = px - centre[0], py - centre[1], pz - centre[2]
        r, c, fr, fc = chart_cell(qx, qy, qz, last)
        shares = ((one - fr) * (one - fc), (one - fr) * fc, fr * (one - fc), fr * fc)
        limit = _mixed(chart, r, c, 0, shares)
        cx, cy, cz = (
            _mixed(chart, r, c, 1, shares),
            _mixed(chart, r, c, 2, shares),
            _mixed(chart, r, c, 3, shares),
        )
        reach = np.sqrt(qx * qx + qy * qy + qz * qz) + np.float32(1e-6)
        qx, qy, qz = qx / reach, qy / reach, qz / reach
        hold = one / (one + max(reach - limit - layer, np.float32(0)) / SUPPORT_REACH)
        hold = max(hold * hold, _mixed(chart, r, c, 4, shares))
        fall = gravity * (one - rest)
        away = outward - tuck * (one - rest) * (one - hold)
        free = one - keep
        wx = free * (hold * cx + away * qx + stray[0]) + keep * start[0]
        wy = free * (hold * cy + outward * qy + stray[1] - fall) + keep * start[1]
        wz = free * (hold * cz + away * qz + stray[2]) + keep * start[2]
        up = wx * qx + wy * qy + wz * qz
        if up > 0:
            up *= hug * free * hold
            wx, wy, wz = wx - up * qx, wy - up * qy, wz - up * qz
        size = one / (np.sqrt(wx * wx + wy * wy + wz * wz) + np.float32(1e-6))
        dx, dy, dz = dx + turn * (wx * size - dx), dy + turn * (wy * size - dy), dz + turn * (wz * size - dz)
        size = one / (np.sqrt(dx * dx + dy * dy + dz * dz) + np.float32(1e-6))
        dx, dy, dz = dx * size, dy * size, dz * size
        ox, oy, oz = px, py, pz
        px, py, pz = px + step * dx, py + step * dy, pz + step * dz
        px, py, pz = _outside(px, py, pz, layer * min(one, np.float32(i) * clear_step), chart, centre, last)
        size = one / (step + np.float32(1e-9))
        dx, dy, dz = (px - ox) * size, (py - oy) * size, (pz - oz) * size
        size = one / (np.sqrt(dx * dx + dy * dy + dz * dz) + np.float32(1e-6))
        dx, dy, dz = dx * size, dy * size, dz * size
        path[i, 0], path[i, 1], path[i, 2] = px, py, pz


@kernel(inline="always", fastmath=True)
@no_type_check
def _outside(px, py, pz, clearance, chart, centre, last):
    """Move a point away from the centre until it is outside the head by some clearance."""
    qx, qy, qz = px - centre[0], py - centre[1], pz - centre[2]
    r, c, fr, fc = chart_cell(qx, qy, qz, last)
    low = chart[r, c, 0] + fc * (chart[r, c + 1, 0] - chart[r, c, 0])
    high = chart[r + 1, c, 0] + fc * (chart[r + 1, c + 1, 0] - chart[r + 1, c, 0])
    limit = low + fr * (high - low) + clearance
    square = qx * qx + qy * qy + qz * qz
    if square >= limit * limit:
        return px, py, pz
    k = limit / (np.sqrt(square) + np.float32(1e-6))
    return centre[0] + qx * k, centre[1] + qy * k, centre[2] + qz * k


@kernel(inline="always", fastmath=True)
@no_type_check
def _on_path(share):
    """Return the point of a path that is before a share of its length, and the share of the way to the next point."""
    place = min(share, np.float32(1)) * np.float32(WALK_STEPS - 1)
    i = min(int(place), WALK_STEPS - 2)
    return i, place - np.float32(i)


@kernel(fastmath=True)
@no_type_check
def walk_paths(strands, combed, numbers, charts, centre):
    """Compute the paths of strands before they curl, (N, WALK_STEPS, 3), model units.

    Args:
        strands: :class:`WalkedStrands`.
        combed: (N,) index in ``charts`` of the way in which each strand is combed.
        numbers: numbers of the hair style, see :func:`walk_numbers`.
        charts: (C, S, S, 5) for C ways of combing, on the grid of directions of
            :class:`anifacegan.data.synthetic.strands.head_chart.HeadChart`: distance of the head's surface from the
            centre, direction of combing (3), and the least influence of combing far from the head, 0 to 1.
        centre: (3,) middle of the skull, from which the grid's directions start.
    """
    roots, starts, lengths, layers, stray = strands
    paths = np.empty((len(roots), WALK_STEPS, 3), np.float32)
    for s in range(len(roots)):
        chart = charts[combed[s]]
        _walk(roots[s], starts[s], lengths[s], layers[s], stray[s], numbers, chart, centre, paths[s])
    return paths


@kernel(fastmath=True)
@no_type_check
def grow(paths, strands, curls, leaders, leader_lengths, charts, centre, tip_detail, points):
    """Compute the points of N strands from their paths: strands join their clump and curl.

    Args:
        paths: (M, WALK_STEPS, 3) paths, see :func:`walk_paths`.
        strands: four arrays (N,): each strand's index in ``paths``, length, distance that it keeps from the head, and
            index in ``charts``.
        curls: :class:`Curls` of the N strands.
        leaders, leader_lengths: (L, WALK_STEPS, 3) paths of the strands that lead clumps, and (L,) their lengths.
        charts, centre: see :func:`walk_paths`.
        tip_detail: share by which the points of a strand are concentrated near its tip, 0 to 1.
        points: (N, K, 3), receives the points from root to tip.
    """
    chosen, lengths, layers, combed = strands
    leader_of, pull, radius, turns, phase, axis = curls
    one, zero, last = np.float32(1), np.float32(0), np.float32(charts.shape[1] - 1)
    count = points.shape[1]
    place, share = np.empty(count, np.int64), np.empty(count, np.float32)
    along, shift = np.empty(count, np.float32), np.empty(3, np.float32)
    for k in range(count):
        f = np.float32(k) / np.float32(count - 1)
        f = f + tip_detail * (np.sqrt(f) - f)
        along[k] = f
        place[k], share[k] = _on_path(f)
    for s in range(len(points)):
        path, chart = paths[chosen[s]], charts[combed[s]]
        lead = leaders[leader_of[s]]
        # position on the clump's path for each share of the own length; a clump combed another way does not pull
        along_lead = lengths[s] / leader_lengths[leader_of[s]]
        i, f = _on_path(along_lead)
        agree = own = other = zero
        for c in range(3):
            shift[c] = path[0, c] - lead[0, c]
            here, there = (
                path[WALK_STEPS - 1, c] - path[0, c],
                lead[i, c] + f * (lead[i + 1, c] - lead[i, c]) - lead[0, c],
            )
            agree, own, other = agree + here * there, own + here * here, other + there * there
        agree /= np.sqrt(own * other) + np.float32(1e-9)
        joined = pull[s] * min(max((agree - np.float32(0.3)) * np.float32(2), zero), one)
        clear_step = lengths[s] / ROOT_FREE
        for k in range(count):
            i, f = place[k], share[k]
            x, y, z = path[i, 0], path[i, 1], path[i, 2]
            ux, uy, uz = path[i + 1, 0] - x, path[i + 1, 1] - y, path[i + 1, 2] - z
            x, y, z = x + f * ux, y + f * uy, z + f * uz
            if joined > zero:
                j, g = _on_path(along[k] * along_lead)
                # beyond the tip of the clump's path nothing pulls
                w = (
                    joined
                    * np.sqrt(along[k])
                    * max(zero, one - np.float32(3) * max(zero, along[k] * along_lead - one))
                )
                near = one - np.float32(0.75) * along[k]
                lx = lead[j, 0] + g * (lead[j + 1, 0] - lead[j, 0]) + near * shift[0]
                ly = lead[j, 1] + g * (lead[j + 1, 1] - lead[j, 1]) + near * shift[1]
                lz = lead[j, 2] + g * (lead[j + 1, 2] - lead[j, 2]) + near * shift[2]
                x, y, z = x + w * (lx - x), y + w * (ly - y), z + w * (lz - z)
            if radius[s] > LEAST_CURL and k > 0:
                ax, ay, az = axis[s, 0], axis[s, 1], axis[s, 2]
                size = one / (np.sqrt(ux * ux + uy * uy + uz * uz) + np.float32(1e-9))
                ux, uy, uz = ux * size, uy * size, uz * size
                bx, by, bz = uy * az - uz * ay, uz * ax - ux * az, ux * ay - uy * ax
                size = one / (np.sqrt(bx * bx + by * by + bz * bz) + np.float32(1e-3))
                bx, by, bz = bx * size, by * size, bz * size
                cx, cy, cz = uy * bz - uz * by, uz * bx - ux * bz, ux * by - uy * bx
                length = along[k] * lengths[s]
                angle = phase[s] + turns[s] * length
                size = radius[s] * min(one, length * np.float32(6))
                p, q = np.cos(angle) * size, np.sin(angle) * size
                x, y, z = x + p * bx + q * cx, y + p * by + q * cy, z + p * bz + q * cz
            if k > 0:
                clearance = np.float32(0.5) * layers[s] * min(one, along[k] * clear_step)
                x, y, z = _outside(x, y, z, clearance, chart, centre, last)
            points[s, k, 0], points[s, k, 1], points[s, k, 2] = x, y, z
