"""Blendshapes: where expressions move the vertices of a person's layers.

Some template points are occluded with an expression: no point of the deformed face shows them, as an eye behind a
closed lid. Their vertices are moved aside. Some triangles then reach across the place of occluded points, or span an
opening, such as the one between parted lips. These triangles get corners of their own, with texture coordinates at
which they show the same as the networks at this place.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from tqdm import tqdm

from anifacegan.avatars.baking.inverse_warp import Condition, target_points, volume_ratio
from anifacegan.avatars.baking.layers import LayerMesh
from anifacegan.avatars.baking.openings import OpeningTriangles, TexelsOf
from anifacegan.geometry.conventions import EXP_DIM

OCCLUDED_RESIDUAL = 2e-4
"""Residual of a template point's inverse warp, world units, above which the point counts as occluded (no point of the
deformed face shows it)."""
LEAST_VOLUME_RATIO = 0.75
"""Skin counts as stretched over an occluded part of the face if its volume in template space, divided by its volume in
target space (the deformed face), is smaller than this."""
SPANNING_STRETCH, SPANNING_LENGTH = 6.0, 0.004
"""A triangle spans an opening if its longest side is more than SPANNING_STRETCH times as long as with a neutral face,
and longer than SPANNING_LENGTH world units."""
SPANNING_STRETCH_AT_OCCLUDED = 2.0
"""A triangle between stretched skin and occluded points spans an opening if its longest side is more than this many
times as long as with a neutral face."""


@dataclass(frozen=True)
class DeformedMesh:
    """The vertices of a mesh with an expression.

    A vertex is occluded if no point of the deformed face shows its template point (point of the face without
    deformation), as an eye behind a closed lid. Beside occluded vertices, the skin on one side (the lid, or the slit
    between lips) is stretched over their place; the skin on the other side is not. The occluded vertices are moved to
    the side that is not stretched, and triangles reach from there to the stretched side.
    """

    x: Float[np.ndarray, "vertex 3"]
    """Positions of the vertices in target space, world units."""
    residual: Float[np.ndarray, "vertex"]
    """Distance, in template space, from each vertex's template point to the one that the networks show at the position
    found for the vertex, world units; large if the vertex is occluded. Computed before occluded vertices were moved."""
    stretched: Bool[np.ndarray, "vertex"]
    """Whether each vertex is visible, beside an occluded one, and on the stretched side."""

    def spanning(
        self, triangles: Int[np.ndarray, "triangle 3"], neutral: Float[np.ndarray, "vertex 3"]
    ) -> Bool[np.ndarray, "triangle"]:
        """Mark the triangles that span an opening, such as the one between parted lips, or that reach across points
        that the deformed face hides, such as an eye behind a closed lid.

        ``triangles`` are vertex indices; ``neutral`` are the positions of the vertices with a neutral face, world
        units.
        """
        occluded = self.residual > OCCLUDED_RESIDUAL
        reaching = occluded[triangles].any(1) & self.stretched[triangles].any(1)
        long, short = (
            np.linalg.norm(np.diff(x[triangles], axis=1), axis=2).max(1) for x in (self.x, neutral)
        )
        stretch = long / np.maximum(short, np.finfo(np.float32).tiny)
        opened = (stretch > SPANNING_STRETCH) & (long > SPANNING_LENGTH)
        return (reaching & (stretch > SPANNING_STRETCH_AT_OCCLUDED)) | opened


@dataclass(frozen=True)
class MovingMesh:
    """A mesh with blendshapes, which move its vertices with a person's expressions. Points are in target space (the
    posed face), world units.
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
    """Error of each expression, world units: the distance between a vertex's template point (point of the face without
    deformation) and the one that the networks show at the vertex's position; 0.99 quantile over the vertices, at the
    worst of the expression's stored strengths."""


def deformed_mesh(condition: Condition, z_exp: Float[np.ndarray, "64"], mesh: LayerMesh) -> DeformedMesh:
    """Find the positions of a mesh's vertices on the face with an expression.

    Some vertices are hidden, as an eye behind a closed lid: no point of the deformed face shows their points of the
    mesh. Each of these gets the position of another vertex: the visible one, on skin that is not stretched over the
    hidden part, that is the fewest edges of the mesh away.

    Args:
        condition: function from expression coefficients to the fields of one person with this expression (the networks
            with the person's latents fixed).
        z_exp: expression coefficients.
        mesh: mesh in template space (the face without deformation), world units.
    """
    fields = condition(z_exp)
    found, residual = target_points(
        condition, z_exp, torch.from_numpy(mesh.x_template).to(fields.levels.device)
    )
    x, occluded = found.cpu().numpy(), (residual > OCCLUDED_RESIDUAL).cpu().numpy()
    stretched = np.zeros(len(occluded), bool)
    edges = np.concatenate([mesh.triangles[:, [0, 1]], mesh.triangles[:, [1, 2]], mesh.triangles[:, [2, 0]]])
    edges = np.concatenate([edges, edges[:, ::-1]])
    edges = edges[occluded[edges[:, 1]]]  # into occluded points
    border = np.unique(edges[~occluded[edges[:, 0]], 0])
    if len(border):
        ratio = volume_ratio(fields.offset, found[torch.from_numpy(border)])
        stretched[border] = (ratio < LEAST_VOLUME_RATIO).cpu().numpy()
        x = x[_nearest_visible(edges, occluded, border[~stretched[border]])]
    return DeformedMesh(x, residual.cpu().numpy(), stretched)


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

    A triangle that spans an opening, such as an open mouth, at some strength gets corners of its own. At this strength
    its texture coordinates show what the networks show there; if they show nothing of its layer, it shrinks to a point.

    Args:
        condition: function from expression coefficients to the fields of one person with this expression (the networks
            with the person's latents fixed).
        z_exp: expression coefficients at full strength; each row gets a blendshape.
        inbetweens: number P of strengths of each expression: 1/P, 2/P, ..., 1.
        mesh: mesh in template space (the face without deformation), world units.
        texels_of: function from layer indices and template points to texture coordinates.
    """
    neutral_z_exp = np.zeros(EXP_DIM, np.float32)
    x_template = torch.from_numpy(mesh.x_template).to(condition(neutral_z_exp).levels.device)
    neutral = target_points(condition, neutral_z_exp, x_template)[0].cpu().numpy()
    weights = np.arange(1, inbetweens + 1, dtype=np.float32) / inbetweens
    inbetween_z_exp = z_exp[:, None] * weights[:, None]  # (S, P, 64)
    shape = inbetween_z_exp.shape[:2]
    offsets = np.zeros((*shape, *neutral.shape), np.float32)
    residual = np.zeros(len(z_exp))
    is_spanning = np.zeros((*shape, len(mesh.triangles)), bool)
    for place in tqdm(list(np.ndindex(*shape)), desc="expressions", leave=False, disable=None):
        deformed = deformed_mesh(condition, inbetween_z_exp[place], mesh)
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
