"""Options of rays and of the rasterizer."""

import math
from dataclasses import dataclass
from typing import Literal

from anifacegan.geometry.conventions import BACKGROUND_Z, FOV_DEG
from anifacegan.runtime.errors import require_within

Backend = Literal["auto", "numba", "torch", "nvdiffrast"]
"""Implementation of the rasterizer; ``auto`` selects one by device, see
:func:`anifacegan.geometry.rasterization.rasterizer.select_backend`."""


@dataclass(frozen=True)
class RaySamplingConfig:
    """Sampling of rays in the search for their crossings with the radiance manifolds, the camera's field of view, and
    the place of the background plane.
    """

    near: float = 0.88
    """Distance from the camera to the first sample of a ray, world units."""
    far: float = 1.12
    """Distance from the camera to the last sample of a ray, world units."""
    samples: int = 64
    """Number of evenly spaced samples on a ray, the first and the last included."""
    fov_deg: float = FOV_DEG
    """Field of view of the camera over the image height, degrees."""
    background_z: float = BACKGROUND_Z
    """z coordinate of the plane that carries the background, world units."""

    def __post_init__(self) -> None:
        require_within(self, 2, 4096, "samples")
        require_within(self, -100, 100, "near", "far", "background_z")
        if self.samples < 2 or not 0 < self.near < self.far:
            raise ValueError(f"ray_sampling needs samples >= 2 and 0 < near < far, got {self}")
        if not (math.isfinite(self.far) and math.isfinite(self.background_z) and 0 < self.fov_deg < 180):
            raise ValueError(
                f"ray_sampling needs a finite far and background_z, and 0 < fov_deg < 180, got {self}"
            )
