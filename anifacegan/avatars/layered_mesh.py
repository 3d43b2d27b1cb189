"""A layered mesh: one person as textured layers that blendshapes deform; it is drawn without any network.

A layer is the visible part of one radiance manifold: a triangle mesh with a texture of colours premultiplied by
opacity. The layer's vertices are stored for the neutral face; an expression adds a weighted sum of blendshapes. Each
blendshape belongs to one baked expression. The weights are chosen so that the weighted sum of the baked expressions'
coefficients is nearest (least squares) to the coefficients of the wanted expression.

Eyelids and lips do not move along straight lines. A blendshape therefore consists of several in-between shapes, at
equally spaced weights up to 1, and is linear only between two of them. Triangles that span an open mouth also have
texture coordinates that change, because they show another part of the layer at each in-between shape. A blendshape may
also have shades: skin that an expression turns or folds becomes lighter or darker.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from anifacegan.avatars.clear_triangles import mark_clear
from anifacegan.geometry.cameras import from_frontal
from anifacegan.geometry.config import RaySamplingConfig

LEAST_SINGULAR = 1e-5
"""Share of the largest singular value of the baked expressions' coefficients below which one counts as 0: coefficients
are float32, so mixtures of others differ from these by 1e-7."""
LARGEST_SHADE = 1.5
"""Largest change of the logarithm of a colour by expressions, also where they are extrapolated: a factor of 4.5."""


def at_stored_strengths(
    z_exp: Float[np.ndarray, "shape 64"], inbetweens: int
) -> Float[np.ndarray, "shape inbetween 64"]:
    """Return the coefficients of expressions at the strengths of their in-between shapes: 1/P, 2/P, ..., 1."""
    strengths = np.arange(1, inbetweens + 1, dtype=np.float32) / inbetweens
    return z_exp[:, None] * strengths[:, None]


@dataclass(frozen=True, eq=False)
class LayeredMesh:
    """A baked person: one textured triangle mesh for each radiance manifold (a layer), and blendshapes of all layers.

    Points are in target space, world units. Target space holds the face with its expression; only the camera turns.
    """

    vertices: Float[np.ndarray, "vertex 3"]
    """Positions of the vertices of all layers with a neutral face."""
    texels: Float[np.ndarray, "vertex 2"]
    """Texture coordinates (column, row) of the vertices, in texels; they are whole numbers at the centres of texels."""
    triangles: Int[np.ndarray, "triangle 3"]
    """Vertex indices of the triangles, layer by layer from the outermost to the innermost."""
    layer_starts: Int[np.ndarray, "layer_and_one"]
    """Index of the first triangle of each layer; the last entry is the number of triangles."""
    textures: UInt8[np.ndarray, "layer texture_height texture_width 4"]
    """Texture of each layer: colour premultiplied by opacity, and opacity; 255 stands for 1."""
    background: UInt8[np.ndarray, "background_side background_side 3"]
    """Background image, on the plane z = ray_sampling.background_z. The first row is at the top; the centres of the
    corner texels are at x and y = -background_reach and background_reach."""
    background_reach: float
    """Half the side of the background image, world units; outside of the image its outermost texels are repeated."""
    blendshapes: Float[np.ndarray, "shape inbetween vertex 3"]
    """Offsets of the vertices from their neutral positions at P strengths of each baked expression, the in-between
    shapes; these belong to the blendshape weights 1/P, 2/P, ..., 1."""
    texel_offsets: Float[np.ndarray, "shape inbetween moving 2"]
    """Offsets of the texture coordinates of the last vertices (as many as the dimension ``moving`` says) at the stored
    strengths of each expression, in texels. The texture coordinates of all other vertices are fixed."""
    z_exp: Float[np.ndarray, "shape 64"]
    """Expression coefficients of each blendshape at weight 1."""
    ray_sampling: RaySamplingConfig
    """Ray sampling of the model: field of view, nearest and farthest point of a ray, background plane."""
    widest_rad: float
    """Largest angle from the frontal view that can be drawn, radians; parts that only wider views see are left out."""
    shades: Float[np.ndarray, "shape inbetween vertex"] | None = None
    """Logarithm of the factor on the colours at each vertex at the stored strengths of each expression. None: no
    expression changes a colour."""

    @cached_property
    def _to_weights(self) -> Float[np.ndarray, "64 shape"]:
        inverse = np.linalg.pinv(self.z_exp.astype(np.float64), rcond=LEAST_SINGULAR)
        return inverse.astype(np.float32)

    @cached_property
    def is_clear(self) -> Bool[np.ndarray, "triangle"]:
        """Whether each triangle is transparent everywhere with every expression: it can only hide others."""
        moving = len(self.texels) - self.texel_offsets.shape[2]
        found = np.empty(len(self.triangles), np.bool_)
        mark_clear(self.triangles, self.texels, self.layer_starts, self.textures, moving, found)
        return found

    def weights(self, z_exp: Float[np.ndarray, "*batch 64"]) -> Float[np.ndarray, "*batch shape"]:
        """Compute the blendshape weights that come nearest to the given expression coefficients (least squares)."""
        return z_exp @ self._to_weights

    def inbetween_weights(
        self, z_exp: Float[np.ndarray, "*batch 64"]
    ) -> tuple[Float[np.ndarray, "*batch shape inbetween"], Float[np.ndarray, "*batch shape inbetween"]]:
        """Return, for an expression, the weight of each shape in ``blendshapes``, and that of each in
        ``texel_offsets``.

        Each expression has several shapes (dimension ``inbetween``), at equally spaced strengths up to 1. For a
        strength below 0 or above 1 the vertices are extrapolated by the last shape, but the texture coordinates stay
        where they are at strength 0 or 1.
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
        """Compute |z - z'| / |z| for the coefficients z of an expression, 0 for z = 0.

        z' are the nearest coefficients that linear combinations of the blendshapes' coefficients can make.
        """
        length = float(np.linalg.norm(z_exp))
        if length == 0:
            return 0.0
        return float(np.linalg.norm(z_exp - self.weights(z_exp) @ self.z_exp)) / length

    def was_baked_for(self, z_exp: Float[np.ndarray, "64"], *, yaw: float, pitch: float) -> bool:
        """Return whether the mesh was baked for an expression and a view; ``yaw`` and ``pitch`` are radians from
        frontal.

        This needs blendshape weights in [0, 1], a small approximation error, and a view within ``widest_rad``.
        """
        weights = self.weights(z_exp)
        return bool(
            len(weights)
            and self.approximation_error(z_exp) < 0.01
            and ((weights > -0.01) & (weights < 1.01)).all()
            and from_frontal(yaw=yaw, pitch=pitch) <= self.widest_rad
        )

    @property
    def neutral(self) -> "Pose":
        """Positions and texture coordinates of the vertices with a neutral face."""
        return Pose(self.vertices, self.texels)

    def at_inbetween(self, shape: int, inbetween: int) -> "Pose":
        """Return the positions and texture coordinates of the vertices at one of the stored strengths of an expression.

        ``shape`` is the index of the expression's blendshape, and ``inbetween`` that of the strength: 0 is the weakest,
        -1 the full expression.
        """
        texels = self.texels.copy()
        self._moving(texels)[:] += self.texel_offsets[shape, inbetween]
        return Pose(self.vertices + self.blendshapes[shape, inbetween], texels)

    def _moving(self, texels: Float[np.ndarray, "vertex 2"]) -> Float[np.ndarray, "moving 2"]:
        """Return a view of the last rows of ``texels``, to which ``texel_offsets`` are added."""
        return texels[len(texels) - self.texel_offsets.shape[2] :]

    def posed(self, z_exp: Float[np.ndarray, "64"]) -> "Pose":
        """Return the positions and texture coordinates of the vertices with the expression of the coefficients
        ``z_exp``.
        """
        vertex_weights, texel_weights = self.inbetween_weights(z_exp)
        vertices, texels = self.vertices.copy(), self.texels.copy()
        for index in zip(*vertex_weights.nonzero(), strict=True):
            vertices += vertex_weights[index] * self.blendshapes[index]
        for index in zip(*texel_weights.nonzero(), strict=True):
            self._moving(texels)[:] += texel_weights[index] * self.texel_offsets[index]
        return Pose(vertices, texels, self._factors(vertex_weights))

    def _factors(self, weights: Float[np.ndarray, "shape inbetween"]) -> Float[np.ndarray, "vertex"] | None:
        """Return the factors on the colours at the vertices, for the weights of all in-between shapes."""
        if self.shades is None:
            return None
        shade = np.zeros(self.shades.shape[2], np.float32)
        for index in zip(*weights.nonzero(), strict=True):
            shade += weights[index] * self.shades[index]
        return np.exp(shade.clip(-LARGEST_SHADE, LARGEST_SHADE))


@dataclass(frozen=True)
class Pose:
    """Positions and texture coordinates of a layered mesh's vertices with some expression."""

    vertices: Float[np.ndarray, "vertex 3"]
    """Positions of the vertices in target space, world units."""
    texels: Float[np.ndarray, "vertex 2"]
    """Texture coordinates of the vertices, see :class:`LayeredMesh`."""
    factors: Float[np.ndarray, "vertex"] | None = None
    """Factors on the colours at the vertices; between them they are interpolated as texture coordinates are, and no
    colour becomes lighter than white. None: 1 everywhere."""
