"""A parametric face: coefficients to vertices, colours, normals, landmarks; and the files that hold one.

    shape  S = mean + B_id z_id + B_exp z_exp        (method, section 3)
    albedo T = tex_mean + B_tex tex
    pose   p' = p R + trans                          R = (Rz Ry Rx)^T, points as rows

Everything is in **model units**, those of Deep3DFaceRecon: the face lies within about +-1, y is up, z points
to the camera. World units are ``0.1 * model + world_offset``. Two files load into the same class: the open
face model, built from CC0 data by scripts/build_face_model.py, and the user's own ``BFM_model_front.mat``.
"""

from dataclasses import dataclass, fields
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from anifacegan.geometry.cameras import euler_rotation
from anifacegan.geometry.normals import vertex_normals

WORLD_PER_MODEL_UNIT = 0.1
OPEN_FACE_WORLD_OFFSET = (0.0, 0.0, 0.0)
BFM_WORLD_OFFSET = (0.0, 0.0, -0.027)
"""Puts BFM's face where the open model's is; its origin lies about 0.27 further back (estimated)."""

ALIGNMENT_LANDMARKS = ((36, 39), (42, 45), (30,), (48,), (54,))
"""Landmarks whose means are Deep3DFaceRecon's 5 alignment points: two eyes, nose tip, two mouth corners."""


@dataclass(frozen=True)
class FaceBases:
    """What a morphable model is made of; see :class:`MorphableModel`."""

    name: str
    mean: Float[Tensor, "vertex 3"]
    id_basis: Float[Tensor, "vertex 3 id_dim"]
    exp_basis: Float[Tensor, "vertex 3 exp_dim"]
    tex_mean: Float[Tensor, "vertex 3"]
    """RGB in [0, 1]."""
    tex_basis: Float[Tensor, "vertex 3 tex_dim"]
    triangles: Int[Tensor, "triangle 3"]
    """Counter-clockwise seen from outside."""
    landmark_vertices: Int[Tensor, "68"]
    world_offset: tuple[float, float, float]
    normal_weighting: Literal["area", "equal"] = "area"
    """How the triangles around a vertex share in its normal: by area, or equally as Deep3DFaceRecon's do."""


class MorphableModel(nn.Module):
    """A linear face model, differentiable in its coefficients. It has buffers only and nothing to train."""

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
        self.normal_weighting = bases.normal_weighting
        for field in fields(bases):
            value = getattr(bases, field.name)
            if isinstance(value, Tensor):
                self.register_buffer(field.name, value)
        self.register_buffer("alignment_weights", alignment_weights().to(bases.mean))
        self.register_buffer("world_offset", bases.mean.new_tensor(bases.world_offset))

    def shape(
        self, z_id: Float[Tensor, "batch id_dim"], z_exp: Float[Tensor, "batch exp_dim"]
    ) -> Float[Tensor, "batch vertex 3"]:
        """Unposed vertices in model units; zero expression is the neutral face."""
        offset = _expand(self.id_basis, z_id) + _expand(self.exp_basis, z_exp)
        return self.mean + offset

    def albedo(self, tex: Float[Tensor, "batch tex_dim"]) -> Float[Tensor, "batch vertex 3"]:
        """Colours of the vertices, 1 is white. Large coefficients leave [0, 1]: clamp before drawing."""
        return self.tex_mean + _expand(self.tex_basis, tex)

    def normals(self, vertices: Float[Tensor, "batch vertex 3"]) -> Float[Tensor, "batch vertex 3"]:
        """Unit normals pointing outward: the mean of the normals of the triangles around each vertex."""
        return vertex_normals(vertices, self.triangles, equal=self.normal_weighting == "equal")

    def landmarks(self, vertices: Float[Tensor, "batch vertex 3"]) -> Float[Tensor, "batch 68 3"]:
        """The 68 landmarks (iBUG order: the first of the jaw is at the viewer's left, at -x)."""
        return vertices[:, self.landmark_vertices]

    def alignment_points(self, vertices: Float[Tensor, "batch vertex 3"]) -> Float[Tensor, "batch 5 3"]:
        """Deep3DFaceRecon's five: eye at -x, eye at +x, nose tip, mouth corner at -x, mouth corner at +x."""
        return self.alignment_weights @ self.landmarks(vertices)

    def to_world(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Model units to world units."""
        return WORLD_PER_MODEL_UNIT * points + self.world_offset

    def pose(
        self,
        points: Float[Tensor, "batch point 3"],
        angle: Float[Tensor, "batch 3"],
        trans: Float[Tensor, "batch 3"],
    ) -> Float[Tensor, "batch point 3"]:
        """Deep3DFaceRecon's pose in model units: rotate by (pitch, yaw, roll) about the origin, then move."""
        return points @ euler_rotation(angle) + trans[:, None]


def _expand(
    basis: Float[Tensor, "vertex 3 dim"], coefficients: Float[Tensor, "batch dim"]
) -> Float[Tensor, "batch vertex 3"]:
    flat = coefficients @ basis.reshape(-1, basis.shape[-1]).T  # (B, 3V): one matrix product
    return flat.reshape(-1, *basis.shape[:2])


def alignment_weights() -> Float[Tensor, "5 68"]:
    """Weights of the landmarks in the alignment points."""
    weights = torch.zeros(len(ALIGNMENT_LANDMARKS), 68)
    for point, landmarks in enumerate(ALIGNMENT_LANDMARKS):
        weights[point, list(landmarks)] = 1 / len(landmarks)
    return weights
