"""Fields on a triangle mesh: smoothing along the surface, and distances to polylines."""

import numpy as np

from anifacegan.geometry.normals import corners_of_vertices


class SurfaceSmoother:
    """Smooths values at the vertices of a mesh: a step takes the mean over the triangles around each vertex."""

    def __init__(self, triangles: np.ndarray, vertex_count: int) -> None:
        self._touches = corners_of_vertices(triangles, vertex_count)
        self._degree = np.maximum(np.asarray(self._touches.sum(axis=1)).ravel(), 1)

    def __call__(self, field: np.ndarray, times: int = 1) -> np.ndarray:
        """Smooth (V,) or (V, C) values at the vertices by ``times`` steps."""
        degree = self._degree if field.ndim == 1 else self._degree[:, None]
        for _ in range(times):
            field = (self._touches @ (self._touches.T @ field / 3)) / degree
        return field


def distance_to_line(points: np.ndarray, corners: list[tuple[float, float]]) -> np.ndarray:
    """Compute the distance (V,) of (V, 2) points in a plane to the open polyline through ``corners``."""
    line = np.array(corners)
    nearest = np.full(len(points), np.inf)
    for start, end in zip(line[:-1], line[1:], strict=True):
        along = end - start
        t = np.clip(((points - start) @ along) / (along @ along), 0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(points - start - t[:, None] * along, axis=1))
    return nearest
