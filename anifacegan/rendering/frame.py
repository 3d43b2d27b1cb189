"""Rendered images, the interface of renderers that draw one person, and the PSNR between images."""

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor

from anifacegan.runtime.arguments import whole_number

Number = TypeVar("Number", float, np.ndarray)

MOST_PIXELS = 8192
"""Largest height and width of an image."""


@dataclass(frozen=True)
class RenderedImage:
    """One rendered image of a head, channels first."""

    rgb: Float[Tensor, "3 height width"]
    """Colours of the pixels, background included, in [0, 1]."""
    foreground: Float[Tensor, "1 height width"]
    """Opacity of the head in front of the background, in [0, 1]."""
    foreground_rgb: Float[Tensor, "3 height width"]
    """Colour of the head, premultiplied by its opacity."""
    depth: Float[Tensor, "1 height width"]
    """Expected distance from the camera along the ray through each pixel's centre, world units; the background plane is
    one of its points. Anti-aliasing leaves it as it is."""


@runtime_checkable
class FrameRenderer(Protocol):
    """Renderer of one person with any expression.

    In ``image``, z_exp are expression coefficients; yaw and pitch are radians from frontal (at positive yaw the face
    turns to the image's right, at positive pitch it looks down); ``size`` is the height and width in pixels.
    """

    def image(
        self, z_exp: Float[np.ndarray, "64"], *, yaw: float, pitch: float, size: int
    ) -> RenderedImage: ...


def decibels(mean_squared_error: Number) -> Number:
    """Convert mean squared errors of colours in [0, 1] to PSNR in dB, at most 120 dB; NaN stays NaN."""
    return -10 * np.log10(np.maximum(mean_squared_error, 1e-12))


def checked_size(size: Any) -> int:
    """Return the size of an image: at least two pixels a side, because its outermost ones lie on the edges of the field
    of view.

    Raises:
        InputError: it is no whole number, or is out of range.
    """
    return whole_number("size", size, 2, MOST_PIXELS)
