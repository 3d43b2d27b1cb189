"""Blendshapes: where expressions move the vertices of a person's layers.

With an expression, some template points are occluded: no point of the deformed face shows them. Example: an eye behind
a closed lid. The vertices of occluded points are moved aside. Some triangles then span an occluded region; others span
an opening, such as parted lips. Each of these triangles gets three corners that it shares with no other triangle. The
texture coordinates of these corners are chosen so that the triangle shows what the networks show at its place.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from tqdm import tqdm

from anifacegan.avatars.baking.inverse_warp import Condition, volume_ratio
from anifacegan.avatars.baking.layers import LayerMesh
from anifacegan.avatars.baking.nested_vertices import NestedVertices
from anifacegan.avatars.baking.openings import OpeningTriangles, TexelsOf
from anifacegan.avatars.layered_mesh import at_stored_strengths
from anifacegan.geometry.conventions import EXP_DIM

OCCLUDED_RESIDUAL = 2e-4
"""Residual of a template point's inverse warp, world units, above which the point counts as occluded (no point of the
deformed face shows it)."""
LEAST_VOLUME_RATIO = 0.75
"""Skin beside an occluded region counts as stretched if a small volume of it in template space, divided by the same
volume in target space (the deformed face), is smaller than this."""
SPANNING_STRETCH, SPANNING_LENGTH = 6.0, 0.004
"""A triangle spans an opening if its longest side is more than SPANNING_STRETCH times as long as with a neutral face,
and longer than SPANNING_LENGTH world units."""
SPANNING_STRETCH_AT_OCCLUDED = 2.0
"""A triangle between stretched skin and occluded points spans an opening if its longest side is more than this many
times as long as with a neutral face."""


@dataclass(frozen=True)
class DeformedMesh:
    """The vertices of a mesh with an expression.

    Every vertex belongs to a template point, a point of the face without deformation. The vertex is occluded if the
    deformation carries no point of target space (the deformed face) to its template point. Example: the lids are
    closed, and the template point lies on the eye.

    An occluded region has two borders. At one border the deformation stretches the skin over the region, as it
    stretches a closed lid over the eye; at the other border the skin keeps its size. Occluded vertices are moved to
    the border that keeps its size. Triangles then reach from there to the stretched border.
    """

    x: Float[np.ndarray, "vertex 3"]
    """Positions of the vertices in target space, world units."""
    residual: Float[np.ndarray, "vertex"]
    """Distance between the template point that a vertex should have and the template point to which the deformation
    carries the position found for the vertex, world units. It is large for an occluded vertex. The position is the one
    before occluded vertices were moved."""
    stretched: Bool[np.ndarray, "vertex"]
    """Whether each vertex is on the stretched border of an occluded region; False for occluded vertices."""

    def spanning(
        self, triangles: Int[np.ndarray, "triangle 3"], neutral: Float[np.ndarray, "vertex 3"]
    ) -> Bool[np.ndarray, "triangle"]:
        """Mark triangles that span an opening, such as parted lips, or an occluded region, such as a covered eye.

        A triangle spans an opening if the expression makes it long. It spans an occluded region if it has an occluded
        corner and a stretched one, and the expression makes it longer.

        ``triangles`` are vertex indices; ``neutral`` are the positions of the vertices with a neutral face, world
        units.
        """
        occluded = self.residual > OCCLUDED_RESIDUAL
        reaching = _has_corner(triangles, occluded) & _has_corner(triangles, self.stretched)
        # A side that becomes SPANNING_LENGTH long, SPANNING_STRETCH times what it was, has an end that moves so far.
        moved = np.linalg.norm(self.x - neutral, axis=1) > SPANNING_LENGTH * (1 - 1 / SPANNING_STRETCH) / 2
        some = np.flatnonzero(reaching | _has_corner(triangles, moved))
        long, short = (
            np.linalg.norm(np.diff(x[triangles[some]], axis=1), axis=2).max(1) for x in (self.x, neutral)
        )
        stretch = long / np.maximum(short, np.finfo(np.float32).tiny)
        opened = (stretch > SPANNING_STRETCH) & (long > SPANNING_LENGTH)
        spanning = np.zeros(len(triangles), bool)
        spanning[some] = (reaching[some] & (stretch > SPANNING_STRETCH_AT_OCCLUDED)) | opened
        return spanning


@dataclass(frozen=True)
class MovingMesh:
    """A mesh with blendshapes, which move its vertices with a person's expressions.

    Points are in target space (the face with its expression), world units.
    """

    mesh: LayerMesh
    """The mesh; triangles that span an opening, such as an open mouth, share no corners with other triangles."""
    neutral: Float[np.ndarray, "vertex 3"]
    """Positions of the vertices with a neutral face."""
    blendshapes: Float[np.ndarray, "shape inbetween vertex 3"]
    """Offsets of the vertices from their neutral positions at each expression's in-between shapes, which are the
    expression at equally spaced strengths up to 1."""
    spanning: Int[np.ndarray, "spanning"]
    """Indices of the triangles that span an opening, such as an open mouth, at some stored strength of an expression.
    The corners of these triangles are the last vertices of the mesh; each is used by one triangle only."""
    texel_offsets: Float[np.ndarray, "shape inbetween spanning*3 2"]
    """Offsets of the texture coordinates of the corners of ``spanning`` at every stored strength (``inbetween``) of
    each expression, texels."""
    residual: Float[np.ndarray, "shape"]
    """Error of each expression, world units. The error of a vertex is ``DeformedMesh.residual``. Of these errors the
    0.99 quantile over the vertices is taken at each stored strength of the expression, then the largest quantile."""


def _has_corner(
    triangles: Int[np.ndarray, "triangle 3"], marked: Bool[np.ndarray, "vertex"]
) -> Bool[np.ndarray, "triangle"]:
    """Mark the triangles that have a marked corner."""
    return marked[triangles[:, 0]] | marked[triangles[:, 1]] | marked[triangles[:, 2]]


def deformed_mesh(
    condition: Condition, z_exp: Float[np.ndarray, "64"], nested: NestedVertices
) -> DeformedMesh:
    """Find the positions of a mesh's vertices on the face with an expression.

    An occluded vertex (see :class:`DeformedMesh`) gets the position of another vertex: the nearest one, counted in
    edges of the mesh, on the border that is not stretched. If no edges lead from there, it keeps the position found.

    Args:
        condition: function from expression coefficients to the fields of one person with this expression (the networks
            with the person's latents fixed).
        z_exp: expression coefficients.
        nested: the mesh's vertices, in the order in which they are solved for.
    """
    fields, mesh = condition(z_exp), nested.mesh
    x, residual = nested.target_points(condition, z_exp)
    occluded = residual > OCCLUDED_RESIDUAL
    stretched = np.zeros(len(occluded), bool)
    triangles = mesh.triangles[_has_corner(mesh.triangles, occluded)]
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    edges = edges[occluded[edges[:, 1]]]  # into occluded points
    border = np.unique(edges[~occluded[edges[:, 0]], 0])
    if len(border):
        ratio = volume_ratio(fields.deformation, torch.from_numpy(x[border]).to(fields.levels.device))
        stretched[border] = (ratio < LEAST_VOLUME_RATIO).cpu().numpy()
        x = x[_nearest_visible(edges, occluded, border[~stretched[border]])]
    return DeformedMesh(x, residual, stretched)


def _nearest_visible(
    edges: Int[np.ndarray, "edge 2"], occluded: Bool[np.ndarray, "vertex"], border: Int[np.ndarray, "border"]
) -> Int[np.ndarray, "vertex"]:
    """Return, for each occluded vertex, the index of the vertex of ``border`` from which the fewest edges lead to it.

    A vertex that is not occluded, or that no edges lead to, gets its own index.
    """
    source = np.arange(len(occluded))
    source[occluded] = -1
    reached = np.zeros(len(occluded), bool)
    reached[border] = True
    while True:
        arriving = edges[reached[edges[:, 0]] & (source[edges[:, 1]] < 0)]
        if not len(arriving):
            break
        source[arriving[:, 1]] = source[arriving[:, 0]]
        reached[arriving[:, 1]] = True
    return np.where(source < 0, np.arange(len(occluded)), source)


def moving_mesh(
    condition: Condition,
    z_exp: Float[np.ndarray, "shape 64"],
    inbetweens: int,
    mesh: LayerMesh,
    texels_of: TexelsOf,
) -> MovingMesh:
    """Compute blendshapes of a mesh: where its vertices are at several strengths of each expression.

    A triangle that spans an opening (such as an open mouth) at any strength gets three corners that it shares with no
    other triangle. At the strengths at which it spans an opening, its texture coordinates change: the triangle then
    shows what the networks show there. If the networks show nothing of its layer there, it shrinks to a point.

    Args:
        condition: function from expression coefficients to the fields of one person with this expression (the networks
            with the person's latents fixed).
        z_exp: expression coefficients at full strength; each row gets a blendshape.
        inbetweens: number P of strengths of each expression: 1/P, 2/P, ..., 1.
        mesh: mesh in template space (the face without deformation), world units.
        texels_of: function from layer indices and template points to texture coordinates.
    """
    neutral_z_exp = np.zeros(EXP_DIM, np.float32)
    nested = NestedVertices.of(mesh)
    neutral, _ = nested.target_points(condition, neutral_z_exp)
    inbetween_z_exp = at_stored_strengths(z_exp, inbetweens)
    shape = inbetween_z_exp.shape[:2]
    offsets = np.zeros((*shape, *neutral.shape), np.float32)
    residual = np.zeros(len(z_exp))
    is_spanning = np.zeros((*shape, len(mesh.triangles)), bool)
    for place in tqdm(list(np.ndindex(*shape)), desc="expressions", leave=False, disable=None):
        deformed = deformed_mesh(condition, inbetween_z_exp[place], nested)
        offsets[place] = deformed.x - neutral
        is_spanning[place] = deformed.spanning(mesh.triangles, neutral)
        quantile = np.quantile(deformed.residual, 0.99, method="higher")
        residual[place[0]] = max(residual[place[0]], quantile)
    openings = OpeningTriangles.of(mesh, neutral, offsets, is_spanning)
    corner_offsets, texel_offsets = openings.offsets(condition, inbetween_z_exp, texels_of)
    return MovingMesh(
        mesh=openings.separated(mesh),
        neutral=np.concatenate([neutral, neutral[openings.corners.ravel()]]),
        blendshapes=np.concatenate([offsets, corner_offsets], axis=2),
        spanning=openings.triangles,
        texel_offsets=texel_offsets,
        residual=residual,
    )
