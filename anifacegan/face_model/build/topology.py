"""The mesh of the open face model: skin, eyeballs, tongue and teeth, all linear in the vertices of MakeHuman's base
mesh, which is coarser.

Head and shoulders of the body are subdivided once, and large faces in front twice. Tongue and teeth are subdivided; the
eyeballs are replaced by spheres with rings where pupil and iris end.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse

from anifacegan.face_model.build.makehuman import BaseMesh
from anifacegan.face_model.build.subdivision import Subdivision, catmull_clark
from anifacegan.face_model.parts import EYE_LEFT, EYE_RIGHT, LOWER_TEETH, SKIN, TONGUE, UPPER_TEETH

EYE_GROUPS = {EYE_LEFT: "helper-l-eye", EYE_RIGHT: "helper-r-eye"}
MOUTH_GROUPS = {
    TONGUE: ("helper-tongue", 1),
    UPPER_TEETH: ("helper-upper-teeth", 2),
    LOWER_TEETH: ("helper-lower-teeth", 2),
}
"""For each part of the mouth, the name of MakeHuman's group and the number of subdivisions."""

CUT_HEIGHT = 5.0
CUT_HALF_WIDTH = 2.1
"""Height above which, and distance from the middle up to which, quads of the body's mesh are used (head and shoulders);
MakeHuman's decimetres."""

COARSE_EDGE = 0.021
"""Edge length, decimetres, above which quads on the front of the head are subdivided a second time."""

EYE_RINGS_DEG = (0, 4, 8, 10.5, 12, 15, 18, 21, 24, 26.3, 28, 31, 36, 44, 54, 66, 80, 96, 115, 140)
"""Polar angles, degrees, of the rings of vertices on an eyeball: dense around the edges of pupil (10) and iris (25)."""
EYE_SEGMENTS = 32


@dataclass(frozen=True)
class Topology:
    """The face model's mesh of V vertices, and their linear dependence on the N vertices of MakeHuman's base mesh."""

    matrix: sparse.csr_matrix
    """(V, N) weights of the base mesh's vertices in each vertex: ``vertices = matrix @ base_vertices``."""
    triangles: np.ndarray
    """(F, 3) vertex indices of the triangles' corners."""
    part: np.ndarray
    """(V,) label of the part that each vertex belongs to, see :mod:`anifacegan.face_model.parts`."""
    eye_polar: np.ndarray
    """(V,) angle of an eyeball's vertex from the eye's pole (the middle of the pupil) in radians; zero for other
    vertices."""
    eye_azimuth: np.ndarray
    """(V,) angle of an eyeball's vertex around the eye's pole, radians, from +x toward +y; zero for other vertices."""
    skin_quads: np.ndarray
    """(Q, 4) vertex indices of the skin's quads after the first subdivision; ``triangles`` are halves of these quads
    or, where the skin is subdivided twice, of their children."""


@dataclass(frozen=True)
class _Piece:
    """One part of the head, with triangles between its own vertices."""

    part: int
    matrix: sparse.csr_matrix
    triangles: np.ndarray
    polar: np.ndarray
    azimuth: np.ndarray


def dense_head(base: BaseMesh, average: np.ndarray) -> Topology:
    """Construct the face model's mesh from MakeHuman's base mesh.

    ``average`` (N, 3) are the base mesh's vertices in an average adult, on whom edge lengths are measured.
    """
    skin, skin_quads = _skin(base, average)
    pieces = [skin]
    pieces += [_mouth_part(base, part, group, levels) for part, (group, levels) in MOUTH_GROUPS.items()]
    pieces += [_eyeball(base, part, group) for part, group in EYE_GROUPS.items()]
    counts = [len(piece.polar) for piece in pieces]
    starts = np.cumsum([0, *counts[:-1]])
    matrix = sparse.csr_matrix(sparse.vstack([piece.matrix for piece in pieces]))
    matrix.eliminate_zeros()
    part = np.concatenate([np.full(n, piece.part) for n, piece in zip(counts, pieces, strict=True)])
    return Topology(
        matrix=matrix,
        triangles=np.concatenate([p.triangles + start for p, start in zip(pieces, starts, strict=True)]),
        part=part,
        eye_polar=np.concatenate([piece.polar for piece in pieces]),
        eye_azimuth=np.concatenate([piece.azimuth for piece in pieces]),
        skin_quads=skin_quads,
    )


def fit_sphere(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit a sphere to (N, 3) points by least squares and return its centre (3,) and radius."""
    system = np.concatenate([2 * points, np.ones((len(points), 1))], axis=1)
    solution = np.linalg.lstsq(system, (points**2).sum(axis=1), rcond=None)[0]
    centre = solution[:3]
    return centre, float(np.sqrt(solution[3] + centre @ centre))


def _picked(rows: np.ndarray, count: int) -> sparse.csr_matrix:
    """Make the (R, count) matrix that selects the given rows."""
    return sparse.csr_matrix((np.ones(len(rows)), (np.arange(len(rows)), rows)), (len(rows), count))


def _compact(quads: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Renumber the vertices of quads; return the sorted indices of the vertices that the quads use, and the renumbered
    quads."""
    used = np.unique(quads)
    number = np.full(count, -1)
    number[used] = np.arange(len(used))
    return used, number[quads]


def _split_quads(quads: np.ndarray) -> np.ndarray:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


# -------------------------------------------------------------------------------------------------- skin
def _skin(base: BaseMesh, average: np.ndarray) -> tuple[_Piece, np.ndarray]:
    """Make the skin; return it with its quads after the first subdivision."""
    corners = base.vertices[base.quads]  # (Q, 4, 3)
    is_head = (
        (base.groups == "body")
        & (corners[:, :, 1].min(axis=1) > CUT_HEIGHT)
        & (np.abs(corners[:, :, 0]).max(axis=1) < CUT_HALF_WIDTH)
    )
    used, quads = _compact(base.quads[is_head], len(base.vertices))
    first = catmull_clark(quads, len(used))
    second = catmull_clark(first.quads, first.vertex_count)
    combined = sparse.csr_matrix(second.matrix @ first.matrix)
    eyes = average[base.vertices_of(*EYE_GROUPS.values())].mean(axis=0)
    refined = _faces_to_refine(first.quads, combined @ average[used], first.vertex_count, eyes)
    triangles = mixed_triangles(first.quads, second, refined, second.vertex_count)
    used_vertices = np.unique(triangles)
    number = np.full(second.vertex_count, -1)
    number[used_vertices] = np.arange(len(used_vertices))
    matrix = sparse.csr_matrix(combined[used_vertices] @ _picked(used, len(base.vertices)))
    zeros = np.zeros(len(used_vertices))
    return _Piece(SKIN, matrix, number[triangles], zeros, zeros), number[first.quads]


def _faces_to_refine(quads: np.ndarray, points: np.ndarray, count: int, eyes: np.ndarray) -> np.ndarray:
    """Return (F,) whether to subdivide each mesh face again: large faces on the front of the head, without single holes
    or islands."""
    centre = points[quads].mean(axis=1)
    normal = np.cross(points[quads[:, 2]] - points[quads[:, 0]], points[quads[:, 3]] - points[quads[:, 1]])
    length = np.linalg.norm(normal, axis=1)
    front = (
        (centre[:, 2] > eyes[2] - 0.62)
        & (np.abs(centre[:, 0]) < 0.8)
        & (centre[:, 1] > eyes[1] - 1.25)
        & (centre[:, 1] < eyes[1] + 0.6)
        & (normal[:, 2] / (length + 1e-12) > 0.05)
    )
    refined = front & (np.sqrt(0.5 * length) > COARSE_EDGE)
    face_of_corner = np.repeat(np.arange(len(quads)), 4)
    touches = sparse.csr_matrix((np.ones(quads.size), (face_of_corner, quads.ravel())), (len(quads), count))
    neighbours = touches @ touches.T  # faces by the number of shared corners
    total = np.asarray(neighbours.sum(axis=1)).ravel()
    for _ in range(2):
        share = (neighbours @ refined.astype(float)) / total
        refined = ((share > 0.5) & front) | (refined & (share > 0.35))
    return refined


def mixed_triangles(quads: np.ndarray, second: Subdivision, refined: np.ndarray, count: int) -> np.ndarray:
    """Make triangles of quads, some of which are subdivided, without gaps where fine and coarse ones meet.

    Args:
        quads: (F, 4) coarse quads.
        second: the subdivision of all these quads.
        refined: (F,) whether each coarse quad is replaced by its four children.
        count: number of vertices after the subdivision.
    """
    children = second.quads.reshape(-1, 4, 4)[refined].reshape(-1, 4)
    split_edges = np.zeros(count, bool)
    split_edges[second.edge_points[refined].ravel()] = True
    plain = np.flatnonzero(~refined)
    at_seam = split_edges[second.edge_points[plain]].any(axis=1)
    seam = []
    for face in plain[at_seam]:
        seam += _fan(quads[face], second.edge_points[face], split_edges)
    return np.concatenate([_split_quads(children), _split_quads(quads[plain[~at_seam]]), np.array(seam)])


def _fan(corners: np.ndarray, middles: np.ndarray, split_edges: np.ndarray) -> list[list[int]]:
    """Split a quad, some of whose edges have a vertex in the middle, into triangles: a fan around the first such
    vertex."""
    polygon, first_middle = [], None
    for corner, middle in zip(corners.tolist(), middles.tolist(), strict=True):
        polygon.append(corner)
        if split_edges[middle]:
            first_middle = len(polygon) if first_middle is None else first_middle
            polygon.append(middle)
    polygon = polygon[first_middle:] + polygon[:first_middle]
    return [[polygon[0], polygon[i], polygon[i + 1]] for i in range(1, len(polygon) - 1)]


# ---------------------------------------------------------------------------------- tongue, teeth and eyes
def _mouth_part(base: BaseMesh, part: int, group: str, levels: int) -> _Piece:
    used, quads = _compact(base.quads[base.groups == group], len(base.vertices))
    matrix, count = _picked(used, len(base.vertices)), len(used)
    for _ in range(levels):
        step = catmull_clark(quads, count)
        quads, matrix, count = step.quads, sparse.csr_matrix(step.matrix @ matrix), step.vertex_count
    return _Piece(part, matrix, _split_quads(quads), np.zeros(count), np.zeros(count))


def _eyeball(base: BaseMesh, part: int, group: str) -> _Piece:
    """Make a sphere in place of MakeHuman's eye mesh, bound to that mesh by the affine map that fits it best."""
    used = base.vertices_of(group)
    helper = base.vertices[used]
    centre, radius = fit_sphere(helper)
    directions, triangles, polar, azimuth = _ringed_sphere()
    points = centre + radius * directions
    binding = _with_one(points) @ np.linalg.pinv(_with_one(helper))  # (points, helper vertices)
    row = np.repeat(np.arange(len(points)), len(used))
    column = np.tile(used, len(points))
    matrix = sparse.csr_matrix((binding.ravel(), (row, column)), (len(points), len(base.vertices)))
    return _Piece(part, matrix, triangles, polar, azimuth)


def _with_one(points: np.ndarray) -> np.ndarray:
    return np.concatenate([points, np.ones((len(points), 1))], axis=1)


def _ringed_sphere() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Make a sphere around the pole +z, open at the back; return unit directions, triangles, polar angles and
    azimuths."""
    rings = np.deg2rad(EYE_RINGS_DEG[1:])
    around = 2 * np.pi * np.arange(EYE_SEGMENTS) / EYE_SEGMENTS
    polar = np.concatenate([[0.0], np.repeat(rings, EYE_SEGMENTS)])
    azimuth = np.concatenate([[0.0], np.tile(around, len(rings))])
    directions = np.stack(
        [np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=1
    )
    triangles = []
    for k in range(EYE_SEGMENTS):
        triangles.append([0, 1 + k, 1 + (k + 1) % EYE_SEGMENTS])
    for ring in range(len(rings) - 1):
        for k in range(EYE_SEGMENTS):
            inner = 1 + ring * EYE_SEGMENTS + k
            inner_next = 1 + ring * EYE_SEGMENTS + (k + 1) % EYE_SEGMENTS
            outer, outer_next = inner + EYE_SEGMENTS, inner_next + EYE_SEGMENTS
            triangles += [[inner, outer, outer_next], [inner, outer_next, inner_next]]
    return directions, np.array(triangles), polar, azimuth
