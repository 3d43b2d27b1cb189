"""Images on disk: PNG, depth maps, films, contact sheets. Arrays are (height, width, channel) of bytes."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8, UInt16
from torch import Tensor

from anifacegan.runtime.files import encoded_image

WHITE, INK = (255, 255, 255), (40, 40, 40)


def to_bytes(image: Float[Tensor, "channel height width"]) -> UInt8[np.ndarray, "height width channel"]:
    """Colours in [0, 1] as the nearest of 256 levels."""
    levels = (image.clamp(0, 1) * 255).round().to(torch.uint8)
    return levels.permute(1, 2, 0).cpu().numpy()


def straight_alpha(
    foreground_rgb: Float[Tensor, "3 height width"], foreground: Float[Tensor, "1 height width"]
) -> Float[Tensor, "4 height width"]:
    """RGBA as PNG has it, from colours premultiplied by their opacity: not premultiplied."""
    rgb = torch.where(foreground > 0, foreground_rgb / foreground.clamp(min=1e-8), 0.0)
    return torch.cat([rgb.clamp(0, 1), foreground])


def over_white(rgba: UInt8[np.ndarray, "height width 4"]) -> UInt8[np.ndarray, "height width 3"]:
    """What a transparent image looks like on paper."""
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return np.rint(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def depth_levels(
    depth: Float[Tensor, "1 height width"], near: float, far: float
) -> UInt16[np.ndarray, "height width"]:
    """Distance as 16-bit grey: 0 at ``near``, 65535 at ``far``, clipped there. Units are the caller's."""
    share = (depth[0].double() - near) / (far - near)
    return (share.clamp(0, 1) * 65535).round().cpu().numpy().astype(np.uint16)


def write_png(
    path: Path, pixels: UInt8[np.ndarray, "height width channel"] | UInt16[np.ndarray, "height width"]
) -> None:
    """Write RGB, RGBA or 16-bit grey into a folder that is itself complete or not there."""
    path.write_bytes(encoded_image(pixels))
