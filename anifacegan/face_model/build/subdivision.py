"""Catmull-Clark subdivision as a sparse matrix; new vertices are linear in the old ones."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse


@dataclass(frozen=True)
class Subdivision:
    """One subdivision step: ``new_vertices = matrix @ vertices``, ordered vertex points, edge points, face points.

    V, E and F are the numbers of old vertices, edges and faces.
    """

    matrix: sparse.csr_matrix
    """(V + E + F, V) weights of the old vertices in each new vertex."""
    quads: np.ndarray
    """(4F, 4) corners of the new quads; the four children of old quad f are rows 4f to 4f + 3."""
    vertex_count: int
    """Number of new vertices, V + E + F."""
    edge_points: np.ndarray
    """(F, 4) index of the new vertex on the edge from corner k to corner k + 1 of each old quad."""


def catmull_clark(quads: np.ndarray, vertex_count: int) -> Subdivision:
    """Subdivide a mesh of (F, 4) quads once by the rules of Catmull and Clark.

    An inner vertex P with n faces moves to (F + 2 E + (n - 3) P) / n, where F is the mean of the middles of these
    faces, and E the mean of the middles of the edges at P. On a smooth boundary a vertex moves half-way to the middle
    of its two boundary edges; other boundary vertices stay.
    """
    face_count = len(quads)
    face_of_corner = np.repeat(np.arange(face_count), 4)
    ends = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)
    edges, edge_of_corner, face_count_of_edge = np.unique(
        np.sort(ends, axis=1), axis=0, return_inverse=True, return_counts=True
    )
    edge_of_corner = edge_of_corner.ravel()
    edge_count = len(edges)
    edge_of_end = np.repeat(np.arange(edge_count), 2)

    face_middle = _weights(face_of_corner, quads.ravel(), 0.25, (face_count, vertex_count))
    edge_middle = _weights(edge_of_end, edges.ravel(), 0.5, (edge_count, vertex_count))
    faces_at_edge = _weights(edge_of_corner, face_of_corner, 1.0, (edge_count, face_count))
    faces_at_vertex = _weights(quads.ravel(), face_of_corner, 1.0, (vertex_count, face_count))
    edges_at_vertex = _weights(edges.ravel(), edge_of_end, 1.0, (vertex_count, edge_count))

    boundary = face_count_of_edge == 1
    inner_edge_point = 0.5 * edge_middle + 0.5 * (_rows(1 / face_count_of_edge) @ faces_at_edge @ face_middle)
    edge_point = _rows(boundary) @ edge_middle + _rows(~boundary) @ inner_edge_point

    valence = _row_sums(edges_at_vertex)
    mean_face = _rows(_inverse(_row_sums(faces_at_vertex))) @ faces_at_vertex @ face_middle
    mean_edge = _rows(_inverse(valence)) @ edges_at_vertex @ edge_middle
    n = np.maximum(valence, 1)
    inner_vertex_point = _rows(1 / n) @ mean_face + _rows(2 / n) @ mean_edge + _rows((n - 3) / n)

    boundary_valence = edges_at_vertex @ boundary.astype(float)
    mean_boundary = _rows(_inverse(boundary_valence)) @ edges_at_vertex @ _rows(boundary) @ edge_middle
    smooth = boundary_valence == 2
    stays = (boundary_valence > 0) & ~smooth
    identity = sparse.identity(vertex_count)
    vertex_point = (
        _rows(boundary_valence == 0) @ inner_vertex_point
        + _rows(smooth) @ (0.5 * mean_boundary + 0.5 * identity)
        + _rows(stays) @ identity
    )

    edge_points = edge_of_corner.reshape(face_count, 4) + vertex_count
    face_points = np.arange(face_count) + vertex_count + edge_count
    children = [
        np.stack([quads[:, k], edge_points[:, k], face_points, edge_points[:, k - 1]], axis=1)
        for k in range(4)
    ]
    matrix = sparse.csr_matrix(sparse.vstack([vertex_point, edge_point, face_middle]))
    new_count = vertex_count + edge_count + face_count
    return Subdivision(matrix, np.stack(children, axis=1).reshape(-1, 4), new_count, edge_points)


def _weights(row: np.ndarray, column: np.ndarray, value: float, shape: tuple[int, int]) -> sparse.csr_matrix:
    return sparse.csr_matrix((np.full(len(row), value), (row, column)), shape)


def _rows(factor: np.ndarray) -> sparse.dia_matrix:
    """Make the diagonal matrix that scales (or, for booleans, selects) rows."""
    return sparse.diags(np.asarray(factor, float))


def _row_sums(matrix: sparse.csr_matrix) -> np.ndarray:
    return np.asarray(matrix.sum(axis=1)).ravel()


def _inverse(count: np.ndarray) -> np.ndarray:
    return 1 / np.maximum(count, 1)
