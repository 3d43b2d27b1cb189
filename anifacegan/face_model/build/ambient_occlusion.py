"""Ambient occlusion: the share of uniform ambient light that reaches each vertex.

From every vertex rays are cast in cosine-weighted directions; a tree of bounding boxes finds the rays that hit the head
again nearby.
"""

from typing import no_type_check

import numpy as np

from anifacegan.runtime.compiled import kernel

RAY_REACH = 1.2
"""Length of the rays; surfaces farther away do not darken a vertex."""
OFFSET_ALONG_NORMAL = 0.004
OFFSET_ALONG_RAY = 0.002
LEAF_TRIANGLES = 4


def open_sky(
    points: np.ndarray, normals: np.ndarray, triangles: np.ndarray, rays: int, rng: np.random.Generator
) -> np.ndarray:
    """Compute the share (V,) of ``rays`` cosine-weighted directions around each normal that hit nothing."""
    tree = _build_tree(points[triangles].astype(np.float32))
    helper = np.where(np.abs(normals[:, [0]]) < 0.8, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    tangent = np.cross(normals, helper)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-12
    bitangent = np.cross(normals, tangent)
    free = np.zeros(len(points))
    for ray in range(rays):
        height = (ray + 0.5) / rays
        radius, azimuth = np.sqrt(height), 2 * np.pi * rng.random(len(points))
        direction = (
            tangent * (radius * np.cos(azimuth))[:, None]
            + bitangent * (radius * np.sin(azimuth))[:, None]
            + normals * np.sqrt(1 - height)
        )
        origin = points + OFFSET_ALONG_NORMAL * normals + OFFSET_ALONG_RAY * direction
        free += ~_blocked(origin.astype(np.float32), direction.astype(np.float32), RAY_REACH, *tree)
    return free / rays


def _build_tree(corners: np.ndarray) -> tuple[np.ndarray, ...]:
    """Build a tree of bounding boxes over (F, 3, 3) triangles, split at the median of the longest axis.

    Returns the triangles in the order of the leaves, boxes (nodes, 2, 3), and for each node its first triangle, its
    number of triangles (0 for inner nodes) and its right child; the left child is the next node.
    """
    lower, upper, centre = corners.min(axis=1), corners.max(axis=1), corners.mean(axis=1)
    order = np.arange(len(corners))
    boxes, first, count, right = [], [], [], []
    waiting = [(0, len(corners), -1)]  # start, stop, node whose right child it is
    while waiting:
        start, stop, parent = waiting.pop()
        node = len(boxes)
        if parent >= 0:
            right[parent] = node
        inside = order[start:stop]
        boxes.append((lower[inside].min(axis=0), upper[inside].max(axis=0)))
        leaf = stop - start <= LEAF_TRIANGLES
        first.append(start)
        count.append(stop - start if leaf else 0)
        right.append(-1)
        if not leaf:
            spread = centre[inside]
            axis = np.argmax(spread.max(axis=0) - spread.min(axis=0))
            order[start:stop] = inside[np.argsort(spread[:, axis], kind="stable")]
            middle = (start + stop) // 2
            waiting.append((middle, stop, node))
            waiting.append((start, middle, -1))  # popped next: the left child follows its node
    return (
        corners[order].astype(np.float64),
        np.array(boxes, np.float64),
        np.array(first),
        np.array(count),
        np.array(right),
    )


@kernel()
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _blocked(origins, directions, reach, corners, boxes, first, count, right):
    """Return (N,) whether each ray hits a triangle, from either side, at a distance below ``reach``."""
    hit = np.zeros(len(origins), np.bool_)
    waiting = np.empty(64, np.int64)
    origin, direction, inverse = np.empty(3), np.empty(3), np.empty(3)
    for ray in range(len(origins)):
        for axis in range(3):
            origin[axis] = origins[ray, axis]
            direction[axis] = directions[ray, axis]
            inverse[axis] = 1 / direction[axis] if direction[axis] != 0 else 1e300
        waiting[0] = 0
        depth = 1
        while depth > 0 and not hit[ray]:
            depth -= 1
            node = waiting[depth]
            near, far = 0.0, reach
            for axis in range(3):
                enter = (boxes[node, 0, axis] - origin[axis]) * inverse[axis]
                leave = (boxes[node, 1, axis] - origin[axis]) * inverse[axis]
                near = max(near, min(enter, leave))
                far = min(far, max(enter, leave))
            if near > far:
                continue
            if count[node] == 0:
                waiting[depth] = right[node]
                waiting[depth + 1] = node + 1
                depth += 2
                continue
            for triangle in range(first[node], first[node] + count[node]):
                if _crosses(origin, direction, corners[triangle], reach):
                    hit[ray] = True
                    break
    return hit


@kernel()
@no_type_check  # shape checking in tests would wrap what numba has to compile
def _crosses(origin, direction, corners, reach):
    """Return whether a ray crosses a triangle at a distance between 0 and ``reach`` (Moeller and Trumbore)."""
    a = corners[0]
    ux, uy, uz = corners[1, 0] - a[0], corners[1, 1] - a[1], corners[1, 2] - a[2]
    vx, vy, vz = corners[2, 0] - a[0], corners[2, 1] - a[1], corners[2, 2] - a[2]
    px = direction[1] * vz - direction[2] * vy
    py = direction[2] * vx - direction[0] * vz
    pz = direction[0] * vy - direction[1] * vx
    determinant = ux * px + uy * py + uz * pz
    if determinant == 0:
        return False
    sx, sy, sz = origin[0] - a[0], origin[1] - a[1], origin[2] - a[2]
    first = (sx * px + sy * py + sz * pz) / determinant
    qx, qy, qz = sy * uz - sz * uy, sz * ux - sx * uz, sx * uy - sy * ux
    second = (direction[0] * qx + direction[1] * qy + direction[2] * qz) / determinant
    if first < 0 or second < 0 or first + second > 1:
        return False
    distance = (vx * qx + vy * qy + vz * qz) / determinant
    return 0 < distance < reach
