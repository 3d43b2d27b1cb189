"""What draws a person, and what it gives back of one view."""

from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor

from anifacegan.runtime.errors import InputError

Number = TypeVar("Number", float, np.ndarray)


@dataclass(frozen=True)
class RenderedImage:
    """One rendered view, channels first."""

    rgb: Float[Tensor, "3 height width"]
    """In [0, 1]."""
    foreground: Float[Tensor, "1 height width"]
    """Opacity of the head, in [0, 1]."""
    foreground_rgb: Float[Tensor, "3 height width"]
    """Colour of the head, premultiplied by its opacity."""
    depth: Float[Tensor, "1 height width"]
    """Expected distance from the camera in world units, the background plane included."""


@runtime_checkable
class FrameRenderer(Protocol):
    """Draws one person: yaw and pitch are radians from frontal, ``size`` is pixels."""

    def image(
        self, z_exp: Float[np.ndarray, "64"], *, yaw: float, pitch: float, size: int
    ) -> RenderedImage: ...


def decibels(mean_squared_error: Number) -> Number:
    """PSNR in dB of colours in [0, 1], entry by entry: 120 at most, also where there is no error; NaN stays NaN."""
    return -10 * np.log10(np.maximum(mean_squared_error, 1e-12))


def check_size(size: int) -> None:
    """The outermost pixels of an image lie on the edges of the field of view: it has two at least.

    Raises:
        InputError: it has fewer.
    """
    if size < 2:
        raise InputError(f"size is {size}, expected 2 or more pixels")
