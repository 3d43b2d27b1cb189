"""Values that go on smoothly over a mesh, and the edges of its border."""

import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float, Int
from scipy.sparse.linalg import splu

LEAST_PULL = 1e-9
"""Trust in the guess at every vertex; it keeps pieces of a mesh without any known value from being undetermined."""


def smooth_values(
    values: Float[np.ndarray, "vertex channel"],
    trust: Float[np.ndarray, "vertex"],
    guess: Float[np.ndarray, "vertex channel"],
    triangles: Int[np.ndarray, "triangle 3"],
    pull: float = 0.0,
) -> Float[np.ndarray, "vertex channel"]:
    """Compute the smoothest values on a mesh that stay near ``values`` where ``trust`` is large.

    They minimize the sum over the edges of the squared difference of their ends, plus ``trust`` times the squared
    distance from ``values``, plus ``pull`` times that from ``guess``, at all vertices.
    """
    count = len(values)
    edges = np.unique(np.sort(_edges(triangles), axis=1), axis=0)
    ones = np.ones(2 * len(edges))
    ends = np.concatenate([edges, edges[:, ::-1]]).T
    graph = sparse.coo_matrix((ones, ends), (count, count)).tocsr()
    pull = pull + LEAST_PULL
    system = sparse.diags(np.asarray(graph.sum(axis=1)).ravel() + trust + pull) - graph
    target = trust[:, None] * values + pull * guess
    return splu(system.tocsc()).solve(target.astype(np.float64))


def border_edges(triangles: Int[np.ndarray, "triangle 3"]) -> Int[np.ndarray, "edge 2"]:
    """Return the edges that belong to one triangle only: the triangle, and the corner at which the edge starts.

    An edge runs from its corner to the triangle's next one.
    """
    edges = _edges(triangles)
    _, first, count = np.unique(np.sort(edges, axis=1), axis=0, return_index=True, return_counts=True)
    corner, triangle = np.divmod(first[count == 1], len(triangles))
    return np.stack([triangle, corner], axis=1)


def _edges(triangles: Int[np.ndarray, "triangle 3"]) -> Int[np.ndarray, "edge 2"]:
    return np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
