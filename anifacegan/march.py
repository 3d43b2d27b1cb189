"""How rays are marched: what a renderer knows of a model's scene before it knows any network."""

import math
from dataclasses import dataclass

from anifacegan.cameras import FOV_DEG
from anifacegan.shapes import BACKGROUND_Z


@dataclass(frozen=True)
class MarchConfig:
    """How a ray looks for the manifolds."""

    near: float = 0.88
    """Distance of the first sample, world units."""
    far: float = 1.12
    """Distance of the last sample, world units."""
    samples: int = 64
    """Number of samples, evenly spaced, both ends included."""
    fov_deg: float = FOV_DEG
    """Field of view over the image height, degrees."""
    background_z: float = BACKGROUND_Z
    """The background is the plane z = background_z, world units."""

    def __post_init__(self) -> None:
        if self.samples < 2 or not 0 < self.near < self.far:
            raise ValueError(f"march needs samples >= 2 and 0 < near < far, got {self}")
        if not (math.isfinite(self.far) and math.isfinite(self.background_z) and 0 < self.fov_deg < 180):
            raise ValueError(f"march needs a finite far and background_z, and 0 < fov_deg < 180, got {self}")
