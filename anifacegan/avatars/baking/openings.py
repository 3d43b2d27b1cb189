"""Triangles that span an opening, such as an open mouth: which part of their layer they must show.

With the mouth open, a frontal camera looks through the opening, at parts of the layer far behind the triangles that
span it. So each of these triangles gets three corners that it shares with no other triangle. The texture coordinates of
these corners change with the expression.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from anifacegan.avatars.baking.charts import evaluate_in_slices
from anifacegan.avatars.baking.inverse_warp import Condition
from anifacegan.avatars.baking.layers import LayerMesh
from anifacegan.models.generator import ConditionedFields

SEARCH_START, SEARCH_END, SEARCH_STEP = -0.01, 0.05, 0.001
"""A manifold is searched for along the view direction, at distances from SEARCH_START to SEARCH_END behind a triangle,
in steps of SEARCH_STEP; world units."""
TOWARDS_CENTRE = 0.8
"""What a triangle must show is evaluated at three points inside the triangle, because its corners lie on the rims of
the opening. The points are this share of the way from each corner to the triangle's centre."""

TexelsOf = Callable[[Int[np.ndarray, "point"], Float[np.ndarray, "point 3"]], Float[np.ndarray, "point 2"]]
"""Takes layer indices and template points; returns texture coordinates, see :meth:`Layers.texels`."""


def visible_template_points(
    fields: ConditionedFields, x: Float[Tensor, "point 3"], level: Int[Tensor, "point"]
) -> tuple[Float[Tensor, "point 3"], Bool[Tensor, "point"]]:
    """Find the point of a given manifold that a frontal camera sees through or near each point x of the deformed face.

    Args:
        fields: fields of a person with an expression.
        x: points of the deformed face, world units.
        level: index of the manifold of each point.

    Returns:
        The points that the camera sees, moved to the face without deformation, world units; and whether there is such a
        point on the camera's ray through each x, near x.
    """
    direction = torch.nn.functional.normalize(x - x.new_tensor([0.0, 0.0, 1.0]), dim=-1)
    t = torch.arange(SEARCH_START, SEARCH_END, SEARCH_STEP, device=x.device)
    along = x[:, None] + t[:, None] * direction[:, None]  # (P, K, 3)
    template = along + evaluate_in_slices(fields.offset, along)
    s = evaluate_in_slices(fields.scalar, template) - fields.levels[level][:, None]
    falls = (s[:, :-1] >= 0) & (s[:, 1:] < 0)
    k, point = falls.to(torch.uint8).argmax(1), torch.arange(len(x), device=x.device)
    share = s[point, k] / (s[point, k] - s[point, k + 1])
    return torch.lerp(template[point, k], template[point, k + 1], share[:, None]), falls.any(1)


@dataclass(frozen=True)
class OpeningTriangles:
    """Triangles of a mesh that span an opening, such as an open mouth, at some stored strength of an expression.

    Each expression is stored at equally spaced strengths up to 1, the in-between shapes (dimension ``inbetween``).
    """

    triangles: Int[np.ndarray, "spanning"]
    """Index of each spanning triangle in the list of all triangles of the mesh."""
    is_spanning: Bool[np.ndarray, "shape inbetween spanning"]
    """Whether each of ``triangles`` spans an opening at each stored strength of each expression."""
    level: Int[np.ndarray, "spanning"]
    """Index of the layer of each of ``triangles``."""
    corners: Int[np.ndarray, "spanning 3"]
    """Vertex indices of the corners of each of ``triangles``."""
    texels: Float[np.ndarray, "spanning 3 2"]
    """Texture coordinates (column, row) of the corners with a neutral face, texels."""
    neutral: Float[np.ndarray, "spanning 3 3"]
    """Positions of the corners with a neutral face, world units."""
    blendshapes: Float[np.ndarray, "shape inbetween spanning 3 3"]
    """Offsets of the corners from their neutral positions at each stored strength of each expression, world units."""

    @staticmethod
    def of(
        mesh: LayerMesh,
        neutral: Float[np.ndarray, "vertex 3"],
        blendshapes: Float[np.ndarray, "shape inbetween vertex 3"],
        is_spanning: Bool[np.ndarray, "shape inbetween triangle"],
    ) -> "OpeningTriangles":
        """Select the triangles of a mesh that span an opening at any stored strength (``inbetween``) of any expression.

        Args:
            mesh: mesh of all layers.
            neutral: positions of the mesh's vertices with a neutral face, world units.
            blendshapes: offsets of the mesh's vertices from ``neutral``, world units.
            is_spanning: whether each triangle spans an opening at each stored strength of each expression.
        """
        triangles = np.flatnonzero(is_spanning.any((0, 1)))
        corners = mesh.triangles[triangles]
        return OpeningTriangles(
            triangles=triangles,
            is_spanning=is_spanning[:, :, triangles],
            level=mesh.level(triangles),
            corners=corners,
            texels=mesh.texels[corners],
            neutral=neutral[corners],
            blendshapes=blendshapes[:, :, corners],
        )

    def separated(self, mesh: LayerMesh) -> LayerMesh:
        """Return the mesh with added vertices at its end: three for each triangle that spans an opening.

        The triangle has these vertices as its corners, and shares them with no other triangle.
        """
        own = self.corners.ravel()
        triangles = mesh.triangles.copy()
        triangles[self.triangles] = len(mesh.x_template) + np.arange(own.size, dtype=np.int32).reshape(-1, 3)
        return dataclasses.replace(
            mesh,
            x_template=np.concatenate([mesh.x_template, mesh.x_template[own]]),
            texels=np.concatenate([mesh.texels, mesh.texels[own]]),
            triangles=triangles,
            place=np.concatenate([mesh.place, mesh.place[own]]),
        )

    def offsets(
        self,
        condition: Condition,
        inbetween_z_exp: Float[np.ndarray, "shape inbetween 64"],
        texels_of: TexelsOf,
    ) -> tuple[Float[np.ndarray, "shape inbetween corner 3"], Float[np.ndarray, "shape inbetween corner 2"]]:
        """Compute how the corners of the spanning triangles change at each stored strength of each expression.

        Returns the offsets of their positions (world units) and of their texture coordinates (texels). Where a triangle
        spans an opening, a frontal camera looks through the triangle. If the camera sees the triangle's layer, the
        corners get the texture coordinates of the visible part of the layer. If not, all three corners move to the
        triangle's centre.

        Args:
            condition: function from expression coefficients to the fields of one person with this expression.
            inbetween_z_exp: expression coefficients at each stored strength.
            texels_of: function from layer indices and points of the face without deformation to texture coordinates.
        """
        shape = self.is_spanning.shape[:2]
        x_offsets = self.blendshapes.copy()
        texel_offsets = np.zeros((*x_offsets.shape[:-1], 2), np.float32)
        for place in np.ndindex(*shape):
            here = np.flatnonzero(self.is_spanning[place])
            x = self.neutral[here] + self.blendshapes[place][here]  # (T', 3 corners, 3)
            centre = x.mean(1, keepdims=True)
            texels, visible = self._visible_texels(
                condition(inbetween_z_exp[place]), here, x + TOWARDS_CENTRE * (centre - x), texels_of
            )
            texel_offsets[place][here[visible]] = (texels - self.texels[here])[visible]
            gone = here[~visible]
            x_offsets[place][gone] = (centre - self.neutral[here])[~visible]
            if place[1] > 0:  # while it shrinks, it shows what it showed before
                texel_offsets[place][gone] = texel_offsets[place[0], place[1] - 1][gone]
        corners = self.corners.size
        return x_offsets.reshape(*shape, corners, 3), texel_offsets.reshape(*shape, corners, 2)

    def _visible_texels(
        self,
        fields: ConditionedFields,
        here: Int[np.ndarray, "some"],
        x: Float[np.ndarray, "some 3 3"],
        texels_of: TexelsOf,
    ) -> tuple[Float[np.ndarray, "some 3 2"], Bool[np.ndarray, "some"]]:
        """Return the texture coordinates of what is visible at three target points x in each of the triangles ``here``.

        Also returns whether something is visible at all three points of a triangle.
        """
        points = torch.from_numpy(x.reshape(-1, 3)).to(fields.levels.device)
        level = np.repeat(self.level[here], 3)
        x_template, found = visible_template_points(fields, points, torch.from_numpy(level).to(points.device))
        texels = texels_of(level, x_template.cpu().numpy()).reshape(-1, 3, 2)
        return texels, found.cpu().numpy().reshape(-1, 3).all(1)
