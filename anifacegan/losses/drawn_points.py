"""Vertices and points inside triangles that were drawn on a face model's mesh, and what they become on a batch of
faces: points on or near the mesh, with the offsets that the deformation field should have there.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from anifacegan.geometry.conventions import WORLD_PER_MODEL_UNIT
from anifacegan.geometry.normals import Rings
from anifacegan.losses.config import CONFIDENCE_RADIUS

SEAM_WEIGHT = 2.0
"""Weight of a visible point at a seam; that of other visible points is 1."""


@dataclass(frozen=True)
class MeshPoints:
    """Points of a batch of expressive faces with their offsets to the template, in world units."""

    x_target: Float[Tensor, "batch point 3"]
    """Points on or near the expressive mesh, or between its lips."""
    delta: Float[Tensor, "batch point 3"]
    """Template minus expressive position: the offset that the deformation field should have at ``x_target``."""
    confidence: Float[Tensor, "batch point"]
    """Weight of each point, 0 to 2; 0 for points that the face's camera does not see, and between closed lips."""

    def joined(self, others: "MeshPoints") -> "MeshPoints":
        """Return these points followed by other points of the same faces."""
        pairs = ((getattr(self, field.name), getattr(others, field.name)) for field in fields(self))
        return MeshPoints(*(torch.cat(pair, dim=1) for pair in pairs))

    def moved_along(
        self, normals: Float[Tensor, "batch point 3"], distance: Float[Tensor, "point"]
    ) -> "MeshPoints":
        """Return the points moved along unit ``normals`` by signed ``distance`` d (world units); their confidence is
        multiplied by 1 - min(d^2 / 1e-5, 1), so it is 0 from 3.16 mm on.
        """
        remaining = (1 - (distance / CONFIDENCE_RADIUS).square()).clamp(min=0)
        x_target = self.x_target + distance[:, None] * normals
        return replace(self, x_target=x_target, confidence=self.confidence * remaining)


@dataclass(frozen=True)
class DrawnVertices:
    """Vertices that were drawn, and how far each point is from its vertex along the normal, world units."""

    seen: Int[np.ndarray, " point"]
    rings: Rings
    """The triangles around the vertices; none without distances."""
    distance: Float[Tensor, "point"] | None

    @property
    def selected(self) -> Int[np.ndarray, " vertex"]:
        """The vertices to be placed."""
        return np.concatenate([self.seen, self.rings.vertices])

    def points(
        self,
        template: Float[Tensor, "batch vertex 3"],
        expressive: Float[Tensor, "batch vertex 3"],
        origin: Float[Tensor, "3"],
        visible: Float[Tensor, "batch point"],
    ) -> MeshPoints:
        """Return the points. ``template`` and ``expressive`` are places of the selected vertices, model units, whose
        origin is at ``origin``, world units."""
        count = len(self.seen)
        points = MeshPoints(
            x_target=WORLD_PER_MODEL_UNIT * expressive[:, :count] + origin,
            delta=WORLD_PER_MODEL_UNIT * (template - expressive)[:, :count],
            confidence=visible,
        )
        if self.distance is None:
            return points
        return points.moved_along(self.rings.normals(expressive[:, count:]), self.distance)


@dataclass(frozen=True)
class DrawnAtSeams:
    """Points that were drawn inside triangles, and how far each is from its triangle along the normal, world units."""

    seen: Int[np.ndarray, "point 3"]
    """The corners of each point's triangle."""
    shares: Float[Tensor, "point 3 1"]
    """Weights of the corners."""
    distance: Float[Tensor, "point"]

    @property
    def selected(self) -> Int[np.ndarray, " vertex"]:
        """The vertices to be placed."""
        return self.seen.reshape(-1)

    def points(
        self,
        template: Float[Tensor, "batch vertex 3"],
        expressive: Float[Tensor, "batch vertex 3"],
        origin: Float[Tensor, "3"],
        visible: Float[Tensor, "batch point 3"],
    ) -> MeshPoints:
        """Return the points; see :meth:`DrawnVertices.points`."""
        template, expressive = (shape.unflatten(1, (-1, 3)) for shape in (template, expressive))
        points = MeshPoints(
            x_target=WORLD_PER_MODEL_UNIT * (self.shares * expressive).sum(dim=2) + origin,
            delta=WORLD_PER_MODEL_UNIT * (self.shares * (template - expressive)).sum(dim=2),
            confidence=SEAM_WEIGHT * visible.amin(dim=2),
        )
        a, b, c = expressive.unbind(dim=2)
        normals = torch.nn.functional.normalize(torch.cross(b - a, c - a, dim=-1), dim=-1)
        return points.moved_along(normals, self.distance)
