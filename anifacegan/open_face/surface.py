"""Small tools on a triangle mesh: normals, smoothing along the surface, steps and lines."""

import numpy as np
import scipy.sparse as sparse


def corners_of_vertices(triangles: np.ndarray, vertex_count: int) -> sparse.csr_matrix:
    """(V, F) matrix of ones where a triangle touches a vertex."""
    triangle_of_corner = np.repeat(np.arange(len(triangles)), 3)
    ones = np.ones(triangles.size, np.float32)
    return sparse.csr_matrix((ones, (triangles.ravel(), triangle_of_corner)), (vertex_count, len(triangles)))


def vertex_normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """(V, 3) unit normals, weighted by area."""
    a, b, c = (points[triangles[:, corner]] for corner in range(3))
    total = corners_of_vertices(triangles, len(points)) @ np.cross(b - a, c - a)
    return total / (np.linalg.norm(total, axis=1, keepdims=True) + 1e-12)


class SurfaceSmoother:
    """Replaces a value at a vertex by the mean over the triangles around it."""

    def __init__(self, triangles: np.ndarray, vertex_count: int) -> None:
        self._touches = corners_of_vertices(triangles, vertex_count)
        self._degree = np.maximum(np.asarray(self._touches.sum(axis=1)).ravel(), 1)

    def __call__(self, field: np.ndarray, times: int = 1) -> np.ndarray:
        """Smooth a (V,) or (V, C) field."""
        degree = self._degree if field.ndim == 1 else self._degree[:, None]
        for _ in range(times):
            field = (self._touches @ (self._touches.T @ field / 3)) / degree
        return field


def smooth_step(start: float, end: float, value: np.ndarray) -> np.ndarray:
    """0 before start, 1 behind end, an S between; falls where end < start."""
    t = np.clip((value - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def distance_to_line(points: np.ndarray, corners: list[tuple[float, float]]) -> np.ndarray:
    """(V,) distance of (V, 2) points to the nearest point of a line of straight pieces."""
    line = np.array(corners)
    nearest = np.full(len(points), np.inf)
    for start, end in zip(line[:-1], line[1:], strict=True):
        along = end - start
        t = np.clip(((points - start) @ along) / (along @ along), 0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(points - start - t[:, None] * along, axis=1))
    return nearest
