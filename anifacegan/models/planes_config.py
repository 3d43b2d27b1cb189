"""Sizes of the feature planes: tables of learned features over the surface of the mean head."""

from dataclasses import dataclass
from itertools import pairwise

from anifacegan.models.size_limits import CHANNELS, LENGTH, TEXELS
from anifacegan.runtime.errors import ConfigError, require_at_least, require_within


@dataclass(frozen=True)
class FeaturePlanesConfig:
    """Tables of learned features over the mean head, whose surface is flattened to a square with coordinates (u, v).

    There are square planes over (u, v), and a coarse grid over u, v and the distance from the surface. A point reads
    features from all of them; a person-dependent linear mix of the features enters the template's sine layers.
    """

    resolutions: tuple[int, ...] = (128, 256, 512)
    """Number of texels along each side of each plane, coarse to fine. With 512 a texel is 0.9 mm wide on the face, as
    wide as a pixel of an image of 256 px."""
    channels: int = 16
    """Number of features in a texel of a plane; 16 float32 numbers fill a cache line."""
    coarse_planes: int = 1
    """Number of planes, counted from the coarsest, that influence opacity as well as colour; the finer planes change
    colours only."""
    grid_resolution: int = 64
    """Number of cells of the coarse grid along u and along v."""
    grid_depths: int = 8
    """Number of cells of the coarse grid along depth, the signed distance from the mean head's surface; they tell hair,
    skin and the inside of the mouth apart."""
    grid_channels: int = 8
    """Number of features in a cell of the coarse grid."""
    depth_range: tuple[float, float] = (-0.02, 0.04)
    """Range of depths that the coarse grid covers: signed distances from the mean head's surface, along the directions
    from ``centre`` and positive outside, world units."""
    mixed: int = 24
    """Number of features that enter the sine layers: person-dependent linear mixes of those of planes and grid."""
    centre: tuple[float, float, float] = (0.0, 0.01, -0.09)
    """Point inside the mean head, world units. A point's (u, v) is the direction from this centre to the point, and its
    depth is the distance from the surface in this direction."""
    fade_z: tuple[float, float] = (-0.118, -0.1)
    """Two values of z, world units. Behind the first, features are 0; to the second they grow to their full strength.
    The background plane at z = -0.12, whose directions from ``centre`` are nearly parallel to it, has none."""
    finest_moves_points: bool = False
    """Let gradients flow through the finest plane to the positions of points, and so to the deformation field. At first
    the plane's texels are noise, and so would the gradients be."""
    half_precision: bool = True
    """Store planes, grid, the weights of the mix, the mapping networks and the priors in model folders as float16;
    arithmetic is in float32."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.resolutions) <= 16 or any(a >= b for a, b in pairwise(self.resolutions)):
            raise ConfigError(
                "resolutions", self.resolutions, "at least one, at most 16, each higher than the one before"
            )
        require_within(self, 2, TEXELS, "resolutions")
        require_within(self, 1, CHANNELS, "channels", "grid_channels", "mixed")
        require_within(self, 2, CHANNELS, "grid_resolution", "grid_depths")
        require_within(self, -LENGTH, LENGTH, "depth_range", "fade_z", "centre")
        require_at_least(self, 0, "coarse_planes")
        if self.coarse_planes > len(self.resolutions):
            raise ConfigError("coarse_planes", self.coarse_planes, f"at most {len(self.resolutions)}")
        if self.depth_range[0] >= self.depth_range[1]:
            raise ConfigError("depth_range", self.depth_range, "a lower and a higher depth")
        if self.fade_z[0] >= self.fade_z[1]:
            raise ConfigError("fade_z", self.fade_z, "a lower and a higher z")

    @property
    def coarse_features(self) -> int:
        """Number of features of a point that influence its opacity: those of the grid and of the coarse planes."""
        return self.grid_channels + self.channels * self.coarse_planes

    @property
    def features(self) -> int:
        """Number K of features that a point reads: those of the grid and of all planes."""
        return self.grid_channels + self.channels * len(self.resolutions)

    @property
    def person_units(self) -> int:
        """Number of weights that a person has of their own: those that mix features, and those that map features to
        rgb.
        """
        return self.features * (self.mixed + 3)
