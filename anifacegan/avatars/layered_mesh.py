"""A layered mesh: one person as textured layers that blendshapes deform; it is drawn without any network.

A layer is the visible part of one radiance manifold: a triangle mesh with a texture of colours premultiplied by
opacity. Its vertices are stored for the neutral face; an expression adds a weighted sum of blendshapes. The weights
are the least-squares solution for the expression's coefficients in terms of the blendshapes' own coefficients.

Eyelids and lips do not move along straight lines, so a blendshape has several in-between shapes at equally spaced
weights up to 1, between which it is linear. Triangles that span an open mouth also move on their texture, since they
show another part of the layer at each in-between shape.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int, UInt8

from anifacegan.geometry.cameras import from_frontal
from anifacegan.geometry.rays import RaySamplingConfig


@dataclass(frozen=True)
class LayeredMesh:
    """The baked geometry and textures of one person. Points are in target space, world units."""

    vertices: Float[np.ndarray, "vertex 3"]
    """Vertices of all layers with a neutral face."""
    texels: Float[np.ndarray, "vertex 2"]
    """Texture coordinates of the vertices in texels: column and row, whole numbers at the texels' centres."""
    triangles: Int[np.ndarray, "triangle 3"]
    """Vertex indices of the triangles, layer by layer from the outermost to the innermost."""
    layer_starts: Int[np.ndarray, "layer_and_one"]
    """Index of the first triangle of each layer; the last entry is the number of triangles."""
    textures: UInt8[np.ndarray, "layer texture_height texture_width 4"]
    """Colour premultiplied by opacity, and opacity; 255 stands for 1."""
    background: UInt8[np.ndarray, "background_side background_side 3"]
    """Image on the plane z = ray_sampling.background_z. Its first row is at the top; the centres of its corner texels
    are at x and y = -background_reach and background_reach."""
    background_reach: float
    """Half the side of the background image, world units; beyond it the outermost texels are repeated."""
    blendshapes: Float[np.ndarray, "shape inbetween vertex 3"]
    """Offsets of the vertices at the weights 1/P, 2/P, ..., 1 of the P in-between shapes of each blendshape."""
    texel_offsets: Float[np.ndarray, "shape inbetween moving 2"]
    """Offsets of the texture coordinates of the last ``moving`` vertices, in texels; the other vertices have none."""
    z_exp: Float[np.ndarray, "shape 64"]
    """Expression coefficients of each blendshape at weight 1."""
    ray_sampling: RaySamplingConfig
    """Ray sampling of the model: field of view, nearest and farthest point of a ray, background plane."""
    widest_rad: float
    """Largest angle between a view and the frontal view, radians; what only wider views would see is left out."""

    @cached_property
    def _to_weights(self) -> Float[np.ndarray, "64 shape"]:
        return np.linalg.pinv(self.z_exp.astype(np.float64)).astype(np.float32)

    def weights(self, z_exp: Float[np.ndarray, "*batch 64"]) -> Float[np.ndarray, "*batch shape"]:
        """Compute the blendshape weights whose expression is nearest to the given coefficients."""
        return z_exp @ self._to_weights

    def inbetween_weights(
        self, z_exp: Float[np.ndarray, "*batch 64"]
    ) -> tuple[Float[np.ndarray, "*batch shape inbetween"], Float[np.ndarray, "*batch shape inbetween"]]:
        """Compute the weights of all in-between shapes for an expression: of ``blendshapes``, and of
        ``texel_offsets``.

        For blendshape weights below 0 or above 1 the last in-between shape is extrapolated, and texture coordinates
        stay at their end point.
        """
        weights = self.weights(z_exp)[..., None]
        count = self.blendshapes.shape[1]
        inbetween = np.arange(count, dtype=weights.dtype)
        position = weights.clip(0, 1) * count  # 1 at the first in-between shape
        segment = np.floor(position).clip(max=count - 1)
        upper = np.where(inbetween == segment, position - segment, 0)
        lower = np.where(inbetween == segment - 1, 1 - position + segment, 0)
        interpolated = upper + lower
        outside = (weights < 0) | (weights > 1)
        extrapolated = np.where(outside, weights * (inbetween == count - 1), interpolated)
        return extrapolated, interpolated

    def approximation_error(self, z_exp: Float[np.ndarray, "64"]) -> float:
        """Compute |z - z'| / |z| of an expression z and the nearest one z' that the blendshapes make; 0 for z = 0."""
        length = float(np.linalg.norm(z_exp))
        if length == 0:
            return 0.0
        return float(np.linalg.norm(z_exp - self.weights(z_exp) @ self.z_exp)) / length

    def was_baked_for(self, z_exp: Float[np.ndarray, "64"], *, yaw: float, pitch: float) -> bool:
        """Tell whether all blendshape weights of an expression are in [0, 1] and a view is within ``widest_rad``."""
        weights = self.weights(z_exp)
        return bool(
            len(weights)
            and self.approximation_error(z_exp) < 0.01
            and ((weights > -0.01) & (weights < 1.01)).all()
            and from_frontal(yaw=yaw, pitch=pitch) <= self.widest_rad
        )

    @property
    def neutral(self) -> "Pose":
        """The vertices with a neutral face."""
        return Pose(self.vertices, self.texels)

    def at_inbetween(self, shape: int, inbetween: int) -> "Pose":
        """Place the vertices at one in-between shape of one blendshape."""
        texels = self.texels.copy()
        self._moving(texels)[:] += self.texel_offsets[shape, inbetween]
        return Pose(self.vertices + self.blendshapes[shape, inbetween], texels)

    def _moving(self, texels: Float[np.ndarray, "vertex 2"]) -> Float[np.ndarray, "moving 2"]:
        """View of the rows that ``texel_offsets`` are added to."""
        return texels[len(texels) - self.texel_offsets.shape[2] :]

    def posed(self, z_exp: Float[np.ndarray, "64"]) -> "Pose":
        """Place the vertices for an expression."""
        vertex_weights, texel_weights = self.inbetween_weights(z_exp)
        vertices, texels = self.vertices.copy(), self.texels.copy()
        for index in zip(*vertex_weights.nonzero(), strict=True):
            vertices += vertex_weights[index] * self.blendshapes[index]
        for index in zip(*texel_weights.nonzero(), strict=True):
            self._moving(texels)[:] += texel_weights[index] * self.texel_offsets[index]
        return Pose(vertices, texels)


@dataclass(frozen=True)
class Pose:
    """Vertices of a layered mesh with some expression."""

    vertices: Float[np.ndarray, "vertex 3"]
    """Target space, world units."""
    texels: Float[np.ndarray, "vertex 2"]
    """Texture coordinates, see :class:`LayeredMesh`."""
