"""The textures of an avatar as pictures that every browser decodes.

Colours and opacities are apart, as opaque pictures, because browsers may multiply colours by opacity, or drop the
colours of transparent pixels. AVIF without chroma subsampling takes half the bytes of WebP for the same error.
"""

import io
from functools import cache

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image, features

from anifacegan.avatars.export.visible_part import covered_texels
from anifacegan.avatars.layered_mesh import LayeredMesh
from anifacegan.runtime.errors import InputError

ENCODER_SPEED = 6
"""From 0, slow and small, to 10."""


def require_avif() -> None:
    """Require that pictures can be written as AVIF.

    Raises:
        InputError: Pillow cannot; the message says what to install.
    """
    if not features.check("avif"):
        raise InputError(
            "a web page needs AVIF pictures, which this Pillow cannot write: pip install 'pillow>=11.3'"
        )


def pictures(layered_mesh: LayeredMesh, quality: int) -> list[bytes]:
    """Encode the layers' colours, premultiplied by opacity, then their opacities, then the background, as AVIF files.

    Texels that no triangle shows are black; a layer without triangles has empty files. ``quality`` is from 1 to 100.
    """
    shown = np.diff(layered_mesh.layer_starts) > 0
    textures = layered_mesh.textures * covered_texels(layered_mesh)[..., None]
    colours = [
        _avif(_without_cast(textures[k, ..., :3]), quality) if shown[k] else b"" for k in range(len(shown))
    ]
    opacities = [_avif(textures[k, ..., 3], quality) if shown[k] else b"" for k in range(len(shown))]
    return [*colours, *opacities, _avif(_without_cast(layered_mesh.background), quality)]


def _without_cast(colours: UInt8[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "height width 3"]:
    """Move every second texel's colour by a step against the encoder's cast; black stays black."""
    row, column = np.indices(colours.shape[:2])
    chosen = ((row + column) % 2 == 0) & colours.any(axis=-1)
    return np.where(chosen[..., None], (colours - _cast()).clip(0, 255), colours).astype(np.uint8)


@cache
def _cast() -> Int[np.ndarray, "3"]:
    """Return the sign of the encoder's mean error in red, green and blue, 0 where it is small.

    libavif's usual way to luma and chroma rounds chroma down: of 255, red and blue lose 0.7 and 0.9, and green gains
    0.7: without the remedy a third of the squared error of a page.
    """
    across, down = np.arange(128), np.arange(128)[:, None]
    shades = np.stack([80 + across + 0 * down, 60 + (across + down) // 2, 40 + 0 * across + down], axis=-1)
    decoded = np.asarray(Image.open(io.BytesIO(_avif(shades.astype(np.uint8), 100))).convert("RGB"))
    error = (decoded - shades).mean(axis=(0, 1))
    return np.where(np.abs(error) > 0.25, np.sign(error), 0).astype(np.int64)


def _avif(pixels: UInt8[np.ndarray, "height width *channels"], quality: int) -> bytes:
    content = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.save(content, "AVIF", quality=quality, subsampling="4:4:4", speed=ENCODER_SPEED)
    return content.getvalue()
