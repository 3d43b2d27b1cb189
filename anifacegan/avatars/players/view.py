"""The camera of a view of a layered mesh."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float

from anifacegan.geometry.cameras import orbit_rotation


@dataclass(frozen=True, kw_only=True)
class View:
    """A camera of the generator, which looks at the origin from a distance of 1 world unit."""

    yaw: float
    """Yaw in radians from frontal."""
    pitch: float
    """Pitch in radians from frontal."""
    size: int
    """Height and width of the image, pixels."""
    fov_deg: float
    """Angle between the centres of the outermost pixels, degrees."""

    @cached_property
    def origin_and_axes(self) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3 3"]]:
        """Position of the camera in world units, and its axes (columns: right, up, backward)."""
        angles = torch.tensor([[self.pitch, self.yaw]], dtype=torch.float64, device="cpu")
        origin, axes = orbit_rotation(yaw=angles[:, 1], pitch=angles[:, 0])
        return origin[0].numpy(), axes[0].numpy()

    @property
    def tangent(self) -> float:
        """Tangent of half the field of view."""
        return math.tan(math.radians(self.fov_deg / 2))
