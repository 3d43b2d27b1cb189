"""A linear morphable face model (3DMM): coefficients to vertices, colours, normals and landmarks.

    shape  S = mean + B_id z_id + B_exp z_exp
    albedo T = tex_mean + B_tex tex
    pose   p' = p R + trans                          R = (Rz Ry Rx)^T, points as rows

After the linear model, the eyelids of the open face model are closed over the eyeballs, see
:mod:`anifacegan.face_model.lids`.

Lengths are in model units, see :mod:`anifacegan.geometry.conventions`. The class holds either of two face models: the
open one (:mod:`anifacegan.face_model.open_model`) or the Basel face model (:mod:`anifacegan.face_model.bfm`).
"""

from dataclasses import dataclass, fields
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from anifacegan.face_model.lids import Eye, place_lids
from anifacegan.geometry.cameras import euler_rotation
from anifacegan.geometry.conventions import WORLD_PER_MODEL_UNIT
from anifacegan.geometry.normals import vertex_normals

OPEN_FACE_WORLD_OFFSET = (0.0, 0.0, 0.0)
"""Position of the open face model's origin, world units."""
BFM_WORLD_OFFSET = (0.0, 0.0, -0.027)
"""Position of BFM's origin, world units; with it, BFM's face coincides with that of the open face model (estimated)."""

ALIGNMENT_LANDMARKS = ((36, 39), (42, 45), (30,), (48,), (54,))
"""Indices of the landmarks over which each of Deep3DFaceRecon's five alignment points is a mean: two eyes, nose tip,
two mouth corners."""


@dataclass(frozen=True)
class FaceBases:
    """Means, bases and mesh of a morphable model."""

    name: str
    """Name of the face model, as coefficient files and model cards hold it."""
    mean: Float[Tensor, "vertex 3"]
    """Mean face, model units."""
    id_basis: Float[Tensor, "vertex 3 id_dim"]
    """Displacement of each vertex by each identity coefficient, model units."""
    exp_basis: Float[Tensor, "vertex 3 exp_dim"]
    """Displacement of each vertex by each expression coefficient, model units."""
    tex_mean: Float[Tensor, "vertex 3"]
    """Mean colour of the vertices, RGB in [0, 1]."""
    tex_basis: Float[Tensor, "vertex 3 tex_dim"]
    """Change of each vertex's RGB colour by each texture coefficient."""
    triangles: Int[Tensor, "triangle 3"]
    """Vertex indices of the corners of each triangle, counter-clockwise seen from outside."""
    landmark_vertices: Int[Tensor, "68"]
    """Vertex indices of the 68 landmarks in iBUG order."""
    world_offset: tuple[float, float, float]
    """Position of the face model's origin, world units."""
    eyes: tuple[Eye, ...] = ()
    """Eyeballs that are separate from the skin, and their lids; none for BFM."""
    normal_weighting: Literal["area", "equal"] = "area"
    """Weights of the triangles around a vertex in its normal: their areas, or equal ones as in Deep3DFaceRecon."""


class MorphableModel(nn.Module):
    """A 3D morphable model: shape is a mean plus identity and expression bases, linear in the coefficients.

    Then vertices of the eyelids are turned about the eyeballs so that closed lids meet, which is not linear. All is
    differentiable, and nothing is learned. Shapes and units of the tensors are those of :class:`FaceBases`.
    """

    mean: Tensor
    id_basis: Tensor
    exp_basis: Tensor
    tex_mean: Tensor
    tex_basis: Tensor
    triangles: Tensor
    landmark_vertices: Tensor
    alignment_weights: Tensor
    world_offset: Tensor

    def __init__(self, bases: FaceBases) -> None:
        super().__init__()
        self.name = bases.name
        self.normal_weighting, self.eyes = bases.normal_weighting, bases.eyes
        for field in fields(bases):
            value = getattr(bases, field.name)
            if isinstance(value, Tensor):
                self.register_buffer(field.name, value)
        self.register_buffer("alignment_weights", alignment_weights().to(bases.mean))
        self.register_buffer("world_offset", bases.mean.new_tensor(bases.world_offset))

    def shape(
        self, z_id: Float[Tensor, "batch id_dim"], z_exp: Float[Tensor, "batch exp_dim"]
    ) -> Float[Tensor, "batch vertex 3"]:
        """Compute the vertices of faces before posing, model units; a zero expression is the neutral face."""
        offset = _expand(self.id_basis, z_id) + _expand(self.exp_basis, z_exp)
        return place_lids(self.mean + offset, z_exp, self.eyes)

    def albedo(self, tex: Float[Tensor, "batch tex_dim"]) -> Float[Tensor, "batch vertex 3"]:
        """Compute the RGB albedo of the vertices from texture coefficients, not clamped to [0, 1]."""
        return self.tex_mean + _expand(self.tex_basis, tex)

    def normals(self, vertices: Float[Tensor, "batch vertex 3"]) -> Float[Tensor, "batch vertex 3"]:
        """Compute the outward unit normals of the vertices."""
        return vertex_normals(vertices, self.triangles, equal=self.normal_weighting == "equal")

    def landmarks(self, vertices: Float[Tensor, "batch vertex 3"]) -> Float[Tensor, "batch 68 3"]:
        """Select the 68 landmarks among the vertices, in iBUG order: the jaw starts at the image's left, at -x."""
        return vertices[:, self.landmark_vertices]

    def alignment_points(self, vertices: Float[Tensor, "batch vertex 3"]) -> Float[Tensor, "batch 5 3"]:
        """Compute Deep3DFaceRecon's five alignment points: eyes at -x and +x, nose tip, mouth corners at -x and +x."""
        return self.alignment_weights @ self.landmarks(vertices)

    def to_world(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Convert points from model units to world units."""
        return WORLD_PER_MODEL_UNIT * points + self.world_offset

    def pose(
        self,
        points: Float[Tensor, "batch point 3"],
        angle: Float[Tensor, "batch 3"],
        trans: Float[Tensor, "batch 3"],
    ) -> Float[Tensor, "batch point 3"]:
        """Pose points as Deep3DFaceRecon does: rotate about the origin, then translate, model units.

        ``angle`` has the columns pitch, yaw and roll, radians.
        """
        return points @ euler_rotation(angle) + trans[:, None]


def _expand(
    basis: Float[Tensor, "vertex 3 dim"], coefficients: Float[Tensor, "batch dim"]
) -> Float[Tensor, "batch vertex 3"]:
    flat = coefficients @ basis.reshape(-1, basis.shape[-1]).T  # (B, 3V): one matrix product
    return flat.reshape(-1, *basis.shape[:2])


def alignment_weights() -> Float[Tensor, "5 68"]:
    """Return the weights of the 68 landmarks in each of Deep3DFaceRecon's five alignment points; each row sums to 1."""
    weights = torch.zeros(len(ALIGNMENT_LANDMARKS), 68)
    for point, landmarks in enumerate(ALIGNMENT_LANDMARKS):
        weights[point, list(landmarks)] = 1 / len(landmarks)
    return weights
