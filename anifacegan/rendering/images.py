"""Conversion of rendered images to bytes, and PNG files. Byte arrays are (height, width, channel)."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8, UInt16
from torch import Tensor

from anifacegan.runtime.errors import InputError
from anifacegan.runtime.image_files import encoded_image

WHITE, INK = (255, 255, 255), (40, 40, 40)
"""Background and text colour of contact sheets and figures, RGB bytes."""


def to_bytes(image: Float[Tensor, "channel height width"]) -> UInt8[np.ndarray, "height width channel"]:
    """Quantise colours in [0, 1] to the nearest of 256 levels.

    Raises:
        InputError: a colour is not a number.
    """
    if image.isnan().any():
        raise InputError("an image has colours that are not numbers; what made it is broken")
    levels = (image.clamp(0, 1) * 255).round().to(torch.uint8)
    return levels.permute(1, 2, 0).cpu().numpy()


def straight_alpha(
    foreground_rgb: Float[Tensor, "3 height width"], foreground: Float[Tensor, "1 height width"]
) -> Float[Tensor, "4 height width"]:
    """Convert colours premultiplied by opacity to RGBA with straight alpha, as PNG stores it; all in [0, 1].

    ``foreground_rgb`` are the premultiplied colours, ``foreground`` is the opacity. Colours are 0 where it is 0.
    """
    rgb = torch.where(foreground > 0, foreground_rgb / foreground.clamp(min=1e-8), 0.0)
    return torch.cat([rgb.clamp(0, 1), foreground])


def over_white(rgba: UInt8[np.ndarray, "height width 4"]) -> UInt8[np.ndarray, "height width 3"]:
    """Composite an RGBA image over white."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return np.rint(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def depth_levels(
    depth: Float[Tensor, "1 height width"], near: float, far: float
) -> UInt16[np.ndarray, "height width"]:
    """Convert distances to 16-bit grey: 0 at ``near`` and nearer, 65535 at ``far`` and farther. ``depth``, ``near`` and
    ``far`` have the same unit."""
    share = (depth[0].double() - near) / (far - near)
    return (share.clamp(0, 1) * 65535).round().cpu().numpy().astype(np.uint16)


def write_png(
    path: Path,
    pixels: UInt8[np.ndarray, "height width channel"] | UInt16[np.ndarray, "height width"],
    description: str | None = None,
) -> None:
    """Write an RGB, RGBA or 16-bit grey PNG file, with a text ``description`` if there is one.

    An interrupted write leaves a broken file, so the caller writes into a temporary folder.
    """
    texts = None if description is None else {"Description": description}
    path.write_bytes(encoded_image(pixels, texts=texts))
