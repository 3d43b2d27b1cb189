"""A layered avatar: one person as textured sheets, which an expression bends. It knows no network.

Each sheet is a part of a radiance manifold: a texture of colours premultiplied by their opacity, on a mesh. The mesh is
given where the points of the neutral person are; an expression moves its vertices by the sum of what blendshapes do at
their weights. The weights come from the expression's coefficients: they are those of the sum of the blendshapes' own
coefficients that is nearest to it.

Lids and lips follow no straight line. So a blendshape has in-between shapes on its way from 0 to 1, and between them lines. Some
vertices move on their texture, too: those of triangles that span an open mouth, which show something else at each.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int, UInt8

from anifacegan.geometry.cameras import from_frontal
from anifacegan.geometry.rays import RaySamplingConfig


@dataclass(frozen=True)
class LayeredMesh:
    """One person, ready to be played. Points are in target space, world units."""

    vertices: Float[np.ndarray, "vertex 3"]
    """Of all sheets, with a neutral face."""
    texels: Float[np.ndarray, "vertex 2"]
    """Where the vertices are on their sheet's texture: column and row, integers at the texels' centres."""
    triangles: Int[np.ndarray, "triangle 3"]
    """Vertices of the triangles, sheet by sheet from the outermost to the innermost."""
    starts: Int[np.ndarray, "layer_and_one"]
    """The first triangle of each sheet, and their number at the end."""
    textures: UInt8[np.ndarray, "layer texture_height texture_width 4"]
    """Colour, premultiplied, and opacity; 255 is 1."""
    background: UInt8[np.ndarray, "background_side background_side 3"]
    """On the plane z = march.background_z; the first row is at the top, centres of the corner texels at its corners."""
    background_reach: float
    """The background covers x and y from minus to plus this, world units; beyond, its edge is repeated."""
    blendshapes: Float[np.ndarray, "shape in-between shape vertex 3"]
    """Steps of the vertices at weights 1/P, 2/P, ... 1, of P in-between shapes."""
    texel_steps: Float[np.ndarray, "shape in-between shape gliding 2"]
    """On their texture, of the last of the vertices; all others stay where they are."""
    latents: Float[np.ndarray, "shape 64"]
    """Expression coefficients at weight 1."""
    ray_sampling: RaySamplingConfig
    """Of the model: field of view, the nearest and farthest point of a ray, the background plane."""
    widest_rad: float
    """How far from frontal a view may be: parts that only wider views see are left out."""

    @cached_property
    def _to_weights(self) -> Float[np.ndarray, "64 shape"]:
        return np.linalg.pinv(self.latents.astype(np.float64)).astype(np.float32)

    def weights(self, z_exp: Float[np.ndarray, "*batch 64"]) -> Float[np.ndarray, "*batch shape"]:
        """Of the blendshapes, for the nearest expressions that they can make."""
        return z_exp @ self._to_weights

    def shares(
        self, z_exp: Float[np.ndarray, "*batch 64"]
    ) -> tuple[
        Float[np.ndarray, "*batch shape in-between shape"], Float[np.ndarray, "*batch shape in-between shape"]
    ]:
        """How much of the steps at each in-between shape makes an expression: of the vertices' and of the texels'.

        Beyond 0 and 1 vertices go on with the last in-between shape's step alone, and texels stay.
        """
        weights = self.weights(z_exp)[..., None]
        inbetweens = self.blendshapes.shape[1]
        inbetween = np.arange(inbetweens, dtype=weights.dtype)
        way = weights.clip(0, 1) * inbetweens  # 1 at the first in-between shape
        line = np.floor(way).clip(max=inbetweens - 1)
        inside = np.where(inbetween == line, way - line, 0) + np.where(
            inbetween == line - 1, 1 - way + line, 0
        )
        beyond = (weights < 0) | (weights > 1)
        return np.where(beyond, weights * (inbetween == inbetweens - 1), inside), inside

    def missed(self, z_exp: Float[np.ndarray, "64"]) -> float:
        """Share of an expression, by the length of its coefficients, that no blendshapes make; 0 for the neutral."""
        length = float(np.linalg.norm(z_exp))
        return (
            0.0 if length == 0 else float(np.linalg.norm(z_exp - self.weights(z_exp) @ self.latents)) / length
        )

    def was_baked_for(self, z_exp: Float[np.ndarray, "64"], *, yaw: float, pitch: float) -> bool:
        """Whether an expression lies between neutral and those of the blendshapes, and a view is not too far aside."""
        weights = self.weights(z_exp)
        return bool(
            len(weights)
            and self.missed(z_exp) < 0.01
            and ((weights > -0.01) & (weights < 1.01)).all()
            and from_frontal(yaw=yaw, pitch=pitch) <= self.widest_rad
        )

    @property
    def neutral(self) -> "Pose":
        """The vertices with a neutral face."""
        return Pose(self.vertices, self.texels)

    def at_inbetween(self, shape: int, inbetween: int) -> "Pose":
        """The vertices where one blendshape has its in-between shape."""
        texels = self.texels.copy()
        self._gliding(texels)[:] += self.texel_steps[shape, inbetween]
        return Pose(self.vertices + self.blendshapes[shape, inbetween], texels)

    def _gliding(self, texels: Float[np.ndarray, "vertex 2"]) -> Float[np.ndarray, "gliding 2"]:
        """Those of the vertices that :attr:`texel_steps` are of."""
        return texels[len(texels) - self.texel_steps.shape[2] :]

    def posed(self, z_exp: Float[np.ndarray, "64"]) -> "Pose":
        """The vertices with an expression."""
        shares, glides = self.shares(z_exp)
        vertices, texels = self.vertices.copy(), self.texels.copy()
        for place in zip(*shares.nonzero(), strict=True):
            vertices += shares[place] * self.blendshapes[place]
        for place in zip(*glides.nonzero(), strict=True):
            self._gliding(texels)[:] += glides[place] * self.texel_steps[place]
        return Pose(vertices, texels)


@dataclass(frozen=True)
class Pose:
    """Where an avatar's vertices are."""

    vertices: Float[np.ndarray, "vertex 3"]
    """Target space, world units."""
    texels: Float[np.ndarray, "vertex 2"]
    """On their sheet's texture, see :class:`LayeredMesh`."""
