"""What a renderer gives back of one view."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Picture:
    """One rendered view, channels first."""

    rgb: Float[Tensor, "3 height width"]
    """In [0, 1]."""
    foreground: Float[Tensor, "1 height width"]
    """Opacity of the head, in [0, 1]."""
    foreground_rgb: Float[Tensor, "3 height width"]
    """Colour of the head, premultiplied by its opacity."""
    depth: Float[Tensor, "1 height width"]
    """Expected distance from the camera in world units, the background plane included."""
