"""Points on and near the 3DMM mesh, with the offsets that the imitation losses teach the deformation field there.

A point's offset is its vertex's position in the template minus that of the expressive face; the template's expression
is the neutral one, or another that the model's configuration names. Points away from the mesh lie on normals and
have the offset of their foot point, with a confidence that falls with the distance d: 1 - min(d^2 / 1e-5, 1)
(L_3DMM of Wu et al. 2022).

Only vertices that the camera sees count: behind a closed lid the eyeball stays where it is, a millimetre from skin that
has moved a centimetre, and a smooth field can follow only one of them.

Closed lids meet in a line, and so do closed lips: seams, at which offsets jump by up to a centimetre. Few vertices are
near them; so more points are drawn inside the triangles there.

An open mouth has no vertices between the lips. Without offsets there the field would stretch the lips' colours across
the opening, so mouth-gap points between the lips lead to the line where the template's closed lips meet; if they are
apart in the template, to the gap between them.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from torch import Tensor

from anifacegan.face_model.face_mesh import FaceMesh
from anifacegan.face_model.lids import place_lids, subset_with_lids
from anifacegan.geometry.conventions import EXP_DIM, ID_DIM, WORLD_PER_MODEL_UNIT
from anifacegan.geometry.normals import VertexTriangles
from anifacegan.losses.drawn_points import DrawnAtSeams, DrawnVertices, MeshPoints

EYEBALL_SHARE = 0.5
"""Number added to the sampling weight of eyeball vertices, because they hardly move and would rarely be drawn; the
vertex that moves most has weight 1."""
LID_SHARE = 1.0
"""Number added to the sampling weight of eyelid vertices, because few vertices make a whole blink; the vertex that
moves most has weight 1."""
MOUTH_SHARE = 1.0
"""Number added to the sampling weight of the vertices of teeth and tongue, because the upper teeth never move, and all
of them are hidden most of the time; the vertex that moves most has weight 1."""
LIP_SHARE, LIP_REACH = 1.0, 0.008
"""Number added to the sampling weight of the vertices within this distance (world units) of the lips' inner contours in
the mean face, because lips that meet are a line at which offsets jump; the vertex that moves most has weight 1."""

SEAM_REACH = 0.0025
"""Largest distance, in world units, of the corners of a triangle at the lips' seam from the inner contours of the lips
in the mean face."""

UPPER_LIP, LOWER_LIP = (60, 61, 62, 63, 64), (60, 67, 66, 65, 64)
"""Indices of the landmarks on the inner contours of the lips, from corner to corner."""
OPEN_LIPS = 0.001
"""Smallest height of the upper lip's inner contour above the lower one's, in world units, at which the mouth counts as
open; lips that are pressed together overlap in the face model."""
MOUTH_GAP_DEPTHS = (0.0005, 0.004)
"""Smallest and largest distance of mouth-gap points (points between open lips) in front of the lips' inner contours,
along z, in world units. Behind the contours are the teeth, which lie where they lie in the neutral face."""


@runtime_checkable
class VertexVisibility(Protocol):
    """Type of a table of the visible vertices of each data set item's face, as packed bits; a numpy array of bits
    fits.
    """

    def __getitem__(self, items: Int[np.ndarray, " batch"]) -> np.ndarray:
        """Return the packed bits (np.packbits) of some items, (batch, ceil(vertex / 8)) uint8."""
        ...


class MeshSampler:
    """Samples points of a face model's mesh for training: more points around eyes and mouth, and points between open
    lips.
    """

    def __init__(
        self,
        mesh: FaceMesh,
        visible: VertexVisibility,
        template_exp: Float[np.ndarray, "64"] | None = None,
    ) -> None:
        """Make a sampler of a face model's ``mesh``, of whose vertices ``visible`` says which images show them.

        ``template_exp`` are the expression coefficients of the template's faces; None: neutral.
        """
        self.visible, self.eyes = visible, mesh.eyes
        self.template_exp = torch.zeros(EXP_DIM) if template_exp is None else torch.from_numpy(template_exp)
        self.basis = torch.from_numpy(mesh.basis).reshape(-1, 3, mesh.basis.shape[1])  # (V, 3, 144)
        self.mean = torch.from_numpy(mesh.mean).reshape(-1, 3)
        self.offset = torch.from_numpy(mesh.world_offset)
        self.triangles = VertexTriangles(mesh.triangles, len(self.mean))
        self.lips = mesh.landmark_vertices[list(UPPER_LIP + LOWER_LIP)]
        moving = torch.from_numpy(np.linalg.norm(mesh.basis[:, ID_DIM:], axis=1)).reshape(-1, 3).norm(dim=1)
        share = 0.05 + moving / moving.max()
        for eye in self.eyes:
            share[eye.ball] += EYEBALL_SHARE
            share[eye.lids] += LID_SHARE
        share[torch.from_numpy(mesh.inside_mouth)] += MOUTH_SHARE
        from_lips = WORLD_PER_MODEL_UNIT * torch.cdist(self.mean, self.mean[self.lips]).amin(dim=1)
        share[from_lips < LIP_REACH] += LIP_SHARE
        self.cumulative = share.cumsum(0) / share.sum()
        self.seams, self.seam_chances = _seam_triangles(mesh)

    def vertices(self, count: int, rng: torch.Generator) -> Int[np.ndarray, " point"]:
        """Draw ``count`` indices of mesh vertices; vertices that expressions move farther are drawn more often."""
        return _drawn(self.cumulative, count, rng)

    def points(
        self,
        items: Int[np.ndarray, " batch"],
        z_id: Float[Tensor, "batch 80"],
        z_exp: Float[Tensor, "batch 64"],
        count: int,
        rng: torch.Generator,
        max_distance: float = 0.0,
    ) -> MeshPoints:
        """Draw vertices of data set items' faces and move each along its normal by a random distance; return these
        points.

        Args:
            items: indices of the data set items, by which their visible vertices are looked up.
            z_id, z_exp: identity and expression coefficients of the items.
            count: number of points; the same vertices for the whole batch.
            rng: source of all random numbers.
            max_distance: largest distance from the vertex in either direction, in world units.
        """
        return self._placed_points(items, z_id, z_exp, [self._draw_vertices(count, rng, max_distance)])

    def seam_points(
        self,
        items: Int[np.ndarray, " batch"],
        z_id: Float[Tensor, "batch 80"],
        z_exp: Float[Tensor, "batch 64"],
        count: int,
        rng: torch.Generator,
        max_distance: float = 0.0,
    ) -> MeshPoints:
        """Draw ``count`` points inside triangles at the seams of lids and lips, and move each along its triangle's
        normal by a random distance.

        The arguments are those of :meth:`points`. Half of the points belong to the lids, if they are apart from the
        eyeballs (not in BFM), the others to the lips. A point has the confidence SEAM_WEIGHT if the camera sees all
        corners of its triangle, else 0.
        """
        return self._placed_points(items, z_id, z_exp, [self._draw_at_seams(count, rng, max_distance)])

    def vertex_and_seam_points(
        self,
        items: Int[np.ndarray, " batch"],
        z_id: Float[Tensor, "batch 80"],
        z_exp: Float[Tensor, "batch 64"],
        counts: tuple[int, int],
        rng: torch.Generator,
        max_distance: float = 0.0,
    ) -> MeshPoints:
        """Draw ``counts[0]`` points as :meth:`points` does, then ``counts[1]`` as :meth:`seam_points` does.

        Faster than two calls, because the lids of the faces are placed once.
        """
        drawn = [
            self._draw_vertices(counts[0], rng, max_distance),
            self._draw_at_seams(counts[1], rng, max_distance),
        ]
        return self._placed_points(items, z_id, z_exp, drawn)

    def _draw_vertices(self, count: int, rng: torch.Generator, max_distance: float) -> DrawnVertices:
        vertices = self.vertices(count, rng)
        if not max_distance:
            return DrawnVertices(vertices, self.triangles.around(vertices[:0]), None)
        distance = max_distance * (2 * torch.rand(count, generator=rng) - 1)
        return DrawnVertices(vertices, self.triangles.around(vertices), distance)

    def _draw_at_seams(self, count: int, rng: torch.Generator, max_distance: float) -> DrawnAtSeams:
        corners = self.seams[_drawn(self.seam_chances, count, rng)]
        u, v = torch.rand(2, count, generator=rng)
        shares = torch.stack([1 - u.sqrt(), u.sqrt() * (1 - v), u.sqrt() * v], dim=-1)[..., None]  # uniform
        return DrawnAtSeams(corners, shares, max_distance * (2 * torch.rand(count, generator=rng) - 1))

    def _placed_points(
        self,
        items: Int[np.ndarray, " batch"],
        z_id: Float[Tensor, "batch 80"],
        z_exp: Float[Tensor, "batch 64"],
        kinds: Sequence[DrawnVertices | DrawnAtSeams],
    ) -> MeshPoints:
        """Place drawn points on the faces of data set items; those of several kinds follow each other."""
        selected = [drawn.selected for drawn in kinds]
        placed = self._placed(np.concatenate(selected), z_id, z_exp)
        sizes = [len(some) for some in selected]
        parts = zip(kinds, *(vertices.split(sizes, dim=1) for vertices in placed), strict=True)
        points = [
            drawn.points(template, expressive, self.offset, self._visible(items, drawn.seen))
            for drawn, template, expressive in parts
        ]
        return reduce(MeshPoints.joined, points)

    def mouth_gap(
        self,
        z_id: Float[Tensor, "batch 80"],
        z_exp: Float[Tensor, "batch 64"],
        count: int,
        rng: torch.Generator,
    ) -> MeshPoints:
        """Draw ``count`` points between the inner contours of each face's lips, 0.5 to 4 mm in front of them.

        If the template is neutral, their offsets lead as far in front of the line midway between its inner contours:
        closed lips show what the neutral face has there, and a wider target would make it a dark slit. If its lips are
        apart, a point leads to the place between them that is as near to either as the point is in the opening.
        """
        along, across = torch.rand(2, count, 1, generator=rng)
        segments = len(UPPER_LIP) - 1
        segment = (along[:, 0] * segments).long()
        part = along * segments - segment[:, None]

        def on_contours(landmarks: Float[Tensor, "batch 10 3"]) -> list[Tensor]:
            return [
                torch.lerp(lip[:, segment], lip[:, segment + 1], part) for lip in landmarks.chunk(2, dim=1)
            ]

        template, expressive = self._shapes(self.lips, z_id, z_exp)
        upper, lower = on_contours(WORLD_PER_MODEL_UNIT * expressive + self.offset)
        x_target = torch.lerp(upper, lower, across)
        goal = torch.lerp(
            *on_contours(WORLD_PER_MODEL_UNIT * template + self.offset),
            across if self.template_exp.any() else torch.full_like(across, 0.5),
        )
        delta = goal - x_target
        nearest, farthest = MOUTH_GAP_DEPTHS
        x_target[..., 2] += torch.empty(x_target.shape[:2]).uniform_(nearest, farthest, generator=rng)
        return MeshPoints(
            x_target=x_target,
            delta=delta,
            confidence=((upper - lower)[..., 1] > OPEN_LIPS).to(x_target),
        )

    def visible_share(self, items: Int[np.ndarray, " item"]) -> Float[np.ndarray, " vertex"]:
        """Return in how many of the items each vertex is visible, from 0 to 1."""
        bits = np.unpackbits(self.visible[items], axis=1, count=len(self.mean))
        return bits.mean(axis=0, dtype=np.float32)

    def _visible(
        self, items: Int[np.ndarray, " batch"], vertices: Int[np.ndarray, "*point"]
    ) -> Float[Tensor, "batch *point"]:
        """Return 1 for each of the vertices that the item's camera sees, else 0."""
        bytes_of_vertices = self.visible[items][:, vertices // 8]
        visible = (bytes_of_vertices >> (7 - vertices % 8)) & 1
        return torch.from_numpy(visible.astype(np.float32))

    def _placed(
        self,
        selected: Int[np.ndarray, " point"],
        z_id: Float[Tensor, "batch 80"],
        z_exp: Float[Tensor, "batch 64"],
    ) -> tuple[Float[Tensor, "batch point 3"], Float[Tensor, "batch point 3"]]:
        """Return vertices with the template's expression and with that of ``z_exp``, model units, with placed lids."""
        count = len(selected)
        selected, eyes = subset_with_lids(selected, self.eyes)
        template, expressive = self._shapes(selected, z_id, z_exp)
        lids_of = self.template_exp.expand_as(z_exp) if self.template_exp.any() else None
        return place_lids(template, lids_of, eyes)[:, :count], place_lids(expressive, z_exp, eyes)[:, :count]

    def _shapes(
        self,
        selected: Int[np.ndarray, " point"],
        z_id: Float[Tensor, "batch 80"],
        z_exp: Float[Tensor, "batch 64"],
    ) -> tuple[Float[Tensor, "batch point 3"], Float[Tensor, "batch point 3"]]:
        """Return vertices with the template's expression and with that of ``z_exp``, model units, before lids are
        placed."""
        basis, mean = self.basis[selected], self.mean[selected]
        neutral = mean + torch.einsum("vck,bk->bvc", basis[..., :ID_DIM], z_id)
        template = neutral
        if self.template_exp.any():
            template = neutral + torch.einsum("vck,k->vc", basis[..., ID_DIM:], self.template_exp)
        return template, neutral + torch.einsum("vck,bk->bvc", basis[..., ID_DIM:], z_exp)


def _drawn(cumulative: Float[Tensor, "entry"], count: int, rng: torch.Generator) -> Int[np.ndarray, " drawn"]:
    """Draw ``count`` indices with chances whose cumulative sums are given; these end at 1, up to rounding."""
    drawn = torch.searchsorted(cumulative, torch.rand(count, generator=rng))
    return drawn.clamp(max=len(cumulative) - 1).numpy()


def _seam_triangles(mesh: FaceMesh) -> tuple[Int[np.ndarray, "triangle 3"], Float[Tensor, "triangle"]]:
    """Return the corners of the triangles at the seams of lids and lips, and cumulative chances to draw each.

    At the lids they are the triangles with a corner on a margin, at the lips those with a corner within SEAM_REACH of
    the inner contours in the mean face, but for teeth and tongue.
    """
    mean = mesh.mean.reshape(-1, 3)
    part = np.linspace(0, 1, 17)[:, None, None]
    upper, lower = (mean[mesh.landmark_vertices[list(lip)]] for lip in (UPPER_LIP, LOWER_LIP))
    contours = np.concatenate([lip[:-1] + part * np.diff(lip, axis=0) for lip in (upper, lower)])
    distance = WORLD_PER_MODEL_UNIT * cKDTree(contours.reshape(-1, 3)).query(mean)[0]
    lips = np.flatnonzero((distance < SEAM_REACH) & ~mesh.inside_mouth)
    lids = [margin for eye in mesh.eyes for margin in (eye.closing.upper, eye.closing.lower)]
    seams = [np.isin(mesh.triangles, corners).any(axis=1) for corners in (np.concatenate([*lids, []]), lips)]
    triangles = [mesh.triangles[at_seam].astype(np.int64) for at_seam in seams if at_seam.any()]
    chances = np.concatenate([np.full(len(some), 1 / (len(triangles) * len(some))) for some in triangles])
    return np.concatenate(triangles), torch.from_numpy(chances.cumsum()).float()
