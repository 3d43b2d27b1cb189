"""Options of baking, and the name of avatar files."""

from dataclasses import dataclass

from anifacegan.runtime.errors import ConfigError, require_memory, require_within

SUFFIX = ".safetensors"
"""Ending of the names of avatar files."""
BYTES_OF_A_TEXEL = 200
"""Memory that baking needs for each texel of a layer's texture, all layers' textures included, bytes."""
COARSE = 4
"""Number of texels of the final textures, in each direction, for each texel of the coarse textures."""


@dataclass(frozen=True)
class BakeConfig:
    """Resolution of an avatar, and the views that it can show."""

    texture: int = 512
    """Height and width, in texels, of the texture of each layer (an avatar has one layer, a textured mesh, for each
    radiance manifold). Textures become finer where an expression stretches the skin."""
    grid: int = 128
    """Number of vertices along each side of each layer's mesh, a square grid that follows a radiance manifold. Meshes
    become finer where an expression stretches the skin."""
    widest_rad: float = 0.9
    """Largest angle from the frontal view up to which the avatar can be turned, radians; at most 1.2."""
    inbetweens: int = 2
    """Number of shapes that are stored on the way from neutral to each full expression, the full one included; between
    two consecutive shapes, vertices move along straight lines."""

    def __post_init__(self) -> None:
        require_within(self, 4 * COARSE, 8192, "texture")
        require_within(self, 8, 1024, "grid")
        require_memory(self, BYTES_OF_A_TEXEL * self.texture**2, "texture")
        require_within(self, 1, 16, "inbetweens")
        if not 0 < self.widest_rad <= 1.2:
            raise ConfigError("widest_rad", self.widest_rad, "more than 0, at most 1.2")
