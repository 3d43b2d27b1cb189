"""Points on the morphable model for the imitation terms: where a vertex is, and the step back to its neutral place.

Only vertices that a camera sees are used: behind a closed lid the eyeball stays where it is, a millimetre from skin
that has moved a centimetre, and a smooth field can follow only one of them.

The field is needed beside the mesh as well. A point a little off a vertex, along the normal, moves as the vertex does,
with a confidence that falls with the distance: ``1 - min(d^2 / 1e-5, 1)`` (method, section 4, L_3DMM).

Between open lips there is no vertex, but there is a step: what is there has to come from the narrow slit between the
closed lips, or the lips' own colours are drawn across the opening. A curtain from lip to lip says so.
"""

import math
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from anifacegan.face_model.face_mesh import Eye, FaceMesh, clear_lids
from anifacegan.face_model.morphable import WORLD_PER_MODEL_UNIT
from anifacegan.geometry.conventions import ID_DIM
from anifacegan.geometry.normals import VertexTriangles

BALL_SHARE = 0.5
"""Eyeballs do not move with expressions: they are drawn by this much of the most moving vertex's share."""
LID_SHARE = 1.0
"""Lids are few vertices and make a blink: they are drawn more often by this much of the most moving vertex's share."""
EYE_SAMPLES = 32
"""Vertices of each eyeball that are always computed: lids are cleared against the sphere through them."""

UPPER_LIP, LOWER_LIP = (60, 61, 62, 63, 64), (60, 67, 66, 65, 64)
"""Landmarks of the inner contours of the lips, from corner to corner."""
OPEN_LIPS = 0.001
"""Lips are open where they are this far apart, world units."""
REACH = math.sqrt(1e-5)
"""Distance from the mesh at which nothing is known of a point any more, world units: 3.2 mm."""
MOUTH_GAP_DEPTH = 0.002
"""Standard deviation of curtain points along z, world units."""


@dataclass(frozen=True)
class IdentityPoints:
    """Neutral vertices of a batch of people and their steps to the mean head's, world units."""

    x_template: Float[Tensor, "batch point 3"]
    to_mean: Float[Tensor, "batch point 3"]
    """The mean head's vertex minus the person's: what the alignment field should say at x_template."""


@dataclass(frozen=True)
class MeshPoints:
    """Points of a batch of expressive faces and their steps to the neutral ones, world units."""

    x_target: Float[Tensor, "batch point 3"]
    delta: Float[Tensor, "batch point 3"]
    """Neutral minus expressive place: what the deformation field should say at x_target."""
    visible: Float[Tensor, "batch point"]
    """1 where the face's own camera sees the vertex, less beside it; of a curtain, 1 where the lips are open."""

    def beside(self, normals: Float[Tensor, "batch point 3"], u: Float[Tensor, "point"]) -> "MeshPoints":
        """These points moved by ``u`` along their normals, with the confidence that is left there."""
        confidence = (1 - (u / REACH).square()).clamp(min=0)
        return replace(self, x_target=self.x_target + u[:, None] * normals, visible=self.visible * confidence)


@runtime_checkable
class SeenVertices(Protocol):
    """Which vertices of the mesh each face shows, by its number; an array of bits is one."""

    def __getitem__(self, items: Int[np.ndarray, " batch"]) -> np.ndarray:
        """(batch, vertex / 8) bits of some items."""
        ...


class MeshSampler:
    """Draws vertices of a face model, more of them about eyes and mouth."""

    def __init__(self, mesh: FaceMesh, visible: SeenVertices) -> None:
        self.visible, self.eyes = visible, mesh.eyes
        self.basis = torch.from_numpy(mesh.basis).reshape(-1, 3, mesh.basis.shape[1])  # (V, 3, 144)
        self.mean = torch.from_numpy(mesh.mean).reshape(-1, 3)
        self.offset = torch.from_numpy(mesh.world_offset)
        self.triangles = VertexTriangles(mesh.triangles, len(self.mean))
        self.lips = mesh.landmark_vertices[list(UPPER_LIP + LOWER_LIP)]
        samples = [eye.ball[np.linspace(0, len(eye.ball) - 1, EYE_SAMPLES).astype(int)] for eye in self.eyes]
        self.balls = np.concatenate([np.empty(0, np.int64), *samples])
        moving = torch.from_numpy(np.linalg.norm(mesh.basis[:, ID_DIM:], axis=1)).reshape(-1, 3).norm(dim=1)
        share = 0.05 + moving / moving.max()
        for eye in self.eyes:
            share[eye.ball] += BALL_SHARE
            share[eye.lids] += LID_SHARE
        self.cumulative = share.cumsum(0) / share.sum()

    def vertices(self, count: int, rng: torch.Generator) -> Int[np.ndarray, " point"]:
        """Indices of random vertices, those that move more often than those that do not."""
        selected = torch.searchsorted(self.cumulative, torch.rand(count, generator=rng)).clamp(
            max=len(self.mean) - 1
        )
        return selected.numpy()

    def points(
        self,
        items: Int[np.ndarray, " batch"],
        z_id: Float[Tensor, "batch 80"],
        z_exp: Float[Tensor, "batch 64"],
        count: int,
        rng: torch.Generator,
        beside: float = 0.0,
    ) -> MeshPoints:
        """``count`` random vertices, the same for the whole batch, of the faces of some items of the data set; each
        moved along the expressive mesh's normal by at most ``beside``, world units.
        """
        drawn = self.vertices(count, rng)
        rings = self.triangles.around(drawn if beside else drawn[:0])
        selected = np.concatenate([drawn, rings.vertices, self.balls])
        eyes = self._eyes_among(selected)
        neutral, expressive = (clear_lids(shape, eyes) for shape in self._shapes(selected, z_id, z_exp))
        bits = self.visible[items][:, drawn // 8]
        seen = (bits >> (7 - drawn % 8)) & 1
        points = MeshPoints(
            x_target=WORLD_PER_MODEL_UNIT * expressive[:, :count] + self.offset,
            delta=WORLD_PER_MODEL_UNIT * (neutral - expressive)[:, :count],
            visible=torch.from_numpy(seen.astype(np.float32)),
        )
        if not beside:
            return points
        normals = rings.normals(expressive[:, count : count + len(rings.vertices)])
        return points.beside(normals, beside * (2 * torch.rand(count, generator=rng) - 1))

    def mouth_gap(
        self,
        z_id: Float[Tensor, "batch 80"],
        z_exp: Float[Tensor, "batch 64"],
        count: int,
        rng: torch.Generator,
    ) -> MeshPoints:
        """``count`` random points between the inner contours of the lips: steps go linearly from lip to lip."""
        along, across = torch.rand(2, count, 1, generator=rng)
        segments = len(UPPER_LIP) - 1
        segment = (along[:, 0] * segments).long()
        part = along * segments - segment[:, None]

        def on_contours(of: Float[Tensor, "batch 10 3"]) -> list[Tensor]:
            return [torch.lerp(lip[:, segment], lip[:, segment + 1], part) for lip in of.chunk(2, dim=1)]

        neutral, expressive = self._shapes(self.lips, z_id, z_exp)
        upper, lower = on_contours(WORLD_PER_MODEL_UNIT * expressive + self.offset)
        x_target = torch.lerp(upper, lower, across)
        x_target[..., 2] += MOUTH_GAP_DEPTH * torch.randn(x_target.shape[:2], generator=rng)
        return MeshPoints(
            x_target=x_target,
            delta=torch.lerp(*on_contours(WORLD_PER_MODEL_UNIT * (neutral - expressive)), across),
            visible=((upper - lower).norm(dim=-1) > OPEN_LIPS).to(x_target),
        )

    def identity_points(
        self, z_id: Float[Tensor, "batch 80"], count: int, rng: torch.Generator
    ) -> IdentityPoints:
        """``count`` random vertices of neutral faces, the same for the whole batch."""
        selected = self.vertices(count, rng)
        step = torch.einsum("vck,bk->bvc", self.basis[selected][..., :ID_DIM], z_id)
        return IdentityPoints(
            x_template=WORLD_PER_MODEL_UNIT * (self.mean[selected] + step) + self.offset,
            to_mean=-WORLD_PER_MODEL_UNIT * step,
        )

    def _shapes(
        self,
        selected: Int[np.ndarray, " point"],
        z_id: Float[Tensor, "batch 80"],
        z_exp: Float[Tensor, "batch 64"],
    ) -> tuple[Float[Tensor, "batch point 3"], Float[Tensor, "batch point 3"]]:
        """Neutral and expressive vertices in model units, lids as the linear model has them."""
        basis, mean = self.basis[selected], self.mean[selected]
        neutral = mean + torch.einsum("vck,bk->bvc", basis[..., :ID_DIM], z_id)
        return neutral, neutral + torch.einsum("vck,bk->bvc", basis[..., ID_DIM:], z_exp)

    def _eyes_among(self, selected: Int[np.ndarray, " point"]) -> tuple[Eye, ...]:
        """The eyes in terms of the chosen vertices, which end with fixed ones of the eyeballs: these alone count."""
        first = len(selected) - len(self.balls)
        return tuple(
            Eye(
                ball=first + EYE_SAMPLES * k + np.arange(EYE_SAMPLES),
                lids=np.flatnonzero(np.isin(selected, eye.lids)),
            )
            for k, eye in enumerate(self.eyes)
        )
